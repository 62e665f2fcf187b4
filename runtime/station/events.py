"""What happens to the state machine, and what it wants done: plain values, all times in nanoseconds of one clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from .codes import Fault, Flag, TriggerKind, VerdictCode
from .image import PlcWords

__all__ = [
    "Answer",
    "Beat",
    "Booted",
    "Correct",
    "Effect",
    "Event",
    "Expose",
    "Flagged",
    "Gone",
    "Halt",
    "Job",
    "JobFailed",
    "JobReady",
    "JobWanted",
    "Judge",
    "Judged",
    "Load",
    "NoFrame",
    "Outcome",
    "Part",
    "PlcWrote",
    "Raised",
    "Rebuild",
    "Record",
    "Recorded",
    "Reply",
    "Reset",
    "Say",
    "Start",
    "Stop",
    "Taken",
    "Tick",
    "Token",
    "Trigger",
]


Severity = Literal["info", "warning", "alarm"]


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


# What happens.


@dataclass(frozen=True)
class Booted:
    """The self-test is passed."""


@dataclass(frozen=True)
class Start:
    """Judge from now on."""


@dataclass(frozen=True)
class Stop:
    """Back to SETUP."""


@dataclass(frozen=True)
class Halt:
    """The process is about to end."""


@dataclass(frozen=True)
class Reset:
    """Forget the faults whose cause is gone."""


@dataclass(frozen=True)
class Trigger:
    """A part is there, since ``at_ns``. ``tag`` is the sender's number for it (0: none, it is given one)."""

    kind: TriggerKind
    at_ns: int
    tag: int = 0
    part_id: int = 0
    serial: str = ""
    reply: Reply | None = None


@dataclass(frozen=True)
class PlcWrote:
    """The PLC has written, at ``at_ns``."""

    words: PlcWords
    at_ns: int


@dataclass(frozen=True)
class Taken:
    """The camera took ``frame`` for a part at ``taken_ns``; ``frame_id`` rises from frame to frame."""

    token: Token
    frame_id: int
    taken_ns: int
    frame: Any = None


@dataclass(frozen=True)
class NoFrame:
    """The camera has no frame for a part."""

    token: Token
    fault: Fault
    text: str


@dataclass(frozen=True)
class Judged:
    """A frame was judged."""

    token: Token
    frame_id: int
    outcome: Outcome


@dataclass(frozen=True)
class Recorded:
    """A part's record is on the disk (where records come before results)."""

    token: Token


@dataclass(frozen=True)
class JobWanted:
    """Change to another job, after the part in hand."""

    number: int


@dataclass(frozen=True)
class JobReady:
    """A job that was asked for can judge."""

    job: Job


@dataclass(frozen=True)
class JobFailed:
    """A job cannot judge, or cannot any more."""

    number: int
    fault: Fault
    text: str


@dataclass(frozen=True)
class Raised:
    """Something is wrong."""

    fault: Fault
    text: str


@dataclass(frozen=True)
class Gone:
    """The cause of a fault is gone."""

    fault: Fault


@dataclass(frozen=True)
class Beat:
    """Time for the heartbeat; ``alive``: the threads behind it are at work, else ``text`` says which is not."""

    alive: bool
    text: str = ""


@dataclass(frozen=True)
class Flagged:
    """Something that the outputs only tell has changed."""

    flag: Flag
    on: bool


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


Event = (
    Booted
    | Start
    | Stop
    | Halt
    | Reset
    | Trigger
    | PlcWrote
    | Taken
    | NoFrame
    | Judged
    | Recorded
    | JobWanted
    | JobReady
    | JobFailed
    | Raised
    | Gone
    | Beat
    | Flagged
    | Tick
)
"""Everything that the machine handles."""


# What is to be done.


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
class Answer:
    """The verdict on a part, for who triggered it: what was put out, or why nothing was."""

    token: Token
    verdict: VerdictCode
    ms: float
    outcome: Outcome | None = None
    reply: Reply | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Say:
    """A line for the log and the trace: ``severity`` is info, warning or alarm."""

    severity: Severity
    fault: Fault
    text: str


Effect = Expose | Judge | Record | Correct | Load | Rebuild | Answer | Say
"""Everything that the machine asks for."""
