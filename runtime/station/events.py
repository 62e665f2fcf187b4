"""What happens to the state machine: plain values, all times in nanoseconds of one clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .codes import Fault, Flag, Mode, TriggerKind
from .image import PlcWords
from .part import Job, Outcome, Reply, Token

__all__ = [
    "Beat",
    "Booted",
    "Event",
    "Flagged",
    "Gone",
    "Halt",
    "Held",
    "JobFailed",
    "JobReady",
    "JobRenewed",
    "JobWanted",
    "Judged",
    "ModeWanted",
    "NoFrame",
    "PlcWrote",
    "Raised",
    "Recorded",
    "Released",
    "Reset",
    "Start",
    "Stop",
    "Taken",
    "Tick",
    "Trigger",
]


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
class Held:
    """Not READY until `Released`, and why; what stands at the outputs is taken away."""

    reason: str


@dataclass(frozen=True)
class Released:
    """The hold is over."""


@dataclass(frozen=True)
class ModeWanted:
    """Change between shadow and live, after the part in hand; ``by`` is who asks."""

    mode: Mode
    by: str


@dataclass(frozen=True)
class Halt:
    """The process is about to end."""


@dataclass(frozen=True)
class Reset:
    """Forget the faults whose cause is gone."""


@dataclass(frozen=True)
class Trigger:
    """A part is there, since ``at_ns``. ``tag`` is the sender's number for it (0: none, it is given one).

    ``edge`` counts the edges of a digital input, of which this is one.
    """

    kind: TriggerKind
    at_ns: int
    tag: int = 0
    part_id: int = 0
    serial: str = ""
    reply: Reply | None = None
    edge: int = 0


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
class JobRenewed:
    """Another version of a job lies ready: the job in force is to be taken up anew, after the part in hand."""

    number: int


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
    | ModeWanted
    | Held
    | Released
    | Reset
    | Trigger
    | PlcWrote
    | Taken
    | NoFrame
    | Judged
    | Recorded
    | JobWanted
    | JobReady
    | JobRenewed
    | JobFailed
    | Raised
    | Gone
    | Beat
    | Flagged
    | Tick
)
"""Everything that the machine handles."""
