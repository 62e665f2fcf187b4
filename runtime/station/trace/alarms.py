"""What the trace tells, and what it asks the machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...text import Say
from .inbox import Severity
from .inspection import Alarm, TraceAlarm
from .retention import free_bytes

__all__ = ["Alarms", "Host"]


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
