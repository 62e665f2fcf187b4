"""What the line says of itself, asked a few times a second by one thread and shared by everything in the desk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from ..backends.lifecycle import Closing
from .errors import LinkError
from .link import StationLink

__all__ = ["Heard", "StationWatch"]

_EVERY = 0.2  # seconds


class Heard(NamedTuple):
    """What was heard last: a number that rises with each change, the answer to ``status`` or None, and why None."""

    number: int
    status: dict[str, Any] | None
    error: str


class StationWatch(Closing):
    """Asks ``link`` for its status every ``every`` seconds, from `start` to `close`."""

    def __init__(self, link: StationLink, every: float = _EVERY) -> None:
        self._link = link
        self._every = every
        self._changed = threading.Condition()
        self._heard = Heard(0, None, "the station was not asked yet")
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def heard(self) -> Heard:
        """What was heard last."""
        return self._heard

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="regad desk watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; those who wait return."""
        self._ended.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def wait(self, after: int, seconds: float) -> Heard:
        """Return what was heard last, once its number is above ``after``, or after so many seconds."""
        ready: Callable[[], bool] = lambda: self._heard.number > after or self._ended.is_set()  # noqa: E731
        with self._changed:
            self._changed.wait_for(ready, seconds)
            return self._heard

    def look(self) -> None:
        """Ask once; the thread does."""
        try:
            found, error = self._link.ask("status"), ""
        except LinkError as failure:
            found, error = None, str(failure)
        with self._changed:
            if (found, error) != self._heard[1:]:
                self._heard = Heard(self._heard.number + 1, found, error)
                self._changed.notify_all()

    def _run(self) -> None:
        while not self._ended.wait(self._every):
            self.look()
