"""The parts of the shift: how many, how many rejects, the newest part and the last rejects."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from ...backends.lifecycle import Closing
from ...station.trace.database import DATABASE
from ...station.trace.search import Query, TraceSearch
from ..service import Surroundings
from .rows import part_of

__all__ = ["ShiftSection", "shift_began"]

_REJECTS = 8
_SEARCHED = 20_000  # parts
_PICTURE_S = 3.0  # seconds for which the picture of a new part is waited for: it is stored after the row
_ANEW_S = 30.0  # seconds after which everything is counted again: an output may be corrected after its row


class ShiftSection(Closing):
    """A part of the state: ``shift``, ``part`` and ``rejects``, from the trace; used by one thread."""

    def __init__(self, around: Surroundings, wall: Callable[[], float] = time.time) -> None:
        desk = around.config.desk
        self._folder, self._wall = around.trace, wall
        self._times = () if desk is None else desk.shifts
        self._reader: TraceSearch | None = None
        self._inode = 0
        self._began = self._first = self._last = self._parts = self._rejects = 0
        self._counted_at = -_ANEW_S
        self._listed: list[dict[str, Any]] = []
        self._came_at = 0.0
        self._pictured = False
        self._found: dict[str, Any] = {}

    def __call__(self, around: Surroundings) -> dict[str, Any]:
        """Return the parts of the state. Raises InputError for a trace that cannot be read."""
        reader = self._opened()
        if reader is None:
            return {"shift": None, "part": None, "rejects": []}
        now, newest, began = time.monotonic(), reader.newest(), int(shift_began(self._times, self._wall()))
        if began != self._began or now - self._counted_at > _ANEW_S:
            self._began, self._first, self._counted_at = began, reader.first_since(began), now
            self._parts, self._rejects, self._last, self._listed = 0, 0, self._first - 1, []
        elif newest == self._last and (self._pictured or now - self._came_at > _PICTURE_S):
            return self._found
        if newest != self._last:
            self._came_at = now
        self._count(reader, newest)
        newest_parts = [part_of(row) for row in reader.search(Query(), 1)]
        self._pictured = bool(newest_parts) and newest_parts[0]["input"]
        self._found = {
            "shift": {"began": began, "parts": self._parts, "rejects": self._rejects},
            "part": newest_parts[0] if newest_parts else None,
            "rejects": self._listed,
        }
        return self._found

    def _count(self, reader: TraceSearch, newest: int) -> None:
        """Count what came since the last look. Of old rejects only those among the newest parts are looked for."""
        more = reader.counts(max(self._last + 1, self._first))
        self._parts, self._rejects = self._parts + more.parts, self._rejects + more.rejects
        after = max(self._listed[0]["id"] if self._listed else 0, newest - _SEARCHED)
        found = [part_of(row) for row in reader.search(Query(good=False, after=after), _REJECTS)]
        self._listed = [*found, *self._listed][:_REJECTS]
        self._last = max(self._last, more.last)

    def close(self) -> None:
        """Close the trace."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _opened(self) -> TraceSearch | None:
        """The trace that is there now: a damaged one may have been set aside."""
        try:
            inode = (self._folder / DATABASE).stat().st_ino
        except OSError:
            self.close()
            return None
        if self._reader is None or inode != self._inode:
            self.close()
            self._reader, self._inode = TraceSearch(self._folder), inode
            self._counted_at = -_ANEW_S
        return self._reader


def shift_began(times: Sequence[str], now: float) -> float:
    """Return when the shift of ``now`` began, both in seconds since 1970; ``times`` are local, none: at midnight."""
    local = datetime.fromtimestamp(now)
    today = [
        local.replace(hour=int(text[:2]), minute=int(text[3:]), second=0, microsecond=0) for text in times or ("00:00",)
    ]
    starts = [*today, *(start - timedelta(days=1) for start in today)]
    return max(start for start in starts if start <= local).timestamp()
