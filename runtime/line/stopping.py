"""How a run is stopped: signals set an event, and the loop ends after the frame in hand."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from ..sources.frame import Source

__all__ = ["StopSignals", "stopped_on"]

_LOOK = 0.1  # seconds between looks at the event


class StopSignals:
    """Signals interrupt the start of a program (KeyboardInterrupt), and end its `run` in good order.

    By default they are those of Ctrl-C and SIGTERM. Within `run` the first one sets the event that the block
    receives; a second one interrupts at once. Does nothing outside the main thread, where Python allows no handlers:
    set an event of your own there.
    """

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = numbers or (signal.SIGINT, signal.SIGTERM)
        self._stop = threading.Event()
        self.received: signal.Signals | None = None
        """The signal that ended the run, None where something else did."""
        self._running = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in self._numbers}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            if handler is not None:  # one that was not set from Python cannot be put back
                signal.signal(number, handler)

    @contextmanager
    def run(self) -> Iterator[threading.Event]:
        """Yield the event that a signal sets from here to the end of the block."""
        self._running = True
        try:
            yield self._stop
        finally:
            self._running = False

    def _handle(self, number: int, stack: FrameType | None) -> None:
        if not self._running or self._stop.is_set():
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
        self._stop.set()


@contextmanager
def stopped_on(stop: threading.Event, source: Source) -> Iterator[None]:
    """Stop ``source`` soon after ``stop`` is set, whoever sets it: nobody goes on waiting for its next frame."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_LOOK):
            if stop.is_set():
                source.stop()
                return

    thread = threading.Thread(target=watch, name="regad stop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
