"""Two threads beside the line: one looks after what has no thread of its own, one waits for the disk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from .events import Event, Flagged, Gone, Recorded
from .part import Token
from .trace.writer import Trace
from .worker import Clock, Failed, Worker

__all__ = ["Keeper", "Recorder"]

_FLUSH = 1.0  # seconds that a look at the disk may take


class Keeper(Worker):
    """Calls ``look`` again and again, and posts what has changed since it looked before."""

    def __init__(self, look: Callable[[], None], post: Callable[[Event], None], clock: Clock, failed: Failed) -> None:
        super().__init__("keeper", clock, failed)
        self._look, self._post = look, post
        self._told: dict[object, Event] = {}
        self._wakeup = threading.Event()

    def step(self, timeout: float) -> None:
        self._wakeup.wait(timeout)
        self._look()

    def tell(self, event: Event) -> None:
        """Post an event unless the last one about the same thing said the same."""
        about = event.flag if isinstance(event, Flagged) else getattr(event, "fault", None)
        before = self._told.get(about)
        if before is None and isinstance(event, Gone):
            return
        if before is None or type(before) is not type(event) or (isinstance(event, Flagged) and event != before):
            self._told[about] = event
            self._post(event)

    def _wake(self) -> None:
        self._wakeup.set()


class Recorder(Worker):
    """Waits for the disk where a result may come only after its record."""

    def __init__(self, trace: Trace, post: Callable[[Event], None], clock: Clock, failed: Failed) -> None:
        super().__init__("recorder", clock, failed)
        self._trace = trace
        self._post = post
        self._inbox: SimpleQueue[Token | None] = SimpleQueue()

    def submit(self, token: Token) -> None:
        self._inbox.put(token)

    def step(self, timeout: float) -> None:
        try:
            token = self._inbox.get(timeout=timeout) if timeout else self._inbox.get_nowait()
        except Empty:
            return
        while token is not None and not self.stopping:
            if self._trace.flushed(token.seq, _FLUSH):
                self._post(Recorded(token))
                return
            if self._inbox.qsize():  # the part was given up, another one waits
                return

    def _wake(self) -> None:
        self._inbox.put(None)
