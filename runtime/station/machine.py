"""The state machine: events in, effects out, and the process image that it alone changes.

It has no thread, no clock and no device, so every order of events can be tried. What it guarantees, whatever happens:
the image says PASS only while a finished judgement of that very part's frame, in time, by the pinned category, says
good. The state is never stored: it follows from what is in hand, so no two facts can disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Any

from .codes import Fault, Flag, Mode, State, Status, TriggerKind, VerdictCode
from .display import Display
from .events import (
    Answer,
    Beat,
    Booted,
    Effect,
    Event,
    Expose,
    Flagged,
    Gone,
    Halt,
    JobFailed,
    JobReady,
    JobWanted,
    Judge,
    Judged,
    Load,
    NoFrame,
    Outcome,
    Part,
    PlcWrote,
    Raised,
    Rebuild,
    Record,
    Recorded,
    Reset,
    Say,
    Severity,
    Start,
    Stop,
    Taken,
    Tick,
    Token,
    Trigger,
)
from .faults import Faults, Strikes
from .image import ProcessImage, Shown
from .plc import PlcLink
from .selection import Selection

__all__ = ["Machine", "Settings"]


@dataclass(frozen=True)
class Settings:
    """How a station decides. Times in nanoseconds.

    ``hold_ns`` is how long a result stands (None: until it is acknowledged or the next trigger). After ``give_up_ns``
    no answer about a part is waited for any more. ``strikes`` parts in a row that cannot be judged are a fault, and so
    are ``frozen`` frames in a row that are equal to the one before. A PLC whose heartbeat stands still for
    ``plc_timeout_ns`` is gone (None: not watched). ``record_first`` puts a result out only once it is on the disk.
    """

    mode: Mode = Mode.LIVE
    kind: TriggerKind = TriggerKind.COMMAND
    autostart: bool = False
    deadline_ns: int | None = None
    hold_ns: int | None = None
    review_passes: bool = False
    plc_timeout_ns: int | None = 2_000_000_000
    give_up_ns: int = 10_000_000_000
    strikes: int = 3
    frozen: int = 2
    record_first: bool = False


class Machine:
    """One station of one start of the process, ``boot``. Not thread-safe: the I/O thread alone calls it."""

    def __init__(self, settings: Settings, boot: int = 0) -> None:
        self._settings = settings
        self._boot = boot
        self._booted = self._running = self._halted = False
        self._faults = Faults()
        self._strikes = Strikes(settings.strikes, settings.frozen)
        self._plc = PlcLink(settings.plc_timeout_ns)
        self._selection = Selection()
        self._display = Display(settings.hold_ns)
        self._part: Part | None = None
        self._seq = self._last_frame = 0
        self._exposed = self._missed_last = self._link_lost = False
        self._flags = Flag.NONE
        self._image = ProcessImage()
        self._effects: list[Effect] = []
        self._handlers: dict[type, Callable[[Any, int], None]] = {
            Booted: self._on_booted,
            Start: self._on_start,
            Stop: self._on_stop,
            Halt: self._on_halt,
            Reset: self._on_reset,
            Trigger: self._on_trigger,
            PlcWrote: self._on_plc,
            Taken: self._on_taken,
            NoFrame: self._on_no_frame,
            Judged: self._on_judged,
            Recorded: self._on_recorded,
            JobWanted: self._on_job_wanted,
            JobReady: self._on_job_ready,
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
        if self._halted:
            return State.STOPPED
        if self._faults:
            return State.FAULT
        if not self._booted:
            return State.BOOT
        if not self._running:
            return State.SETUP
        if self._part is not None and self._display.shown is None:
            return State.BUSY
        if self._display.shown is not None:
            return State.RESULT
        return State.READY if self._selection.job else State.IDLE

    @property
    def ready(self) -> bool:
        """Whether a trigger would be accepted."""
        well = self._booted and self._running and not self._halted and not self._faults and not self._link_lost
        enabled = self._settings.kind is not TriggerKind.MODBUS or self._plc.enabled
        return well and enabled and self._part is None and self._selection.settled

    @property
    def due_ns(self) -> int | None:
        """When the machine next wants to be told the time, if nothing else happens."""
        part = self._part
        times = [self._display.due_ns, None if self._link_lost else self._plc.due_ns]
        if part is not None:
            times.append(part.at_ns + self._settings.give_up_ns)
            if part.output is None and part.deadline_ns is not None:
                times.append(part.at_ns + part.deadline_ns + 1)
        return min((time for time in times if time is not None), default=None)

    def handle(self, event: Event, now_ns: int) -> list[Effect]:
        """Take one event at ``now_ns`` (never less than before) and return what is to be done, in order."""
        self._effects = []
        self._expire(now_ns)
        self._handlers[type(event)](event, now_ns)
        if self._settings.kind is TriggerKind.FREE and self.ready:
            self._accept(Trigger(TriggerKind.FREE, now_ns), now_ns)
        self._image = self._render(now_ns)
        return self._effects

    # Time.

    def _expire(self, now: int) -> None:
        """Do what has fallen due: the deadline, the end of patience, the end of a result, a silent PLC."""
        part = self._part
        overdue = part is not None and part.deadline_ns is not None and now > part.at_ns + part.deadline_ns
        if part is not None and part.output is None and overdue:
            part.late = True
            self._put_out(part, VerdictCode.LATE, now)
        if part is not None and now >= part.at_ns + self._settings.give_up_ns:
            part.spoiled = part.spoiled or f"no answer within {self._settings.give_up_ns / 1e9:g} s"
            self._finish(part, part.outcome or _not_judged(Fault.HANG, part.spoiled), now)
        self._display.expire(now)
        lost = self._plc.lost(now)
        if lost and not self._link_lost:
            self._silence("the PLC's heartbeat stands still", now)
            self._say("alarm", Fault.NONE, "the PLC is gone: its heartbeat stands still")
        elif self._link_lost and not lost:
            self._say("info", Fault.NONE, "the PLC is back")
        self._link_lost = lost

    # The life of the station.

    def _on_booted(self, event: Booted, now: int) -> None:
        self._running |= self._settings.autostart and not self._booted
        self._booted = True

    def _on_start(self, event: Start, now: int) -> None:
        self._running = True

    def _on_stop(self, event: Stop, now: int) -> None:
        self._running = False
        self._silence("the station was stopped", now)

    def _on_halt(self, event: Halt, now: int) -> None:
        self._halted = True
        self._silence("the station is shutting down", now)
        if self._part is not None:
            self._finish(self._part, _not_judged(Fault.NONE, "the station is shutting down"), now)

    def _on_reset(self, event: Reset, now: int) -> None:
        self._missed_last = self._display.overrun = False
        for fault in self._faults.reset():
            self._say("warning", fault, f"fault {fault.value} ({fault.name}) stays: its cause is not gone")

    def _on_beat(self, event: Beat, now: int) -> None:
        if event.alive:
            self._image = replace(self._image, heartbeat=self._image.heartbeat + 1)
            self._end_fault(Fault.HANG)
        elif Fault.HANG not in self._faults:
            self._raise(Fault.HANG, event.text, now)

    def _on_flagged(self, event: Flagged, now: int) -> None:
        self._flags = self._flags | event.flag if event.on else self._flags & ~event.flag

    def _on_raised(self, event: Raised, now: int) -> None:
        self._raise(event.fault, event.text, now)

    def _on_gone(self, event: Gone, now: int) -> None:
        self._end_fault(event.fault)

    def _raise(self, fault: Fault, text: str, now: int) -> None:
        if self._faults.add(fault):
            self._say("alarm", fault, text)
        self._silence(text, now)

    def _end_fault(self, fault: Fault) -> None:
        if self._faults.gone(fault):
            self._say("info", fault, f"fault {fault.value} ({fault.name}) is over")

    # The PLC.

    def _on_plc(self, event: PlcWrote, now: int) -> None:
        was_enabled = self._plc.enabled
        events, acknowledged = self._plc.take(event.words, event.at_ns)
        self._expire(now)  # a heartbeat may be back
        if was_enabled and not self._plc.enabled and self._settings.kind is TriggerKind.MODBUS:
            self._silence("the PLC has taken ENABLE away", now)
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

    def _on_job_failed(self, event: JobFailed, now: int) -> None:
        self._selection.fail(event)
        self._change_job(now)

    def _change_job(self, now: int) -> None:
        """Do what waits for the end of the part in hand: let a broken job go, take up another one."""
        if self._part is not None:
            return
        if (broken := self._selection.drop()) is not None:
            self._raise(broken.fault, broken.text, now)
        if (number := self._selection.change()) is not None:
            self._effects.append(Load(number))

    # The part.

    def _on_trigger(self, event: Trigger, now: int) -> None:
        if self.ready and event.kind is self._settings.kind:
            self._accept(event, now)
        else:
            self._miss(event, now)

    def _new_part(self, event: Trigger, now: int) -> Part:
        self._seq += 1
        tag = event.tag or (self._seq - 1) % 0xFFFF + 1
        at = min(event.at_ns, now)
        job = self._selection.job
        deadline = self._settings.deadline_ns if job is None or job.deadline_ns is None else job.deadline_ns
        token = Token(self._boot, self._seq)
        return Part(token, event.kind, at, job, tag, event.part_id, event.serial, deadline, event.reply)

    def _accept(self, event: Trigger, now: int) -> None:
        if event.kind is not TriggerKind.FREE:  # there a result stands until the next one, or until it is too old
            self._display.clear()
        self._part = self._new_part(event, now)
        self._exposed = self._missed_last = False
        self._effects.append(Expose(self._part.token, self._part.at_ns))

    def _miss(self, event: Trigger, now: int) -> None:
        """Count and record a trigger that cannot be served; nothing that stands may be taken for its verdict."""
        reason = "another part is in hand" if self._part else f"the station is {self.state.name}, not ready"
        self._display.clear()
        if self._part is not None and self._part.frame_id is None:
            self._part.spoiled = "the next part came before its frame was taken"
        missed = self._new_part(event, now)
        missed.output, missed.output_ns = VerdictCode.MISSED, now
        self._missed_last = True
        self._image = replace(self._image, missed=self._image.missed + 1)
        outcome = Outcome(VerdictCode.MISSED, reason=reason)
        self._effects.append(Record(missed, outcome, VerdictCode.MISSED, now))
        self._effects.append(Answer(missed.token, VerdictCode.MISSED, 0.0, outcome, missed.reply))

    def _on_taken(self, event: Taken, now: int) -> None:
        part = self._part
        if part is None or event.token != part.token or part.frame_id is not None or part.outcome is not None:
            return
        if event.frame_id <= self._last_frame:
            self._decide(part, _not_judged(Fault.FROZEN, f"the camera gave frame {event.frame_id} again"), now)
        elif not part.at_ns <= event.taken_ns <= now:
            self._decide(part, _not_judged(Fault.CAMERA, "the frame was not taken after the trigger"), now)
        else:
            assert part.job is not None
            self._last_frame = part.frame_id = event.frame_id
            part.frame, part.taken_ns = event.frame, event.taken_ns
            self._exposed = True
            self._effects.append(Judge(part.token, event.frame_id, event.frame, part.job))

    def _on_no_frame(self, event: NoFrame, now: int) -> None:
        part = self._part
        if part is not None and event.token == part.token and part.frame_id is None and part.outcome is None:
            self._decide(part, _not_judged(event.fault, event.text), now)

    def _on_judged(self, event: Judged, now: int) -> None:
        part = self._part
        if part is None or event.token != part.token or event.frame_id != part.frame_id or part.outcome is not None:
            return
        outcome = event.outcome
        if part.job is None or outcome.pin != part.job.pin:
            outcome = replace(_not_judged(Fault.JUDGE, "judged by another category than the job's"), ms=outcome.ms)
        self._decide(part, outcome, now)

    def _decide(self, part: Part, outcome: Outcome, now: int) -> None:
        """The truth about a part is known: put it out, unless something stands against it, and record it."""
        part.outcome = outcome
        if self._settings.record_first and part.output is None:
            part.recorded = self._output_for(part, outcome)
            self._effects.append(Record(part, outcome, part.recorded, now, first=True))
            return
        self._finish(part, outcome, now)

    def _on_recorded(self, event: Recorded, now: int) -> None:
        part = self._part
        if part is not None and event.token == part.token and part.outcome is not None:
            self._finish(part, part.outcome, now)

    def _output_for(self, part: Part, outcome: Outcome) -> VerdictCode:
        if self._settings.mode is Mode.SHADOW:
            return VerdictCode.NONE
        if part.spoiled:
            return VerdictCode.NOT_JUDGED
        if outcome.verdict is VerdictCode.REVIEW and self._settings.review_passes:
            return VerdictCode.PASS
        return outcome.verdict

    def _put_out(self, part: Part, verdict: VerdictCode, now: int) -> None:
        """Show a verdict; it is the only place where one reaches the outputs."""
        part.output, part.output_ns = verdict, now
        outcome = part.outcome or Outcome(verdict)
        percent = 100 * outcome.score / outcome.threshold if outcome.score is not None and outcome.threshold else 0.0
        ms = (now - part.at_ns) / 1e6
        spot = outcome.spot or (0, 0)
        self._display.show(Shown(part.tag, part.part_id, verdict, percent, ms, spot, outcome.warn), now)
        self._effects.append(Answer(part.token, verdict, ms, part.outcome, part.reply))

    def _finish(self, part: Part, outcome: Outcome, now: int) -> None:
        """A part is done with: put it out if that is still to be done, record it, count it, do what waited for it."""
        part.outcome = outcome
        if part.output is None:
            self._put_out(part, self._output_for(part, outcome), now)
        assert part.output is not None
        if part.recorded is None:
            self._effects.append(Record(part, outcome, part.output, now))
        elif part.recorded is not part.output:
            text = f"part {part.token.seq} was recorded as {part.recorded.name}; put out was {part.output.name}"
            self._say("warning", Fault.NONE, text)
        self._part = None
        image, shadow = self._image, self._settings.mode is Mode.SHADOW
        rejected = (outcome.verdict if shadow else part.output) is not VerdictCode.PASS
        counts = (image.parts + 1, image.rejects + rejected, image.late + part.late)
        self._image = replace(image, parts=counts[0], rejects=counts[1], late=counts[2])
        self._count_strike(outcome, now)
        self._change_job(now)

    def _count_strike(self, outcome: Outcome, now: int) -> None:
        if self._strikes.count(outcome.fault):
            self._raise(outcome.fault, outcome.error, now)
            if outcome.fault is Fault.JUDGE:
                self._effects.append(Rebuild())

    # The outputs.

    def _silence(self, why: str, now: int) -> None:
        """Take the result away; what the part in hand comes to is recorded, and not put out."""
        self._display.drop()
        part = self._part
        if part is not None and part.output is None:
            part.output, part.output_ns, part.spoiled = VerdictCode.NOT_JUDGED, now, why
            ms = (now - part.at_ns) / 1e6
            self._effects.append(Answer(part.token, VerdictCode.NOT_JUDGED, ms, None, part.reply))

    def _say(self, severity: Severity, fault: Fault, text: str) -> None:
        self._effects.append(Say(severity, fault, text))

    def _status(self) -> Status:
        online = self._running and self._booted and not self._faults and not self._halted
        bits = {
            Status.ONLINE: online,
            Status.READY: self.ready,
            Status.TRIGGER_ACK: self._exposed and online,
            Status.BUSY: self._part is not None,
            Status.VALID: self._display.shown is not None,
            Status.ERROR: bool(self._faults),
            Status.MISSED: self._missed_last,
            Status.OVERRUN: self._display.overrun,
            Status.JOB_OK: self._selection.job is not None,
            Status.WARNING: self._display.result.warn,
            Status.SHADOW: self._settings.mode is Mode.SHADOW,
            Status.SIMULATED: self._settings.mode is Mode.SIMULATE,
        }
        return reduce(or_, (bit for bit, on in bits.items() if on), Status.NONE)

    def _render(self, now: int) -> ProcessImage:
        job = self._selection.job
        return replace(
            self._image,
            at_ns=now,
            state=self.state,
            status=self._status(),
            fault=self._faults.first,
            job=job.number if job else 0,
            accepted=self._part.tag if self._part else self._image.accepted,
            shown=self._display.result,
            flags=self._flags | self._display.flags,
            writes=self._plc.number,
        )


def _not_judged(fault: Fault, text: str) -> Outcome:
    return Outcome(VerdictCode.NOT_JUDGED, error=text, fault=fault, reason="error")
