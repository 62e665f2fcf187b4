"""The numbers of the station's interface: states, verdicts, modes, faults, and the bits that a PLC reads and writes.

They are in the register map, in the trace, and in docs/registers.md, station.md and trace.md; a number never changes
its meaning.
"""

from __future__ import annotations

from enum import Enum, IntEnum, IntFlag

__all__ = ["Control", "Fault", "Flag", "Mode", "State", "Status", "TriggerKind", "VerdictCode"]


class State(IntEnum):
    """What the station is doing (word 102). OPC 40100-1's names for it in brackets."""

    BOOT = 0
    """The model is opened and tries its self-test."""
    SETUP = 1
    """Sound, but not started, or held [Preoperational]."""
    IDLE = 2
    """Started, without a job that could judge [Initialized]."""
    READY = 3
    """Waits for a trigger [Ready]."""
    BUSY = 4
    """A part is in hand [SingleExecution]."""
    RESULT = 5
    """The verdict on the last part stands at the outputs [SingleExecution]."""
    FAULT = 6
    """Something has to be put right; word 103 says what [Error]."""
    STOPPED = 7
    """On its way out of the process [Halted]."""


class VerdictCode(IntEnum):
    """The verdict on a part (word 113). Everything but PASS is a reject, and so is silence."""

    NONE = 0
    PASS = 1
    REJECT = 2
    REVIEW = 3
    """Between the warn limit and the threshold."""
    NOT_JUDGED = 4
    """No frame, an unusable one, or an error while judging."""
    LATE = 5
    """The deadline passed first; the true verdict is in the trace."""
    NO_PART = 6
    """The frame shows no part, another one, or a misplaced one."""
    MISSED = 7
    """Triggered while not ready. In the trace only, never at the outputs."""


class Mode(str, Enum):
    """How far the verdicts reach."""

    SHADOW = "shadow"
    """Judges and records; the outputs never say PASS or anything else: VERDICT stays NONE."""
    LIVE = "live"
    SIMULATE = "simulate"
    """As live, with drawn or recorded pictures: the outputs are marked as simulated."""


class TriggerKind(str, Enum):
    """Who says that a part is there."""

    COMMAND = "command"
    MODBUS = "modbus"
    GPIO = "gpio"
    FREE = "free"
    """Nobody: each frame is a part."""


class Fault(IntEnum):
    """Why the station is in FAULT (word 103)."""

    NONE = 0
    CAMERA = 10
    """The camera gives no frames."""
    FROZEN = 11
    """The camera gives the same frame again."""
    PICTURE = 12
    """The picture cannot be used: black, white, or not an image."""
    CATEGORY = 20
    """The category file of the job is missing, damaged or not the one that is pinned."""
    UNKNOWN_JOB = 21
    """There is no job of that number."""
    JUDGE = 30
    """Judging failed three times in a row, or the self-test did; the backend is opened again."""
    HANG = 31
    """A thread of the line does not answer."""
    TRACE = 40
    """Nothing can be recorded, and the station is to stop then."""
    INTERNAL = 50
    """The station's own logic failed; restart it and report the text."""


class Control(IntFlag):
    """Bits of word 0, written by the PLC. ``edge``: what counts is the change from 0 to 1."""

    NONE = 0
    ENABLE = 1 << 0
    TRIGGER = 1 << 1
    """Edge, or a changed trigger_seq while it is set."""
    ACK = 1 << 2
    """Edge: the result has been read."""
    CLEAR = 1 << 3
    """Edge: clear faults whose cause is gone."""
    SET_JOB = 1 << 4
    """Edge: change to the job in word 2."""


class Status(IntFlag):
    """Bits of word 100, read by the PLC."""

    NONE = 0
    ONLINE = 1 << 0
    """Camera and judge are at work: the station is started and has no fault."""
    READY = 1 << 1
    """A trigger would be accepted."""
    TRIGGER_ACK = 1 << 2
    """The frame of the last accepted part has been taken: the part may move on. 0 beside MISSED."""
    BUSY = 1 << 3
    VALID = 1 << 4
    """Words 110 to 119 are the result of the part whose number is in result_seq."""
    ERROR = 1 << 5
    MISSED = 1 << 6
    """The last trigger was not accepted."""
    OVERRUN = 1 << 7
    """A result was replaced before it was acknowledged."""
    JOB_OK = 1 << 8
    WARNING = 1 << 9
    """The part that is shown scored above the warn limit."""
    SHADOW = 1 << 10
    HEARTBEAT = 1 << 11
    """Toggles with word 101."""
    SIMULATED = 1 << 12
    """The pictures are drawn or recorded: no part may pass on them."""
    STOP_REQUEST = 1 << 13
    """So many parts in a row did not pass that the line had better be stopped: the PLC decides."""


class Flag(IntFlag):
    """Bits of word 118."""

    NONE = 0
    LATE = 1 << 0
    """The verdict shown is LATE."""
    OFTEN_LATE = 1 << 1
    """Three of the last twenty parts were late."""
    DESK_OFFLINE = 1 << 2
    """The page's process is not running."""
    TRACE_BEHIND = 1 << 3
    """Records are not on the disk: it is full, slow or damaged."""
    CLOCK_BAD = 1 << 4
    """The wall clock has jumped or was never set; the times in the trace are not to be trusted."""
    HELD = 1 << 5
    """Not READY until somebody releases the station: a challenge is due, or was not passed."""
