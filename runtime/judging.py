"""From frames made ready to verdicts: of one part or of several, encoded together."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backends.base import Backend, Inference
from .errors import InputError
from .formats.category import Category
from .formats.spec import LEVELS, SIZE
from .imaging.arrival import Arrival, arrive
from .model import Part
from .result import Result, Timings

__all__ = ["judge", "ready"]

_MAP, _THETAS = (SIZE, SIZE), (len(LEVELS), 2, 3)
_NO_MAP, _NO_THETAS = np.zeros((0, *_MAP), np.float32), np.zeros((0, *_THETAS), np.float32)
_NOTHING = Inference(_NO_MAP, np.zeros(0, np.float32), _NO_THETAS, 0.0, 0.0)
"""What a batch without images gives."""


def ready(part: Part, image: NDArray[Any]) -> Arrival:
    """Return a frame made ready for a part: see `regad.runtime.imaging.arrival.arrive`. Raises InputError."""
    category = part.category
    return arrive(image, category.spec, category.limits, category.registration, part.template, part.model.threads)


def judge(backend: Backend, frames: Sequence[tuple[Part, Arrival]], start: float) -> list[Result | InputError]:
    """Return the verdicts on frames made ready, any number of them, each of the part that it is judged as.

    Frames of several parts are encoded in one batch, and each is then scored against its own part's statistics: with
    the numbers, in every bit, of a batch of that size of its part alone. In the place of a verdict stands the
    InputError of a frame whose result is not finite. ``start`` is when the work on them began, `time.perf_counter`
    seconds. Raises DeviceError.
    """
    if not frames:
        return []
    begun = time.perf_counter()
    # The frames of a part lie together, so that they are one run of the batch.
    parts = {id(part): number for number, (part, _) in enumerate(frames)}
    scored = sorted((n for n, (_, one) in enumerate(frames) if not one.refusal), key=lambda n: parts[id(frames[n][0])])
    done = _infer(backend, [(frames[number][0], frames[number][1].image) for number in scored])
    end = time.perf_counter()
    share = 1.0 / len(frames)
    timings = Timings(
        (begun - start) * 1e3 * share,
        done.encode_ms * share,
        done.score_ms * share,
        (end - start) * 1e3 * share,
    )
    places = {number: place for place, number in enumerate(scored)}
    return [
        _refused(part.category, arrival, timings)
        if arrival.refusal
        else _judged(part.category, done, places[number], arrival, timings)
        for number, (part, arrival) in enumerate(frames)
    ]


def _infer(backend: Backend, inputs: Sequence[tuple[Part, NDArray[np.uint8]]]) -> Inference:
    """Encode the inputs together and score each with its part; those of a part stand side by side."""
    if not inputs:
        return _NOTHING
    images = np.stack([image for _, image in inputs])
    runs = _runs([part for part, _ in inputs])
    if len(runs) == 1:
        return backend.infer(images, inputs[0][0].statistics)
    with backend.working():
        began = time.perf_counter()
        encoded = backend.encode(images)
        encode_ms = (time.perf_counter() - began) * 1e3
        try:
            began = time.perf_counter()
            done = [backend.score(encoded.rows(first, last), part.statistics) for part, first, last in runs]
            theta = encoded.theta
            score_ms = (time.perf_counter() - began) * 1e3
        finally:
            encoded.release()
    maps, scores = (np.concatenate(values) for values in zip(*done, strict=True))
    return Inference(maps, scores, theta, encode_ms if encoded.ms is None else encoded.ms, score_ms)


def _runs(parts: Sequence[Part]) -> list[tuple[Part, int, int]]:
    """Each part with the places of its images, from the first to one beyond the last."""
    ends = [n for n in range(1, len(parts)) if parts[n] is not parts[n - 1]] + [len(parts)]
    return [(parts[last - 1], first, last) for first, last in zip([0, *ends], ends, strict=False)]


def _judged(category: Category, done: Inference, index: int, arrival: Arrival, timings: Timings) -> Result | InputError:
    """The verdict on one image of a batch; an error for a result that is not finite."""
    results = (("score", done.anomaly_score), ("map", done.anomaly_map), ("theta", done.theta))
    for what, values in results:
        if not np.isfinite(values[index]).all():
            return InputError(f"the {what} is not finite; the image is not judged: run regad-doctor --model")
    score, threshold, warn = float(done.anomaly_score[index]), category.threshold.value, category.threshold.warn
    return Result(
        score,
        threshold,
        score > threshold,
        done.anomaly_map[index],
        done.theta[index],
        timings,
        category.spec,
        warn=warn is not None and warn < score <= threshold,
        located=arrival.located,
    )


def _refused(category: Category, arrival: Arrival, timings: Timings) -> Result:
    """The verdict on an image that is not scored."""
    heat, thetas = np.full(_MAP, np.inf, np.float32), np.zeros(_THETAS, np.float32)
    return Result(
        math.inf,
        category.threshold.value,
        True,
        heat,
        thetas,
        timings,
        category.spec,
        refusal=arrival.refusal,
        detail=arrival.detail,
        located=arrival.located,
    )
