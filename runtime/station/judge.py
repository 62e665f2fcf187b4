"""The judging thread: a frame and a pinned category in, an outcome out. Whatever goes wrong is NOT_JUDGED."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..formats.limits import Limits
from ..formats.spec import SIZE
from ..imaging.arrival import Prepared
from ..imaging.presence import Measures
from ..imaging.registration import place_on_input
from ..result import Result
from ..text import shown
from .codes import Fault, VerdictCode
from .effects import Judge
from .events import Event, Judged
from .part import Job, Outcome
from .worker import Clock, Failed, Worker

__all__ = ["Details", "Judging", "JudgingThread", "Pinned", "judge", "outcome_of", "verdict_of"]

_BLACK, _WHITE = 3.0, 252.0
"""Mean grey values beyond which a frame is black or white, unless the part was taught so."""


class Judging(Protocol):
    """The part of `Detector` that is used."""

    def prepare(self, image: NDArray[Any]) -> Prepared:
        """Make a frame ready, uint8 RGB [H, W, 3]."""
        ...

    def predict_prepared(self, frames: Sequence[Prepared]) -> list[Result]:
        """Judge what `prepare` made."""
        ...


@dataclass(frozen=True)
class Pinned:
    """A job with the detector that holds the category of its pin.

    ``category`` is the category's short hash, ``preparation`` that of what makes its inputs (`Category.preparation`).
    """

    job: Job
    detector: Judging
    limits: Limits
    category: str
    preparation: str = ""


@dataclass(frozen=True, eq=False)
class Details:
    """What the trace keeps of a judgement: the frame as it was made ready, and its anomaly map.

    ``map`` is float32 [224, 224], in the frame of the encoder's input, None where the frame was not scored.
    """

    frame: Prepared
    category: str
    preparation: str = ""
    map: NDArray[np.float32] | None = None


class JudgingThread(Worker):
    """Answers each `Judge` with one `Judged`; ``pinned`` finds a job's detector and raises KeyError for none.

    With ``watch_frozen`` a picture that equals the one before is not judged.
    """

    def __init__(
        self,
        pinned: Callable[[Job], Pinned],
        post: Callable[[Event], None],
        failed: Failed,
        clock: Clock = time.monotonic_ns,
        *,
        watch_frozen: bool = True,
    ) -> None:
        super().__init__("judge", clock, failed)
        self._pinned = pinned
        self._post = post
        self._inbox: SimpleQueue[Judge | None] = SimpleQueue()
        self._watch_frozen = watch_frozen
        self._before: NDArray[np.uint8] | None = None

    def submit(self, effect: Judge) -> None:
        """Hand a frame over; called in the I/O thread."""
        self._inbox.put(effect)

    def step(self, timeout: float) -> None:
        """Judge the next frame, if one comes."""
        try:
            effect = self._inbox.get(timeout=timeout) if timeout else self._inbox.get_nowait()
        except Empty:
            return
        if effect is not None:
            self._post(Judged(effect.token, effect.frame_id, self._outcome(effect)))

    def _wake(self) -> None:
        self._inbox.put(None)

    def _outcome(self, effect: Judge) -> Outcome:
        start = self.clock()
        try:
            before = self._before if self._watch_frozen else None
            outcome, self._before = judge(effect.frame.image, self._pinned(effect.job), before)
        except Exception as error:  # a verdict must come of everything, and it is never PASS
            text = shown(f"{type(error).__name__}: {error}")
            outcome = _not_judged(effect.job.pin, Fault.JUDGE, text)
        return replace(outcome, ms=(self.clock() - start) / 1e6)


def judge(
    image: NDArray[np.uint8], pinned: Pinned, before: NDArray[np.uint8] | None
) -> tuple[Outcome, NDArray[np.uint8] | None]:
    """Judge a frame, uint8 RGB [H, W, 3]; ``before`` is the encoder's input of the frame before it.

    Returns the outcome and this frame's input. A frame that equals the one before, or is black or white, is not judged.
    """
    pin = pinned.job.pin
    try:
        frame = pinned.detector.prepare(image)
    except InputError as error:
        return _not_judged(pin, Fault.PICTURE, str(error)), before
    made, details = frame.image, Details(frame, pinned.category, pinned.preparation)
    if why := unusable(frame.measures, pinned.limits):
        return _not_judged(pin, Fault.PICTURE, why, details), made
    if before is not None and np.array_equal(before, made):
        return _not_judged(pin, Fault.FROZEN, "the picture is the same as the one before, in every bit", details), made
    height, width = image.shape[:2]
    return outcome_of(pinned.detector.predict_prepared([frame])[0], pin, details, (height, width)), made


def unusable(measures: Measures, limits: Limits) -> str:
    """Say why a frame cannot be a picture of anything, "" if it can."""
    bright, limit = measures.brightness, limits.get("brightness")
    taught = limit is not None and limit.low <= bright and (limit.high is None or bright <= limit.high)
    if _BLACK <= bright <= _WHITE or taught:
        return ""
    colour, cause = ("black", "the lens or the light") if bright < _BLACK else ("white", "the exposure")
    return f"the picture is {colour} (mean {bright:.0f}): look at {cause}"


def verdict_of(result: Result) -> VerdictCode:
    """Return the verdict that a detector's result comes to."""
    if result.refusal is not None:
        return VerdictCode.NO_PART
    if result.anomalous:
        return VerdictCode.REJECT
    return VerdictCode.REVIEW if result.warn else VerdictCode.PASS


def outcome_of(result: Result, pin: str, details: Details, shape: tuple[int, int]) -> Outcome:
    """Turn a detector's result on a frame of ``shape`` (height, width) into an outcome."""
    scored = math.isfinite(result.score)
    if not scored and not result.anomalous and result.refusal is None:  # NaN is above no threshold
        return _not_judged(pin, Fault.JUDGE, f"the score is {result.score}", details)
    spot = None
    if scored:
        spot, details = _spot(result, shape), replace(details, map=result.anomaly_map)
    return Outcome(
        verdict_of(result),
        pin,
        result.score if scored else None,
        result.threshold,
        result.warn,
        result.reason,
        result.message,
        spot=spot,
        details=details,
    )


def _spot(result: Result, shape: tuple[int, int]) -> tuple[int, int]:
    """The highest place of the map in the frame's own input: who acts on it does not know how the part was laid."""
    y, x = divmod(int(np.argmax(result.anomaly_map)), SIZE)
    if result.located is not None:
        place = place_on_input((x + 0.5, y + 0.5), result.spec, result.located, shape)
        x, y = (min(max(math.floor(value), 0), SIZE - 1) for value in place)
    return x, y


def _not_judged(pin: str, fault: Fault, text: str, details: Details | None = None) -> Outcome:
    return Outcome(VerdictCode.NOT_JUDGED, pin, reason="error", error=text, fault=fault, details=details)
