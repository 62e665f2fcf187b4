"""A part on its way through the station: who it is, by what it is judged, what came of it. Times in nanoseconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .codes import Fault, TriggerKind, VerdictCode

__all__ = [
    "Answer",
    "Job",
    "Outcome",
    "Part",
    "Reply",
    "Token",
]


class Token(NamedTuple):
    """A part's identity: never the same twice, not even after a restart. ``seq`` counts from 1 in each ``boot``."""

    boot: int
    seq: int


@dataclass(frozen=True)
class Job:
    """A job that is ready to judge; ``pin`` is the sha256 of its category file, ``deadline_ns`` its own or None."""

    number: int
    name: str
    pin: str
    deadline_ns: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What judging one frame came to; ``pin`` is the category file that it was held against.

    ``fault`` says what kind of trouble stood in the way (NONE: none), ``error`` in words. ``details`` are the arrays
    for the trace (`regad.runtime.station.judge.Details`); nothing is decided on them.
    """

    verdict: VerdictCode
    pin: str = ""
    score: float | None = None
    threshold: float | None = None
    warn: bool = False
    reason: str = ""
    error: str = ""
    fault: Fault = Fault.NONE
    spot: tuple[int, int] | None = None
    ms: float = 0.0
    details: Any = None


Reply = Callable[["Answer"], None]
"""Takes the answer to a trigger, once. Called in the I/O thread: it must not block."""


@dataclass(eq=False)
class Part:
    """A part in hand, from its trigger to its record. ``tag`` is its number at the outputs (result_seq).

    ``output`` is the verdict that was put out, None so far; ``outcome`` the true one; ``recorded`` the output that its
    record names. ``spoiled`` says why the part cannot pass whatever its frame shows.
    """

    token: Token
    kind: TriggerKind
    at_ns: int
    job: Job | None
    tag: int
    part_id: int = 0
    serial: str = ""
    deadline_ns: int | None = None
    reply: Reply | None = None
    frame_id: int | None = None
    frame: Any = None
    taken_ns: int = 0
    output: VerdictCode | None = None
    output_ns: int = 0
    late: bool = False
    spoiled: str = ""
    outcome: Outcome | None = None
    recorded: VerdictCode | None = None


@dataclass(frozen=True)
class Answer:
    """The verdict on a part, for who triggered it: what was put out, or why nothing was."""

    token: Token
    verdict: VerdictCode
    ms: float
    outcome: Outcome | None = None
    reply: Reply | None = field(default=None, compare=False)
