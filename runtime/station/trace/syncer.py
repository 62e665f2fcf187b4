"""Brings written pictures safely onto the disk in a thread of its own: a slow sync never holds up a row's commit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from .files import FileStore, Stored
from .inspection import Inspection

__all__ = ["Flight", "Syncer"]

_PATIENCE = 30.0  # seconds that close() waits for a disk that hangs


@dataclass
class Flight:
    """A part whose row, ``row``, is committed, and those of its pictures that are written.

    ``given``: when the line gave it, nanoseconds; ``landed``: the pictures that are left in ``stored`` are safe.
    """

    row: int
    part: Inspection
    given: int
    stored: list[Stored]
    landed: bool = False


class Syncer:
    """Syncs flights in order. ``failed`` receives how many pictures of one were lost."""

    def __init__(self, store: FileStore, failed: Callable[[int], None], landed: Callable[[], None]) -> None:
        self._store, self._failed, self._landed = store, failed, landed
        self._queue: SimpleQueue[Flight | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="regad trace pictures", daemon=True)
        self._thread.start()

    def take(self, flight: Flight) -> None:
        """Queue a flight; one without pictures has landed in its turn too."""
        self._queue.put(flight)

    def close(self) -> None:
        """Finish what is queued, and end; a disk that hangs is given up."""
        self._queue.put(None)
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        while (flight := self._queue.get()) is not None:
            safe = [item for item in flight.stored if self._sync(item)]
            if len(safe) < len(flight.stored):
                self._failed(len(flight.stored) - len(safe))
            flight.stored = safe
            flight.landed = True
            self._landed()

    def _sync(self, item: Stored) -> bool:
        try:
            self._store.sync(item.path)
        except OSError:
            return False
        return True
