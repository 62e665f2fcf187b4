"""The result that stands at the outputs: when it comes, how long it stays, and what is said of those before it."""

from __future__ import annotations

from collections import deque

from .codes import Flag, VerdictCode
from .image import NOTHING_SHOWN, Shown

__all__ = ["Display"]

_AMONG, _OFTEN = 20, 3  # so many late parts among the last so many are worth a warning


class Display:
    """At most one result at a time. There is no queue: a result that waits would stand there for another part."""

    def __init__(self, hold_ns: int | None) -> None:
        """``hold_ns`` is how long a result stands, None: until it is acknowledged, replaced or taken away."""
        self._hold_ns = hold_ns
        self._shown: Shown | None = None
        self._since_ns = 0
        self._acknowledges = False
        self._late: deque[bool] = deque(maxlen=_AMONG)
        self.overrun = False

    @property
    def shown(self) -> Shown | None:
        """The result that stands there."""
        return self._shown

    @property
    def result(self) -> Shown:
        """The result that stands there, or one that says nothing."""
        return self._shown or NOTHING_SHOWN

    @property
    def due_ns(self) -> int | None:
        """When the result has stood long enough."""
        return None if self._shown is None or self._hold_ns is None else self._since_ns + self._hold_ns

    @property
    def flags(self) -> Flag:
        """What there is to tell about lateness."""
        late = Flag.LATE if self.result.verdict is VerdictCode.LATE else Flag.NONE
        return late | (Flag.OFTEN_LATE if sum(self._late) >= _OFTEN else Flag.NONE)

    def show(self, result: Shown, now_ns: int) -> None:
        """Put a result out."""
        self.clear()
        self._shown, self._since_ns = result, now_ns
        self._late.append(result.verdict is VerdictCode.LATE)

    def clear(self) -> None:
        """Take the result away because another part has come: an overrun, if it was not acknowledged."""
        self.overrun |= self._shown is not None and self._acknowledges
        self._shown = None

    def drop(self) -> None:
        """Take the result away because nothing may stand there now, or it has stood long enough."""
        self._shown = None

    def acknowledge(self) -> None:
        """The PLC has read the result. From the first time on, one that it did not read is an overrun."""
        self._acknowledges, self.overrun = True, False
        self._shown = None

    def expire(self, now_ns: int) -> None:
        """Take the result away if it has stood long enough."""
        due = self.due_ns
        if due is not None and now_ns >= due:
            self.drop()
