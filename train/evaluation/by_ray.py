"""The rounds of an evaluation on the nodes of a Ray cluster: one task for each support set, the same numbers.

Every node needs regad with what `regad-eval` needs, and artifact and data under the same paths.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from regad.runtime.detector import Detector
from regad.runtime.errors import DeviceError, RegadError
from regad.runtime.formats.registration import Register
from regad.runtime.serve.batch.cluster import connected
from regad.runtime.text import Say, reason_of, unsaid

from ..data.layouts import TestItem
from .evaluate import Draw, Evaluation, list_test
from .rounds import OnTrial, Opening, remembering, run_rounds

__all__ = ["Distributed", "evaluate_by_ray"]


class Distributed(NamedTuple):
    """The evaluations by category, shot and seed, the test images, and what computed them."""

    results: list[Evaluation]
    items: dict[str, Sequence[TestItem]]
    device: str


class _Done(NamedTuple):
    """What a task gives back: its evaluation and device, or in ``failed`` why there is none."""

    evaluation: Evaluation | None
    device: str
    failed: str = ""


def evaluate_by_ray(
    address: str,
    opening: Opening,
    data: Path,
    draws: Sequence[Draw],
    report: OnTrial = lambda drawn, done, total: None,
    say: Say = unsaid,
    registration: Register = "auto",
) -> Distributed:
    """Teach and test every support set, each in a task of its own; as `run_rounds` does here, but for the times.

    A task whose process or node dies is done again elsewhere. ``say`` receives what is odd about the images. Raises
    InputError as `run_rounds`, and DeviceError where a task fails.
    """
    items = {name: list_test(data, name, say) for name in dict.fromkeys(drawn.category for drawn in draws)}
    ray = connected(address)
    try:
        task = ray.remote(num_cpus=1, max_retries=-1)(_evaluate)
        opening = opening._replace(model=opening.model.resolve())
        waiting = {task.remote(opening, data.resolve(), one, registration): one for one in draws}
        done: list[_Done] = []
        while waiting:
            ready, _ = ray.wait(list(waiting), num_returns=1)
            drawn = waiting.pop(ready[0])
            done.append(_checked(ray.get(ready[0]), drawn))
            report(drawn, len(items[drawn.category]), len(items[drawn.category]))
    except ray.exceptions.RayError as error:
        raise DeviceError(f"Ray gave up ({reason_of(error)})", remedy="look at ray status, and run again") from error
    finally:
        with suppress(Exception):  # a cluster that is gone
            ray.shutdown()
    order = {name: place for place, name in enumerate(items)}
    results = [one.evaluation for one in done if one.evaluation is not None]
    results.sort(key=lambda r: (order[r.category], r.shot, r.seed))
    return Distributed(results, dict(items), "; ".join(sorted({one.device for one in done})))


def _checked(done: _Done, drawn: Draw) -> _Done:
    if done.failed:
        raise DeviceError(f"{drawn.category}, shot {drawn.shot}, seed {drawn.seed} failed on a node: {done.failed}")
    return done


@lru_cache(maxsize=1)
def _detector(opening: Opening) -> Detector:
    """One for all the tasks of a process: it remembers the images that it encoded."""
    return remembering(opening.load())


def _evaluate(opening: Opening, data: Path, drawn: Draw, registration: Register) -> Any:
    """A task: one support set, in a process of Ray's."""
    try:
        detector = _detector(opening)
        results, _ = run_rounds(detector, data, [drawn], registration=registration)
    except RegadError as error:
        return _Done(None, "", str(error))
    return _Done(results[0], detector.device)
