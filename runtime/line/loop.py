"""The loop of a run: frame, verdict, sinks; how it is stopped; and the exit status that it ends with."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..detector import Result
from ..errors import InputError
from ..sources.frame import Frame, Source
from .counters import Progress
from .pictures import Sink
from .verdict import Verdict

__all__ = ["EXIT_ANOMALY", "EXIT_NOT_JUDGED", "StopSignals", "exit_status", "inspect", "judge"]

EXIT_NOT_JUDGED = 3
EXIT_ANOMALY = 4


class StopSignals:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt, but never while a frame is `busy`: what is begun is recorded whole.

    A second signal interrupts even that. Does nothing outside the main thread, where Python allows no handlers.
    """

    def __init__(self) -> None:
        self._busy = False
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Hold a signal back until the end of the block."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
        if self._asked:
            raise KeyboardInterrupt

    def _handle(self, number: int, stack: FrameType | None) -> None:
        if not self._busy or self._asked:
            raise KeyboardInterrupt
        self._asked = True


def judge(frame: Frame, predict: Callable[[NDArray[np.uint8]], Result]) -> Verdict:
    """Judge one frame. An image that cannot be read or used becomes a verdict with an error, never a good."""
    if frame.image is None:
        return Verdict(frame, error=frame.error or "no image")
    try:
        return Verdict(frame, predict(frame.image))
    except InputError as error:
        return Verdict(frame, error=str(error))


def inspect(
    source: Source,
    predict: Callable[[NDArray[np.uint8]], Result],
    sinks: Sequence[Sink],
    progress: Progress,
    *,
    stop: StopSignals,
    limit: int | None = None,
) -> bool:
    """Judge the frames of ``source`` until it ends, ``limit`` frames are seen, a sink says stop, or a signal comes.

    Returns whether it came to its own end (a live source has none, so stopping it is one). Raises RegadError when a
    sink cannot write or the source or device fails for good.
    """
    try:
        for frame in source:
            with stop.busy():
                verdict = judge(frame, predict)
                progress.add(verdict)
                wishes = [sink.write(verdict) for sink in sinks]
            if limit is not None and progress.seen >= limit:
                return True
            if not all(wishes):
                return source.live
    except KeyboardInterrupt:
        return source.live
    return True


def exit_status(progress: Progress, *, complete: bool, fail_on_anomaly: bool) -> int:
    """Return the exit status of a run: 0 all judged, 3 something could not be judged, 4 an anomaly was found.

    4 is given only under ``--fail-on-anomaly`` and outranks 3: an anomaly that was found stays one whatever else could
    not be judged. 3 is also given when nothing at all was judged, or when files were left over (``complete`` False).
    """
    if fail_on_anomaly and progress.anomalous:
        return EXIT_ANOMALY
    if progress.errors or not complete or progress.good + progress.anomalous == 0:
        return EXIT_NOT_JUDGED
    return 0
