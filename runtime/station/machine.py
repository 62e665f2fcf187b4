"""The state machine: events in, effects out, and the process image that it alone changes.

It has no thread, no clock and no device, so every order of events can be tried. What it guarantees, whatever happens:
the image says PASS only while a finished judgement of that very part's frame, in time, by the pinned category, says
good. The state is never stored: it follows from what is in hand, so no two facts can disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .codes import Fault, Flag, State, TriggerKind, VerdictCode
from .display import Display
from .effects import Effect, Load, ModeBegun, Rebuild, Say, Severity
from .events import (
    Beat,
    Booted,
    Event,
    Flagged,
    Gone,
    Halt,
    Held,
    JobFailed,
    JobReady,
    JobRenewed,
    JobWanted,
    Judged,
    ModeWanted,
    NoFrame,
    PlcWrote,
    Raised,
    Recorded,
    Released,
    Reset,
    Start,
    Stop,
    Taken,
    Tick,
    Trigger,
)
from .faults import Faults, Strikes
from .image import ProcessImage
from .outputs import Condition, Outputs
from .part import Outcome
from .parts import Parts
from .plc import PlcLink
from .selection import Selection
from .settings import Settings

__all__ = ["Machine"]


class Machine:
    """One station of one start of the process, ``boot``. Not thread-safe: the I/O thread alone calls it."""

    def __init__(self, settings: Settings, boot: int = 0) -> None:
        self._settings = settings
        self._condition = Condition()
        self._faults = Faults()
        self._strikes = Strikes(settings.strikes, settings.frozen)
        self._plc = PlcLink(settings.plc_timeout_ns)
        self._selection = Selection()
        self._display = Display(settings.hold_ns)
        self._parts = Parts(settings, boot, self._display, self._emit, self._on_finished)
        self._outputs = Outputs(
            settings, self._condition, self._faults, self._plc, self._selection, self._display, self._parts
        )
        self._mode: ModeWanted | None = None  # waits for the end of the part in hand, and of its result
        self._rebuilding = False  # the backend is being opened again
        self._flags = Flag.NONE
        self._image = ProcessImage()
        self._effects: list[Effect] = []
        self._handlers: dict[type, Callable[[Any, int], None]] = {
            Booted: self._on_booted,
            Start: self._on_start,
            Stop: self._on_stop,
            Halt: self._on_halt,
            ModeWanted: self._on_mode_wanted,
            Held: self._on_held,
            Released: self._on_released,
            Reset: self._on_reset,
            Trigger: self._on_trigger,
            PlcWrote: self._on_plc,
            Taken: self._parts.taken,
            NoFrame: self._parts.no_frame,
            Judged: self._parts.judged,
            Recorded: self._parts.recorded,
            JobWanted: self._on_job_wanted,
            JobReady: self._on_job_ready,
            JobRenewed: self._on_job_renewed,
            JobFailed: self._on_job_failed,
            Raised: self._on_raised,
            Gone: self._on_gone,
            Beat: self._on_beat,
            Flagged: self._on_flagged,
            Tick: lambda event, now: None,
        }

    # What the outside sees.

    @property
    def image(self) -> ProcessImage:
        """The process image after the last event."""
        return self._image

    @property
    def state(self) -> State:
        """What the station is doing."""
        return self._outputs.state

    @property
    def ready(self) -> bool:
        """Whether a trigger would be accepted."""
        return self._outputs.ready

    @property
    def due_ns(self) -> int | None:
        """When the machine next wants to be told the time, if nothing else happens."""
        times = [self._parts.due_ns, self._display.due_ns, None if self._condition.link_lost else self._plc.due_ns]
        return min((time for time in times if time is not None), default=None)

    def handle(self, event: Event, now_ns: int) -> list[Effect]:
        """Take one event at ``now_ns`` (never less than before) and return what is to be done, in order."""
        self._effects = []
        self._expire(now_ns)
        self._handlers[type(event)](event, now_ns)
        if self._display.result.verdict is VerdictCode.NONE:
            self._change_mode()
        if self._settings.kind is TriggerKind.FREE and self.ready:
            self._change_mode()
            self._parts.accept(Trigger(TriggerKind.FREE, now_ns), self._selection.job, now_ns)
        self._image = self._outputs.render(self._image, self._flags, now_ns)
        return self._effects

    # Time.

    def _expire(self, now: int) -> None:
        """Do what has fallen due: the deadline, the end of patience, the end of a result, a silent PLC."""
        self._parts.expire(now)
        self._display.expire(now)
        lost = self._plc.lost(now)
        if lost and not self._condition.link_lost:
            self._parts.silence("the PLC's heartbeat has stopped", now)
            self._say("alarm", Fault.NONE, "the PLC is gone: its heartbeat has stopped")
        elif self._condition.link_lost and not lost:
            self._say("info", Fault.NONE, "the PLC is back")
        self._condition.link_lost = lost

    # The life of the station.

    def _on_booted(self, event: Booted, now: int) -> None:
        self._condition.running |= self._settings.autostart and not self._condition.booted
        self._condition.booted = True

    def _on_start(self, event: Start, now: int) -> None:
        self._condition.running = True

    def _on_stop(self, event: Stop, now: int) -> None:
        self._condition.running = False
        self._parts.silence("the station was stopped", now)

    def _on_held(self, event: Held, now: int) -> None:
        self._condition.held = event.reason
        self._parts.silence(f"the station is held: {event.reason}", now)

    def _on_released(self, event: Released, now: int) -> None:
        self._condition.held = ""

    def _on_mode_wanted(self, event: ModeWanted, now: int) -> None:
        self._mode = event
        self._change_mode()

    def _change_mode(self) -> None:
        wanted, before = self._mode, self._parts.mode
        if wanted is None or self._parts.part is not None:
            return
        self._mode = None
        if wanted.mode is not before:
            self._parts.become(wanted.mode)
            self._emit(ModeBegun(wanted.mode, before, wanted.by))

    def _on_halt(self, event: Halt, now: int) -> None:
        self._condition.halted = True
        self._parts.silence("the station is shutting down", now)
        self._parts.abandon("the station is shutting down", now)

    def _on_reset(self, event: Reset, now: int) -> None:
        self._parts.forgive()
        self._display.overrun = False
        for fault in self._faults.reset():
            self._say("warning", fault, f"fault {fault.value} ({fault.name}) remains: its cause is still there")
            if fault is Fault.JUDGE and not self._rebuilding:
                self._rebuild()

    def _rebuild(self) -> None:
        self._rebuilding = True
        self._emit(Rebuild())

    def _on_beat(self, event: Beat, now: int) -> None:
        if event.alive:
            self._image = replace(self._image, heartbeat=self._image.heartbeat + 1)
            self._end_fault(Fault.HANG)
        elif Fault.HANG not in self._faults:
            self._raise(Fault.HANG, event.text, now)

    def _on_flagged(self, event: Flagged, now: int) -> None:
        self._flags = self._flags | event.flag if event.on else self._flags & ~event.flag

    def _on_raised(self, event: Raised, now: int) -> None:
        self._rebuilding &= event.fault is not Fault.JUDGE  # it failed
        self._raise(event.fault, event.text, now)

    def _on_gone(self, event: Gone, now: int) -> None:
        self._rebuilding &= event.fault is not Fault.JUDGE
        self._end_fault(event.fault)

    def _raise(self, fault: Fault, text: str, now: int) -> None:
        if self._faults.add(fault):
            self._say("alarm", fault, text)
        self._parts.silence(text, now)

    def _end_fault(self, fault: Fault) -> None:
        if self._faults.gone(fault):
            self._say("info", fault, f"fault {fault.value} ({fault.name}) is over")

    # The PLC.

    def _on_plc(self, event: PlcWrote, now: int) -> None:
        was_enabled = self._plc.enabled
        events, acknowledged = self._plc.take(event.words, event.at_ns)
        self._expire(now)  # a heartbeat may be back
        if was_enabled and not self._plc.enabled and self._settings.kind is TriggerKind.MODBUS:
            self._parts.silence("the PLC has cleared ENABLE", now)
        if acknowledged:
            self._display.acknowledge()
        for wanted in events:
            self._handlers[type(wanted)](wanted, now)

    # The job.

    def _on_job_wanted(self, event: JobWanted, now: int) -> None:
        self._selection.want(event.number)
        self._change_job(now)

    def _on_job_ready(self, event: JobReady, now: int) -> None:
        if self._selection.loaded(event.job):
            self._end_fault(Fault.CATEGORY)
            self._end_fault(Fault.UNKNOWN_JOB)

    def _on_job_renewed(self, event: JobRenewed, now: int) -> None:
        self._selection.renew(event.number)
        self._change_job(now)

    def _on_job_failed(self, event: JobFailed, now: int) -> None:
        self._selection.fail(event)
        self._change_job(now)

    def _change_job(self, now: int) -> None:
        """Do what waits for the end of the part in hand: let a broken job go, take up another one."""
        if self._parts.part is not None:
            return
        if (broken := self._selection.drop()) is not None:
            self._raise(broken.fault, broken.text, now)
        if (number := self._selection.change()) is not None:
            self._emit(Load(number))

    # The part.

    def _on_trigger(self, event: Trigger, now: int) -> None:
        self._change_mode()
        self._image = replace(self._image, edges=max(self._image.edges, event.edge))
        if self.ready and event.kind is self._settings.kind:
            self._parts.accept(event, self._selection.job, now)
            return
        self._parts.miss(event, self._selection.job, self._outputs.unready, now)

    def _on_finished(self, outcome: Outcome, now: int) -> None:
        """A part is done with: too many failures in a row are a fault, and what waited for its end is done."""
        if self._strikes.count(outcome.fault):
            self._raise(outcome.fault, outcome.error, now)
            if outcome.fault is Fault.JUDGE:
                self._rebuild()
        self._change_job(now)

    # The outputs.

    def _emit(self, effect: Effect) -> None:
        self._effects.append(effect)

    def _say(self, severity: Severity, fault: Fault, text: str) -> None:
        self._emit(Say(severity, fault, text))
