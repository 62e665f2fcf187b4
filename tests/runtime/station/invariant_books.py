"""The books that the test of the invariant keeps of a machine, and what must hold at its outputs after every event."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from hypothesis.stateful import RuleBasedStateMachine, invariant

from regad.runtime.station.codes import Control, Fault, Flag, Mode, State, Status, TriggerKind, VerdictCode
from regad.runtime.station.effects import Effect, Expose, Judge, Load, ModeBegun, Record
from regad.runtime.station.events import Event, PlcWrote
from regad.runtime.station.image import PlcWords
from regad.runtime.station.machine import Machine
from regad.runtime.station.part import Answer, Job, Token

MS = 1_000_000
DEADLINE, HOLD, GIVE_UP, PLC_TIMEOUT = 50 * MS, 200 * MS, 400 * MS, 300 * MS
PINS = {1: "a" * 64, 2: "b" * 64}
CURED = [Fault.CAMERA, Fault.HANG, Fault.TRACE, Fault.JUDGE, Fault.CATEGORY, Fault.UNKNOWN_JOB]
"""The faults of which a thread of the line says that their cause is gone."""
SEEN: Counter[str] = Counter()
"""What came up in all sequences of this process: a test that never reaches PASS proves nothing."""


class Judgement(NamedTuple):
    """A verdict that was given in the test's own books."""

    verdict: VerdictCode
    pin: str
    frame_id: int
    at_ns: int


class Books:
    """What is true of one part, whatever the machine believes."""

    def __init__(self, token: Token, at_ns: int, job: Job, tag: int) -> None:
        self.token, self.at_ns, self.job, self.tag = token, at_ns, job, tag
        self.frame: tuple[int, int] | None = None  # its id and when it was taken
        self.judgements: list[Judgement] = []
        self.recorded = False  # its record is on the disk

    def proven(self, good: set[VerdictCode]) -> bool:
        """Whether a judgement of this part's own frame, in time, by the pinned category, says good."""
        if self.frame is None or not self.at_ns <= self.frame[1]:
            return False
        return any(
            each.verdict in good
            and each.pin == self.job.pin
            and each.frame_id == self.frame[0]
            and self.frame[1] <= each.at_ns <= self.at_ns + DEADLINE
            for each in self.judgements
        )


