"""The part in hand: from its trigger over its frame and its judgement to what is put out and recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .codes import Fault, Mode, TriggerKind, VerdictCode
from .display import Display
from .effects import Correct, Effect, Expose, Judge, Record, Say
from .events import Judged, NoFrame, Recorded, Taken, Trigger
from .image import Shown
from .part import Answer, Job, Outcome, Part, Token
from .settings import Settings

__all__ = ["Counts", "Parts"]


@dataclass
class Counts:
    """Parts since the start: all, those that did not pass, triggers that were missed, late verdicts."""

    parts: int = 0
    rejects: int = 0
    missed: int = 0
    late: int = 0


class Parts:
    """At most one part is in hand. ``emit`` takes what is to be done; ``finished`` is called at each part's end.

    `_put_out` is the only place where a verdict reaches ``display``. ``mode`` is changed between two parts (`become`).
    """

    def __init__(
        self,
        settings: Settings,
        boot: int,
        display: Display,
        emit: Callable[[Effect], None],
        finished: Callable[[Outcome, int], None],
    ) -> None:
        self._settings = settings
        self._boot = boot
        self._display = display
        self._emit = emit
        self._finished = finished
        self._seq = self._last_frame = 0
        self.mode = settings.mode
        self.part: Part | None = None
        self.accepted = 0  # the tag of the last part that was taken up
        self.exposed = False  # its frame was taken
        self.missed_last = False  # the last trigger was not accepted
        self.rejects_in_a_row = 0  # missed ones are among them
        self.counts = Counts()

    @property
    def due_ns(self) -> int | None:
        """When something is due for the part in hand: its verdict, or the end of patience."""
        part = self.part
        if part is None:
            return None
        give_up = part.at_ns + self._settings.give_up_ns
        if part.output is not None or part.deadline_ns is None:
            return give_up
        return min(give_up, part.at_ns + part.deadline_ns + 1)

    def expire(self, now: int) -> None:
        """Put out LATE at the deadline; give a part up for which no answer has come for too long."""
        part = self.part
        if part is None:
            return
        if part.output is None and part.deadline_ns is not None and now > part.at_ns + part.deadline_ns:
            part.late = True
            self._put_out(part, VerdictCode.NONE if self.mode is Mode.SHADOW else VerdictCode.LATE, now)
        if now >= part.at_ns + self._settings.give_up_ns:
            part.spoiled = part.spoiled or f"no answer within {self._settings.give_up_ns / 1e9:g} s"
            self._finish(part, part.outcome or _not_judged(Fault.HANG, part.spoiled), now)

    def forgive(self) -> None:
        """Forget what went wrong with the parts so far: somebody has looked."""
        self.missed_last = False
        self.rejects_in_a_row = 0

    def become(self, mode: Mode) -> None:
        """Change the mode; no part is in hand. What stands at the outputs was put out in the other one, and goes."""
        self.mode = mode
        self.rejects_in_a_row = 0
        self._display.drop()

    @property
    def stop_after(self) -> int:
        """After so many parts in a row that did not pass the PLC is asked to stop; 0: never, in shadow always so."""
        return 0 if self.mode is Mode.SHADOW else self._settings.stop_after_rejects

    def _count_in_a_row(self, *, passed: bool) -> None:
        self.rejects_in_a_row = 0 if passed else self.rejects_in_a_row + 1
        if self.stop_after == self.rejects_in_a_row > 0:
            text = f"{self.rejects_in_a_row} parts in a row did not pass: the PLC is asked to stop the line"
            self._emit(Say("warning", Fault.NONE, text))

    def abandon(self, why: str, now: int) -> None:
        """Record the part in hand as it is: nothing will be waited for any more."""
        if self.part is not None:
            self._finish(self.part, self.part.outcome or _not_judged(Fault.NONE, why), now)

    def _new_part(self, event: Trigger, job: Job | None, now: int) -> Part:
        self._seq += 1
        tag = event.tag or (self._seq - 1) % 0xFFFF + 1
        at = min(event.at_ns, now)
        deadline = self._settings.deadline_ns if job is None or job.deadline_ns is None else job.deadline_ns
        token = Token(self._boot, self._seq)
        return Part(token, event.kind, at, job, tag, event.part_id, event.serial, deadline, event.reply)

    def accept(self, event: Trigger, job: Job | None, now: int) -> None:
        """Take up a part: its frame is asked for."""
        if event.kind is not TriggerKind.FREE:  # there a result stands until the next one, or until it is too old
            self._display.clear()
        self.part = self._new_part(event, job, now)
        self.accepted = self.part.tag
        self.exposed = self.missed_last = False
        self._emit(Expose(self.part.token, self.part.at_ns))

    def miss(self, event: Trigger, job: Job | None, reason: str, now: int) -> None:
        """Count and record a trigger that cannot be served; nothing that stands may be taken for its verdict."""
        self._display.clear()
        if self.part is not None and self.part.frame_id is None:
            self.part.spoiled = "the next part came before its frame was taken"
        elif self.part is not None and self._settings.kind is TriggerKind.GPIO:  # wires carry no number: whose is it?
            self.part.spoiled = "the next part came before its verdict"
        missed = self._new_part(event, job, now)
        missed.output, missed.output_ns = VerdictCode.MISSED, now
        self.missed_last = True
        self.counts.missed += 1
        self._count_in_a_row(passed=False)
        outcome = Outcome(VerdictCode.MISSED, reason=reason)
        self._emit(Record(missed, outcome, VerdictCode.MISSED, now))
        self._emit(Answer(missed.token, VerdictCode.MISSED, 0.0, outcome, missed.reply))

    def taken(self, event: Taken, now: int) -> None:
        """A frame has come: it is judged if it is this part's, was taken after its trigger, and is a new one."""
        part = self.part
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
            self.exposed = True
            self._emit(Judge(part.token, event.frame_id, event.frame, part.job))

    def no_frame(self, event: NoFrame, now: int) -> None:
        """There is no frame for the part in hand."""
        part = self.part
        if part is not None and event.token == part.token and part.frame_id is None and part.outcome is None:
            self._decide(part, _not_judged(event.fault, event.text), now)

    def judged(self, event: Judged, now: int) -> None:
        """A judgement has come: it counts if it is of this part's frame, by the category that was pinned."""
        part = self.part
        if part is None or event.token != part.token or event.frame_id != part.frame_id or part.outcome is not None:
            return
        outcome = event.outcome
        if part.job is None or outcome.pin != part.job.pin:
            outcome = replace(_not_judged(Fault.JUDGE, "judged by another category than the job's"), ms=outcome.ms)
        self._decide(part, outcome, now)

    def silence(self, why: str, now: int) -> None:
        """Take the result away; what the part in hand comes to is recorded, and not put out."""
        self._display.drop()
        part = self.part
        if part is not None and part.output is None:
            part.output, part.output_ns, part.spoiled = VerdictCode.NOT_JUDGED, now, why
            ms = (now - part.at_ns) / 1e6
            self._emit(Answer(part.token, VerdictCode.NOT_JUDGED, ms, None, part.reply))

    def _decide(self, part: Part, outcome: Outcome, now: int) -> None:
        """The truth about a part is known: put it out, unless something stands against it, and record it."""
        part.outcome = outcome
        if self._settings.record_first and part.output is None:
            part.recorded = self._output_for(part, outcome)
            self._emit(Record(part, outcome, part.recorded, now, first=True))
            return
        self._finish(part, outcome, now)

    def recorded(self, event: Recorded, now: int) -> None:
        """The part's record is on the disk: what waited for that is put out."""
        part = self.part
        if part is not None and event.token == part.token and part.outcome is not None:
            self._finish(part, part.outcome, now)

    def _output_for(self, part: Part, outcome: Outcome) -> VerdictCode:
        if self.mode is Mode.SHADOW:
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
        self._emit(Answer(part.token, verdict, ms, part.outcome, part.reply))

    def _finish(self, part: Part, outcome: Outcome, now: int) -> None:
        """A part is done with: put it out if that is still to be done, record it, count it, do what waited for it."""
        part.outcome = outcome
        if part.output is None:
            self._put_out(part, self._output_for(part, outcome), now)
        assert part.output is not None
        if part.recorded is None:
            self._emit(Record(part, outcome, part.output, now))
        elif part.late or part.recorded is not part.output:
            self._emit(Correct(part.token.seq, part.output, part.late))
            text = f"part {part.token.seq} was recorded as {part.recorded.name}; put out was {part.output.name}"
            self._emit(Say("warning", Fault.NONE, text))
        self.part = None
        truth = outcome.verdict if self.mode is Mode.SHADOW else part.output
        self.counts.parts += 1
        self.counts.rejects += truth is not VerdictCode.PASS
        self._count_in_a_row(passed=truth is VerdictCode.PASS)
        self.counts.late += part.late
        self._finished(outcome, now)


def _not_judged(fault: Fault, text: str) -> Outcome:
    return Outcome(VerdictCode.NOT_JUDGED, error=text, fault=fault, reason="error")
