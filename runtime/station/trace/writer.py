"""The writer of the trace: takes parts from the line without ever holding it up, and commits them within 100 ms."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ...formats.category import Category
from ...text import Say, unsaid
from .inspection import Alarm, Boot, Inspection, Lag, TracePolicy

__all__ = ["Severity", "Trace"]

Severity = Literal["info", "warning", "alarm"]


class Trace:
    """The trace of one station, in ``folder``. One writer at a time: a second `open` of a folder raises OutputError."""

    def __init__(
        self, folder: Path, policy: TracePolicy | None = None, *, say: Say = unsaid, alarm: Alarm | None = None
    ) -> None:
        raise NotImplementedError

    def open(self, *, artifact: str = "") -> Boot:
        """Open or make the database, begin a boot and start the thread. Raises OutputError if it cannot be."""
        raise NotImplementedError

    def add(self, inspection: Inspection) -> None:
        """Take a part. Never blocks, never raises."""
        raise NotImplementedError

    def event(self, severity: Severity, code: int, text: str) -> None:
        """Record an event. Never blocks, never raises."""
        raise NotImplementedError

    def category(self, job: int, category: Category, path: Path) -> None:
        """Record that a job uses this category from now on. Never blocks, never raises."""
        raise NotImplementedError

    def flushed(self, seq: int, timeout: float) -> bool:
        """Commit at once and wait, seconds: whether the part's row and pictures are on the disk."""
        raise NotImplementedError

    @property
    def lag(self) -> Lag:
        """How far the disk is behind."""
        raise NotImplementedError

    @property
    def must_stop(self) -> bool:
        """Whether the line has to stop, since parts cannot be recorded in full and the policy is ``stop``."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what is queued and end the boot cleanly."""
        raise NotImplementedError
