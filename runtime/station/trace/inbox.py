"""The queue between the line and the trace's thread: bounded, and never waited for by the line.

Pictures go first when the disk is slow: a part whose pictures find no room keeps its row. When there are too many rows
the oldest are dropped. Both are counted.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace

from ...errors import OutputError
from .entries import Entry, settle
from .inspection import Inspection

__all__ = ["Inbox", "picture_bytes"]

ROWS = 10_000
PICTURE_BYTES = 64 << 20
_LOST = OutputError("it was not recorded, and is lost; check the trace's alarms, then send it again")


def picture_bytes(entry: Entry) -> int:
    """How much memory the pictures of an entry hold."""
    if not isinstance(entry, Inspection):
        return 0
    return sum(array.nbytes for array in (entry.input, entry.map, entry.frame) if array is not None)


class Inbox:
    """What the line has given and the thread has not yet finished with. Every method may be called from any thread.

    ``held`` bytes of pictures are accounted for from `put` until `release`. With ``closed_to_pictures`` none are taken;
    ``slow`` counts the parts that found no room for theirs otherwise.
    """

    def __init__(self, rows: int = ROWS, limit: int = PICTURE_BYTES) -> None:
        self._rows, self._limit = rows, limit
        self._changed = threading.Condition()
        self._entries: deque[tuple[int, Entry]] = deque()  # with the nanoseconds at which it was given
        self._held = 0
        self._woken = self._ending = self._ended = False
        self.hurried = False
        self.closed_to_pictures = False
        self.left_out = self.slow = self.lost = self.lost_to = 0

    def put(self, entry: Entry, now_ns: int) -> None:
        """Take an entry, without its full picture, or without pictures, where there is no room for them."""
        with self._changed:
            if self._ended:
                self.lost += 1
                settle(entry, _LOST)
                return
            if isinstance(entry, Inspection):
                entry = self._fitted(entry)
                self._held += picture_bytes(entry)
            self._entries.append((now_ns, entry))
            while len(self._entries) > self._rows:
                self._drop(self._entries.popleft()[1])
            self._changed.notify_all()

    def _fitted(self, part: Inspection) -> Inspection:
        room = 0 if self.closed_to_pictures else self._limit - self._held
        if picture_bytes(part) <= room:
            return part
        self.slow += not self.closed_to_pictures
        without = replace(part, frame=None)
        if picture_bytes(without) > room:
            without = replace(without, input=None, map=None)
        self.left_out += (part.frame is not None) + (part.input is not None and without.input is None)
        return without

    def leave_out(self, count: int) -> None:
        """Count pictures that are not stored."""
        with self._changed:
            self.left_out += count

    def _drop(self, entry: Entry) -> None:
        self._held -= picture_bytes(entry)
        self.lost += 1
        settle(entry, _LOST)
        if isinstance(entry, Inspection):
            self.lost_to = max(self.lost_to, entry.seq)

    def take(self, most: int) -> list[tuple[int, Entry]]:
        """Take out the ``most`` oldest entries, in order, each with when it was given."""
        with self._changed:
            self.hurried = False
            return [self._entries.popleft() for _ in range(min(most, len(self._entries)))]

    def give_back(self, entries: list[tuple[int, Entry]]) -> None:
        """Put entries that could not be written before all others; of too many the oldest are lost."""
        with self._changed:
            self._entries.extendleft(reversed(entries))
            while len(self._entries) > self._rows:
                self._drop(self._entries.popleft()[1])

    def release(self, count: int) -> None:
        """Say that ``count`` bytes of pictures are no longer held."""
        with self._changed:
            self._held -= count

    def lose(self, entry: Entry) -> None:
        """Count an entry that cannot be stored at all."""
        with self._changed:
            self._drop(entry)

    def hurry(self) -> None:
        """Ask the thread to take what is queued at once, without waiting for more."""
        with self._changed:
            self.hurried = True
            self._changed.notify_all()

    def wake(self) -> None:
        """Tell the thread that there is something to do, though nothing is queued."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def end(self) -> None:
        """Ask the thread to finish and end."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def abandon(self) -> int:
        """Drop what is left and whatever comes; return how many entries were left."""
        with self._changed:
            self._ended, left = True, len(self._entries)
            while self._entries:
                self._drop(self._entries.popleft()[1])
            return left

    @property
    def ending(self) -> bool:
        """Whether `end` was called."""
        return self._ending

    def oldest_ns(self) -> int | None:
        """When the oldest entry was given, or None."""
        with self._changed:
            return self._entries[0][0] if self._entries else None

    def __len__(self) -> int:
        with self._changed:
            return len(self._entries)

    def wait_for_work(self, seconds: float, *, busy: bool) -> None:
        """Wait at most so long until there is an entry, `wake` was called, or, unless it is ``busy``, `end` was."""
        with self._changed:
            self._changed.wait_for(
                lambda: bool(self._entries) or self._woken or (self._ending and not busy), max(seconds, 0.0)
            )
            self._woken = False

    def gather(self, seconds: float) -> None:
        """Wait at most so long for more entries, not at all once `hurry` or `end` was called."""
        with self._changed:
            self._changed.wait_for(lambda: self.hurried or self._ending, max(seconds, 0.0))

    def wait_for_end(self, seconds: float) -> None:
        """Wait at most so long until `end` was called."""
        with self._changed:
            self._changed.wait_for(lambda: self._ending, seconds)
