"""What the trace tells, and what it asks the machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...text import Say
from .entries import Severity
from .inbox import Inbox
from .inspection import Alarm, TraceAlarm
from .retention import free_bytes

__all__ = ["Alarms", "Host", "Losses"]


_CALM_NS = 60_000_000_000
"""For how long nothing must be lost before the trouble counts as over: a disk at its limit does not fill the events."""


@dataclass(frozen=True)
class Host:
    """What the trace asks the machine: its clocks and its disk. Tests give others."""

    monotonic_ns: Callable[[], int] = time.monotonic_ns
    wall: Callable[[], float] = time.time
    free: Callable[[Path], int] = free_bytes


class Alarms:
    """Tells of each trouble once, when it begins; what listens may fail without harm."""

    def __init__(self, say: Say, alarm: Alarm | None, event: Callable[[Severity, int, str], None]) -> None:
        self._say, self._alarm, self._event = say, alarm, event
        self._lasting: set[TraceAlarm] = set()

    def begin(self, code: TraceAlarm, text: str) -> None:
        """Tell of a trouble unless it lasts already."""
        if code in self._lasting:
            return
        self._lasting.add(code)
        self.tell(code, text)

    def tell(self, code: TraceAlarm, text: str) -> None:
        """Tell of something that does not last."""
        self._event("alarm", code, text)
        with suppress(Exception):
            self._say(text)
        with suppress(Exception):
            if self._alarm is not None:
                self._alarm(code, text)

    def end(self, code: TraceAlarm, text: str) -> None:
        """Tell that a trouble is over."""
        if code in self._lasting:
            self._lasting.discard(code)
            self._event("info", code, text)
            with suppress(Exception):
                self._say(text)


class Losses:
    """Tells when rows begin to be lost and pictures to be left out, and when that is over."""

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._lost = self._slow = 0
        self._since = 0

    def told(self, rows: int) -> None:
        """Say that ``rows`` of those lost were told already."""
        self._lost += rows

    def tell(self, inbox: Inbox, error: str, now_ns: int) -> None:
        """Look at the counts. ``error``: why rows cannot be written, or ""."""
        if inbox.lost > self._lost or inbox.slow > self._slow or error:
            self._since = now_ns
        calm = now_ns - self._since >= _CALM_NS
        if inbox.lost > self._lost:
            text = f"{inbox.lost} row(s) are lost so far: {error or 'the disk is slower than the line'}"
            self._alarms.begin(TraceAlarm.LOST, text)
        elif calm:
            self._alarms.end(TraceAlarm.LOST, "no more rows are lost")
        if inbox.slow > self._slow:
            text = f"pictures of {inbox.slow} part(s) are left out so far: the disk is slower than the line"
            self._alarms.begin(TraceAlarm.SLOW, text)
        elif calm:
            self._alarms.end(TraceAlarm.SLOW, "pictures are stored in time again")
        self._lost, self._slow = inbox.lost, inbox.slow
