"""What the outputs say: the state, READY, the bits of STATUS and the whole image follow from what is in hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import or_

from .codes import Flag, Mode, State, Status, TriggerKind
from .display import Display
from .faults import Faults
from .image import ProcessImage
from .parts import Parts
from .plc import PlcLink
from .selection import Selection
from .settings import Settings

__all__ = ["Condition", "Outputs"]


@dataclass
class Condition:
    """Where a station is in its life; ``link_lost``: its PLC is gone; ``held``: why it is held, "" where it is not."""

    booted: bool = False
    running: bool = False
    halted: bool = False
    link_lost: bool = False
    held: str = ""


class Outputs:
    """Looks at the parts of one machine, and changes none of them."""

    def __init__(
        self,
        settings: Settings,
        condition: Condition,
        faults: Faults,
        plc: PlcLink,
        selection: Selection,
        display: Display,
        parts: Parts,
    ) -> None:
        self._settings, self._condition, self._faults, self._plc = settings, condition, faults, plc
        self._selection, self._display, self._parts = selection, display, parts

    @property
    def state(self) -> State:
        """What the station is doing."""
        condition, shown = self._condition, self._display.shown
        if condition.halted:
            return State.STOPPED
        if self._faults:
            return State.FAULT
        if not condition.booted:
            return State.BOOT
        if not condition.running or condition.held:
            return State.SETUP
        if self._parts.part is not None and shown is None:
            return State.BUSY
        if shown is not None:
            return State.RESULT
        return State.READY if self._selection.job else State.IDLE

    @property
    def online(self) -> bool:
        """Whether the station is started, not held, and has no fault."""
        condition = self._condition
        started = condition.running and condition.booted and not condition.held
        return started and not self._faults and not condition.halted

    @property
    def ready(self) -> bool:
        """Whether a trigger would be accepted."""
        enabled = self._settings.kind is not TriggerKind.MODBUS or self._plc.enabled
        free = self._parts.part is None and self._selection.settled
        return self.online and not self._condition.link_lost and enabled and free

    @property
    def unready(self) -> str:
        """Why a trigger was not accepted, for the record and whoever sent it."""
        condition = self._condition
        if self._parts.part is not None:
            return "another part is being judged"
        if condition.held:
            return f"the station is held: {condition.held}"
        if self._faults:
            return f"the station is not ready: fault {self._faults.first.value}, {self._faults.first.name}"
        if self.state is State.SETUP:
            return 'the station is not ready: it waits for "start"; station.autostart = true starts it by itself'
        if condition.link_lost:
            return "the station is not ready: the PLC's heartbeat has stopped"
        if self._settings.kind is TriggerKind.MODBUS and not self._plc.enabled:
            return "the station is not ready: the PLC has not set ENABLE"
        return f"the station is not ready: {self.state.name}"

    def render(self, before: ProcessImage, flags: Flag, now_ns: int) -> ProcessImage:
        """Return the image at ``now_ns``; ``flags`` are those that others have raised."""
        job, counts = self._selection.job, self._parts.counts
        return replace(
            before,
            at_ns=now_ns,
            state=self.state,
            status=self._status(),
            fault=self._faults.first,
            job=job.number if job else 0,
            accepted=self._parts.accepted,
            parts=counts.parts,
            rejects=counts.rejects,
            missed=counts.missed,
            late=counts.late,
            shown=self._display.result,
            flags=flags | self._display.flags | (Flag.HELD if self._condition.held else Flag.NONE),
            writes=self._plc.number,
        )

    def _status(self) -> Status:
        parts, display, most = self._parts, self._display, self._parts.stop_after
        bits = {
            Status.ONLINE: self.online,
            Status.READY: self.ready,
            Status.TRIGGER_ACK: parts.exposed and not parts.missed_last and self.online,
            Status.BUSY: parts.part is not None,
            Status.VALID: display.shown is not None,
            Status.ERROR: bool(self._faults),
            Status.MISSED: parts.missed_last,
            Status.OVERRUN: display.overrun,
            Status.JOB_OK: self._selection.job is not None,
            Status.WARNING: display.result.warn,
            Status.SHADOW: parts.mode is Mode.SHADOW,
            Status.SIMULATED: parts.mode is Mode.SIMULATE,
            Status.STOP_REQUEST: 0 < most <= parts.rejects_in_a_row,
        }
        return reduce(or_, (bit for bit, on in bits.items() if on), Status.NONE)
