"""Reads the trace from a place on, beside the station that writes it, also where it is missing or begun anew."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from ...backends.lifecycle import Closing
from ...errors import InputError
from ...station.trace.database import DATABASE
from ...station.trace.reader import Heads, Row, Selection, TraceReader
from .cursor import Place

__all__ = ["Follower", "hold_of"]

_NOTHING = Heads("", 0, 0)


def hold_of(before_result: bool) -> float:
    """Seconds that a row waits: with ``trace.before_result`` it may be corrected right after it was written."""
    return 1.0 if before_result else 0.0


class Follower(Closing):
    """What the trace in ``folder`` has got. By one thread; it calls `look` now and then, five times a second at most.

    A trace that is not there, or cannot be read, is an empty one, and `error` says why. Rows are there ``hold`` seconds
    after they were seen first.
    """

    def __init__(self, folder: Path, hold: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._hold, self._clock = folder, hold, clock
        self._reader: TraceReader | None = None
        self._inode = 0
        self._seen: deque[tuple[float, Heads]] = deque()
        self.heads = _NOTHING
        self.error = ""

    def look(self) -> Heads:
        """Look where the trace ends now, and return it; also kept as `heads`."""
        try:
            found = self._opened().heads()
            self.error = ""
        except (InputError, OSError) as error:
            self._lost(str(error))
            return self.heads
        now = self._clock()
        if not self._seen or self._seen[-1][1] != found:
            self._seen.append((now, found))
        while self._seen and self._seen[0][0] + self._hold <= now:
            self.heads = self._seen[0][1]
            if len(self._seen) == 1:
                break
            self._seen.popleft()
        return self.heads

    def start_of(self, place: Place | None, newest: int) -> Place:
        """Return where to go on from ``place``; at ``newest`` without one, at the first row of a trace that is new."""
        if place is None:
            return Place(self.heads.trace, newest)
        return place if self.heads.trace in (place.trace, "") else Place(self.heads.trace, 0)

    def rows(self, after: Place, most: int) -> list[Row]:
        """Return the next rows, by rising id, at most so many; none of a trace that is not ``after``'s."""
        if after.trace != self.heads.trace or self.heads.row <= after.row:
            return []
        wanted = Selection(after.row + 1, self.heads.row)
        return self._read(lambda reader: list(islice(reader.rows(wanted, most), most)))

    def events(self, after: Place) -> list[Row]:
        """Return the events after a place among them, by rising id."""
        if after.trace != self.heads.trace or self.heads.event <= after.row:
            return []
        return self._read(lambda reader: reader.events(after.row + 1))

    def behind(self, place: Place) -> int:
        """How many rows come after a place."""
        return max(0, self.heads.row - place.row) if place.trace == self.heads.trace else self.heads.row

    def close(self) -> None:
        """Close the trace."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _read(self, read: Callable[[TraceReader], list[Row]]) -> list[Row]:
        """From the database that `look` saw, also if another one has taken its place since."""
        try:
            return [] if self._reader is None else read(self._reader)
        except InputError as error:
            self._lost(str(error))
            return []

    def _opened(self) -> TraceReader:
        """The reader; another one where the database was set aside and a new one begun."""
        inode = (self._folder / DATABASE).stat().st_ino
        if self._reader is None or inode != self._inode:
            self.close()
            self._reader, self._inode = TraceReader(self._folder), inode
        return self._reader

    def _lost(self, error: str) -> None:
        self.close()
        self.error = error