class Kept(RuleBasedStateMachine):
    """A machine, the books that are kept of it, and what must hold after every event."""

    def power_on(self) -> None:
        self.boot += 1
        self.machine = Machine(self.settings, self.boot)
        self.mode = self.settings.mode
        self.running = self.held = False
        self.used = 0
        self.books: dict[int, Books] = {}  # by seq
        self.open: Books | None = None
        self.shown: tuple[Books, VerdictCode, int] | None = None
        self.triggered_since = False
        self.words = PlcWords()
        self.beaten_ns: int | None = None
        self.job: Job | None = None
        self.loading: int | None = None
        self.recorded: list[int] = []
        self.answers: Counter[Token] = Counter()
        self.sent_ns = self.now

    def send(self, event: Event) -> None:
        self.sent_ns = self.now
        for effect in self.machine.handle(event, self.now):
            self.note(effect)

    def note(self, effect: Effect) -> None:
        if isinstance(effect, Expose):
            assert self.job is not None, "a part was accepted without a job"
            assert self.open is None or self.open.token.seq in self.recorded, "two parts in hand"
            seq = effect.token.seq
            tag = self.words.trigger_seq if self.settings.kind is TriggerKind.MODBUS else 0
            self.open = self.books[seq] = Books(effect.token, effect.after_ns, self.job, tag or seq)
            self.triggered_since = True
        elif isinstance(effect, Judge):
            assert self.open is not None and effect.token == self.open.token
            assert effect.job == self.open.job
            assert self.open.frame is not None and self.open.frame[0] == effect.frame_id
        elif isinstance(effect, Record):
            assert effect.part.token.seq not in self.recorded, "recorded twice"
            self.recorded.append(effect.part.token.seq)
            SEEN[f"record {effect.outcome.verdict.name}"] += 1
            SEEN[f"output {effect.output.name}"] += 1
            self.triggered_since |= effect.outcome.verdict is VerdictCode.MISSED
            if effect.output is VerdictCode.PASS:
                assert self.mode is not Mode.SHADOW
                assert self.books[effect.part.token.seq].proven(self.good)
        elif isinstance(effect, Load):
            self.job, self.loading = None, effect.number
        elif isinstance(effect, ModeBegun):
            assert self.open is None or self.open.token.seq in self.recorded, "the mode changed inside a part"
            assert effect.before is self.mode is not effect.mode
            self.mode, self.shown = effect.mode, None
            SEEN[f"mode {effect.mode.value}"] += 1
        elif isinstance(effect, Answer):
            self.answers[effect.token] += 1
            assert self.answers[effect.token] == 1, "answered twice"
            if effect.verdict is not VerdictCode.MISSED:
                self.shown = self.books[effect.token.seq], effect.verdict, self.now
                self.triggered_since = False

    def write(self, control: int, seq: int = 0, job: int = 1, beat: int = 0) -> None:
        before = self.words
        self.words = PlcWords(control, seq, job, 7, "", beat, before.number + 1)
        if beat != before.heartbeat:
            self.beaten_ns = self.now
        self.send(PlcWrote(self.words, self.now))

    @invariant()
    def pass_is_proven(self) -> None:
        image = self.machine.image
        SEEN[f"state {image.state.name}"] += 1
        if not image.passes:
            return
        SEEN["PASS seen"] += 1
        assert self.mode is not Mode.SHADOW and self.running and not self.held
        assert self.shown is not None, "PASS without a verdict"
        books, verdict, at = self.shown
        assert verdict is VerdictCode.PASS and image.shown.tag == books.tag, "PASS under another number"
        assert books.proven(self.good), "PASS without a proof"
        assert image.state is State.RESULT and not image.status & Status.ERROR
        assert self.settings.kind is TriggerKind.FREE or not self.triggered_since, "PASS beyond the next trigger"
        assert self.settings.hold_ns is None or self.sent_ns < at + self.settings.hold_ns, "PASS held too long"
        assert self.beaten_ns is None or self.sent_ns <= self.beaten_ns + PLC_TIMEOUT, "PASS without a PLC"
        assert self.settings.kind is not TriggerKind.MODBUS or self.words.control & Control.ENABLE
        assert not self.settings.record_first or books.recorded, "PASS before its record"

    @invariant()
    def the_image_agrees_with_itself(self) -> None:
        image = self.machine.image
        assert (Flag.HELD in image.flags) == self.held
        assert not (self.held and image.status & (Status.READY | Status.ONLINE | Status.VALID))
        if Status.VALID not in image.status:
            assert image.shown.verdict is VerdictCode.NONE
        if Status.READY in image.status:
            assert Status.BUSY not in image.status and Status.JOB_OK in image.status
            assert Status.ERROR not in image.status and Status.ONLINE in image.status
        assert not (Status.MISSED in image.status and Status.TRIGGER_ACK in image.status)
        if image.state is State.FAULT:
            assert image.fault is not Fault.NONE and Status.VALID not in image.status
        assert image.shown.verdict is not VerdictCode.MISSED
        assert image.at_ns == 0 or (Status.SHADOW in image.status) == (self.mode is Mode.SHADOW)
        assert self.mode is not Mode.SHADOW or image.shown.verdict is VerdictCode.NONE

    @invariant()
    def nobody_waits_for_ever(self) -> None:
        """A part that is in hand is asked about again: the machine names a time by which it is done with."""
        if Status.BUSY in self.machine.image.status:
            due = self.machine.due_ns
            assert due is not None and due <= self.now + GIVE_UP + 1
