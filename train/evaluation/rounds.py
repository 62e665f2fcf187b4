"""The rounds of an evaluation: which support sets are taught, and one pass over them, category by category."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from regad.runtime.backends.base import Precision
from regad.runtime.detector import Detector
from regad.runtime.formats.registration import Register
from regad.runtime.model import Model
from regad.runtime.text import Say, unsaid

from ..data.layouts import TestItem, list_categories
from .evaluate import Draw, Evaluation, TestSet, Trial, draw, evaluate, list_test, load_test
from .memo import MemoBackend

__all__ = ["OnTrial", "Opening", "plan", "remembering", "run_rounds"]

OnTrial = Callable[[Draw, int, int], None]
"""Told which support set is at work, and how many of the test images are judged."""


class Opening(NamedTuple):
    """An artifact and what it computes on, and in, as `Detector.load` takes them."""

    model: Path
    device: str = "auto"
    precision: Precision = "f32"
    force: bool = False

    def load(self) -> Detector:
        """Open it. Raises ArtifactError, DeviceError."""
        return Detector.load(self.model, device=self.device, precision=self.precision, force=self.force)


def plan(
    data: Path, categories: Sequence[str], shots: Sequence[int], rounds: int, seed: int, say: Say = unsaid
) -> list[Draw]:
    """Draw all support sets: ``rounds`` of them, by seeds from ``seed``, for each category (default all) and shot.

    Raises InputError for a category that is missing or has too few good images.
    """
    return [
        draw(data, name, shot, current)
        for name in categories or list_categories(data, say)
        for current in range(seed, seed + rounds)
        for shot in shots
    ]


def remembering(detector: Detector) -> Detector:
    """Return a detector that encodes every image once, in place of ``detector``: closing it closes that one's model."""
    model = Model(detector.model.info, MemoBackend(detector.backend))
    return Detector(model, detector.teaching_spec, owns_model=True)


def run_rounds(
    detector: Detector,
    data: Path,
    draws: Sequence[Draw],
    report: OnTrial = lambda drawn, done, total: None,
    look: Callable[[Trial], None] = lambda trial: None,
    without: Collection[str] = (),
    say: Say = unsaid,
    registration: Register = "auto",
) -> tuple[list[Evaluation], dict[str, Sequence[TestItem]]]:
    """Teach and test every support set; returns the evaluations by category, shot and seed, and the test images.

    ``look`` is given every trial with its maps, which are not kept; ``say`` receives what is odd about the images.
    Raises InputError as `evaluate` does, and before anything is taught where a category has no test images.
    """
    results: list[Evaluation] = []
    items: dict[str, Sequence[TestItem]] = {}
    spec = detector.teaching_spec
    names = list(dict.fromkeys(drawn.category for drawn in draws))
    for name in names:
        list_test(data, name)
    for name in names:
        tests: TestSet = load_test(data, name, spec, say)
        items[name] = tests.items
        for drawn in (drawn for drawn in draws if drawn.category == name):
            trial = evaluate(detector, tests, drawn, without, partial(report, drawn), registration)
            look(trial)
            results.append(trial.evaluation)
    order = {name: place for place, name in enumerate(items)}
    return sorted(results, key=lambda r: (order[r.category], r.shot, r.seed)), items
