"""A thread of the line: it works in short steps, shows that it is alive, and outlives whatever a step raises."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

__all__ = ["Clock", "Failed", "Worker"]

Clock = Callable[[], int]
"""Nanoseconds of a monotonic clock; `time.monotonic_ns`, or a test's own."""
Failed = Callable[[str], None]
"""Takes what a step raised, in a line."""

_STEP = 0.1  # seconds that a step may wait for work: the pulse of the thread
_PAUSE = 0.1  # seconds after a step that failed
_JOIN = 2.0


class Worker(ABC):
    """Runs `step` again and again in a daemon thread of its own. Tests call `step` themselves."""

    def __init__(self, name: str, clock: Clock, failed: Failed) -> None:
        self.name = name
        self.clock = clock
        self.beat_ns = clock()
        self._failed = failed
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def stopping(self) -> bool:
        """Whether it was told to end."""
        return self._stopped.is_set()

    def start(self) -> None:
        """Start the thread."""
        self.beat_ns = self.clock()
        self._thread = threading.Thread(target=self._run, name=f"regad {self.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the step in hand; one that hangs is left behind."""
        self._stopped.set()
        self._wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN)

    def silent_ns(self) -> int:
        """How long ago it last began a step; 0 before `start`."""
        return 0 if self._thread is None else self.clock() - self.beat_ns

    @abstractmethod
    def step(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for work, and do it."""

    def _wake(self) -> None:  # noqa: B027  (some wait for nothing)
        """Let a step that waits for work return."""

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.beat_ns = self.clock()
            try:
                self.step(_STEP)
            except Exception as error:  # the thread must live: what it cannot do, it says
                self._failed(f"{self.name}: {type(error).__name__}: {error}")
                self._stopped.wait(_PAUSE)
