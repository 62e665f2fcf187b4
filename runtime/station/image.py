"""The process image: what the station puts out, and what the PLC has written, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from .codes import Control, Fault, Flag, State, Status, VerdictCode

__all__ = ["NOTHING_SHOWN", "PlcWords", "ProcessImage", "Shown"]


@dataclass(frozen=True)
class PlcWords:
    """Words 0 to 13 as the PLC has written them, and ``number``, the count of its writes up to this one."""

    control: int = 0
    trigger_seq: int = 0
    job: int = 0
    part_id: int = 0
    serial: str = ""
    heartbeat: int = 0
    number: int = 0

    def triggers_after(self, before: PlcWords) -> bool:
        """Whether a part is there: TRIGGER rose since ``before``, or stands with another trigger_seq."""
        again = before.control & Control.TRIGGER and self.trigger_seq == before.trigger_seq
        return bool(self.control & Control.TRIGGER and not again)


@dataclass(frozen=True)
class Shown:
    """The result at the outputs. ``tag`` is the number by which the PLC knows the part (result_seq), 0 to 65535.

    ``percent`` is the score in percent of the threshold, ``ms`` the time from the trigger to the verdict.
    """

    tag: int = 0
    part_id: int = 0
    verdict: VerdictCode = VerdictCode.NONE
    percent: float = 0.0
    ms: float = 0.0
    spot: tuple[int, int] = (0, 0)
    warn: bool = False


NOTHING_SHOWN = Shown()
"""The outputs of a station that has no result to show."""


@dataclass(frozen=True)
class ProcessImage:
    """Everything that the station puts out, at one moment ``at_ns`` of the monotonic clock.

    ``shown`` is a result only while ``status`` has VALID. ``writes`` is the number of the PLC's last write that this
    image takes into account, ``edges`` that of the trigger input's last edge.
    ``heartbeat`` counts up while camera and judge are alive. The counters wrap at 65536.
    """

    at_ns: int = 0
    state: State = State.BOOT
    status: Status = Status.NONE
    fault: Fault = Fault.NONE
    job: int = 0
    accepted: int = 0
    heartbeat: int = 0
    shown: Shown = NOTHING_SHOWN
    flags: Flag = Flag.NONE
    parts: int = 0
    rejects: int = 0
    missed: int = 0
    late: int = 0
    writes: int = 0
    edges: int = 0

    @property
    def passes(self) -> bool:
        """Whether a part is let through: the one that ``shown`` names."""
        return Status.VALID in self.status and self.shown.verdict is VerdictCode.PASS
