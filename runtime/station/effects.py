"""What the state machine wants done: plain values, all times in nanoseconds of one clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from .codes import Fault, Mode, VerdictCode
from .part import Answer, Job, Outcome, Part, Token

__all__ = [
    "Correct",
    "Effect",
    "Expose",
    "Judge",
    "Load",
    "ModeBegun",
    "Rebuild",
    "Record",
    "Say",
    "Severity",
]


Severity = Literal["info", "warning", "alarm"]


@dataclass(frozen=True)
class Expose:
    """Take the first frame after ``after_ns`` for a part."""

    token: Token
    after_ns: int


@dataclass(frozen=True)
class Judge:
    """Judge ``frame`` by ``job``."""

    token: Token
    frame_id: int
    frame: Any
    job: Job


@dataclass(frozen=True)
class Record:
    """Record a part: the truth about it, and the ``output`` it was given. ``first``: say when it is on the disk."""

    part: Part
    outcome: Outcome
    output: VerdictCode
    now_ns: int
    first: bool = False


@dataclass(frozen=True)
class Correct:
    """Part ``seq`` was recorded before it was put out; this is what was put out."""

    seq: int
    output: VerdictCode
    late: bool


@dataclass(frozen=True)
class Load:
    """Make a job ready, and say so."""

    number: int


@dataclass(frozen=True)
class Rebuild:
    """Open the backend again, and say when its trouble is gone."""


@dataclass(frozen=True)
class ModeBegun:
    """From the next part on the station is in ``mode``; it was in ``before``. ``by`` is who asked for it."""

    mode: Mode
    before: Mode
    by: str


@dataclass(frozen=True)
class Say:
    """A line for the log and the trace: ``severity`` is info, warning or alarm."""

    severity: Severity
    fault: Fault
    text: str


Effect = Expose | Judge | Record | Correct | Load | Rebuild | ModeBegun | Answer | Say
"""Everything that the machine asks for."""
