"""The loop of a run: frame, verdict, sinks; and the exit status that it ends with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError, InputError, RegadError
from ..result import Result
from ..sources.frame import Frame, Source
from ..text import reason_of
from .counters import Counters
from .sink import Sink
from .stopping import stopped_on
from .verdict import Verdict

__all__ = ["EXIT_ANOMALY", "EXIT_LOST", "EXIT_NOT_JUDGED", "Judged", "exit_status", "fatal_error", "judge", "run_line"]

EXIT_LOST = 1
EXIT_NOT_JUDGED = 3
EXIT_ANOMALY = 4

Predict = Callable[[NDArray[np.uint8]], Result]


class Judged(NamedTuple):
    """A verdict, and the error that must end the run once the verdict is recorded."""

    verdict: Verdict
    fatal: Exception | None = None


def judge(frame: Frame, predict: Predict) -> Judged:
    """Judge one frame. Whatever goes wrong, the frame has a verdict: an error, never a good.

    An image that cannot be read or used concerns that frame alone; any other failure (the device) is ``fatal``.
    """
    if frame.image is None:
        return Judged(Verdict(frame, error=frame.error or "no image"))
    try:
        return Judged(Verdict(frame, predict(frame.image)))
    except InputError as error:
        return Judged(Verdict(frame, error=str(error)))
    except Exception as error:
        return Judged(Verdict(frame, error=reason_of(error)), error)


def run_line(
    source: Source,
    predict: Predict,
    sink: Sink,
    counters: Counters,
    *,
    stop: threading.Event,
    limit: int | None = None,
) -> bool:
    """Judge the frames of ``source`` until it ends, ``limit`` frames are seen, the sink says stop, or ``stop`` is set.

    May run in any thread; ``sink`` is open. A frame that was taken is judged and recorded whole. Returns whether the
    run came to its own end (a live source has none, so stopping it is one). Raises RegadError when the record cannot be
    written or the source or device fails for good; the frame in hand is recorded before that.
    """
    with stopped_on(stop, source):
        while not stop.is_set():
            frame = next(source, None)
            if frame is None:
                break
            verdict, fatal = judge(frame, predict)
            counters.add(verdict)
            go_on = sink.write(verdict)
            if fatal is not None:
                raise fatal_error(fatal) from fatal
            if limit is not None and counters.seen >= limit:
                return True
            if not go_on:
                return source.live
    return source.live or not stop.is_set()


def fatal_error(error: Exception) -> RegadError:
    """Return the error that ends a run; what is none of ours is named by its kind, as a fault of the device."""
    if isinstance(error, RegadError):
        return error
    return DeviceError(
        f"judging failed ({type(error).__name__}: {reason_of(error)})",
        remedy="run regad-doctor; if it finds no cause, report this",
    )


def exit_status(counters: Counters, *, complete: bool, lost: bool, fail_on_anomaly: bool) -> int:
    """Return the exit status of a run: 0 all judged, 3 something could not be judged, 4 an anomaly was found.

    4 is given only under ``--fail-on-anomaly`` and outranks 3: an anomaly that was found stays one whatever else could
    not be judged. 3 is also given when nothing at all was judged, or when files were left over (``complete`` False).
    1 is the least: every verdict is recorded, but pictures could not be written (``lost``).
    """
    if fail_on_anomaly and counters.anomalous:
        return EXIT_ANOMALY
    if counters.errors or not complete or counters.judged == 0:
        return EXIT_NOT_JUDGED
    return EXIT_LOST if lost else 0
