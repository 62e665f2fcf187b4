"""The central invariant, tried with any sequence of events.

PASS is at the outputs only while a finished judgement of that very part's frame, in time, by the pinned category, says
good. The test keeps books of its own: what was triggered, which frame was taken when, what was judged and when; it
never asks the machine why.

``python tests/runtime/station/test_invariant.py --count 10000`` tries that many sequences and says what came up.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from regad.runtime.station.codes import Control, Fault, Flag, Mode, State, Status, TriggerKind, VerdictCode
from regad.runtime.station.events import (
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
from regad.runtime.station.part import Job, Outcome, Token
from regad.runtime.station.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))

from invariant_books import CURED, DEADLINE, GIVE_UP, HOLD, MS, PINS, PLC_TIMEOUT, SEEN, Judgement, Kept

verdicts = st.sampled_from([VerdictCode.PASS] * 3 + [VerdictCode.REJECT, VerdictCode.REVIEW, VerdictCode.NOT_JUDGED])
rarely = st.sampled_from([False] * 5 + [True])
pauses = st.sampled_from([0, 0, 1, 5 * MS, 20 * MS, 51 * MS, 210 * MS, 450 * MS])


class AnyOrder(Kept):
    """Everything that camera, judge, jobs, PLC and people can do, in any order."""

    @initialize(
        mode=st.sampled_from([Mode.LIVE, Mode.LIVE, Mode.LIVE, Mode.SHADOW, Mode.SIMULATE]),
        kind=st.sampled_from([TriggerKind.COMMAND, TriggerKind.MODBUS, TriggerKind.FREE]),
        autostart=st.booleans(),
        hold=st.sampled_from([None, HOLD]),
        review_passes=st.booleans(),
        record_first=st.booleans(),
        awake=st.sampled_from([True, True, True, False]),
    )
    def build(
        self,
        mode: Mode,
        kind: TriggerKind,
        autostart: bool,
        hold: int | None,
        review_passes: bool,
        record_first: bool,
        awake: bool,
    ) -> None:
        self.settings = Settings(
            mode=mode,
            kind=kind,
            autostart=autostart,
            deadline_ns=DEADLINE,
            hold_ns=HOLD if kind is TriggerKind.FREE else hold,
            review_passes=review_passes,
            plc_timeout_ns=PLC_TIMEOUT,
            give_up_ns=GIVE_UP,
            record_first=record_first,
        )
        self.good = {VerdictCode.PASS} | ({VerdictCode.REVIEW} if review_passes else set())
        self.now = 1
        self.boot = 0
        self.frames = 0
        self.pins = dict(PINS)  # of the newest version of each job
        self.old: list[tuple[Token, int]] = []
        self.power_on()
        if awake:
            self.all_is_well_again()

    # Time, people, PLC.

    @rule(pause=pauses)
    def wait(self, pause: int) -> None:
        self.now += pause
        self.send(Tick())

    @rule(pause=pauses)
    def time_passes_unnoticed(self, pause: int) -> None:
        """The I/O thread was held up: the next event comes late, without a tick before it."""
        self.now += pause

    @rule(event=st.sampled_from([Start(), Stop(), Reset(), Booted(), Beat(True), Beat(False, "the judge hangs")]))
    def life(self, event: Event) -> None:
        if isinstance(event, Start | Stop):
            self.running = isinstance(event, Start)
        elif isinstance(event, Booted):
            self.running |= self.settings.autostart
        self.send(event)

    @rule(
        fault=st.sampled_from([Fault.CAMERA, Fault.HANG, Fault.TRACE, Fault.JUDGE, Fault.FROZEN]),
        gone=st.booleans(),
        really=rarely,
    )
    def trouble(self, fault: Fault, gone: bool, really: bool) -> None:
        if not really:
            return
        self.send(Raised(fault, "trouble"))
        if gone:
            self.send(Gone(fault))
            self.send(Reset())

    @rule(on=rarely)
    def hold(self, on: bool) -> None:
        """The desk holds the station for a challenge; more often somebody releases it."""
        self.held = on
        self.send(Held("a challenge is due") if on else Released())

    @rule(mode=st.sampled_from([Mode.LIVE, Mode.LIVE, Mode.SHADOW]), really=rarely)
    def mode_wanted(self, mode: Mode, really: bool) -> None:
        """An engineer switches between shadow and live; a station that simulates is never asked."""
        if really and self.settings.mode is not Mode.SIMULATE:
            self.send(ModeWanted(mode, "anna"))

    @rule(on=st.booleans())
    def desk(self, on: bool) -> None:
        self.send(Flagged(Flag.DESK_OFFLINE, on))

    @rule()
    def all_is_well_again(self) -> None:
        """Somebody has put things right: no fault, a job, a PLC that is there."""
        for fault in CURED:
            self.send(Gone(fault))
        self.wake()
        self.write(Control.ENABLE, 0, 1, 1 - self.words.heartbeat % 2)
        self.send(Reset())
        assert Status.ERROR not in self.machine.image.status, "a fault whose cause is gone outlives the reset"
        self.job_wanted(1)
        self.job_ready(False)

    @rule(really=rarely)
    def kill(self, really: bool) -> None:
        if not really:
            return
        if self.open is not None and self.open.frame is not None:
            self.old.append((self.open.token, self.open.frame[0]))
        SEEN["kill"] += 1
        self.power_on()
        self.all_is_well_again()

    def wake(self) -> None:
        self.send(Booted())
        self.running, self.held = True, False
        self.send(Start())
        self.send(Released())

    @rule(really=rarely)
    def halt(self, really: bool) -> None:
        if not really:
            return
        self.send(Halt())
        assert self.machine.state is State.STOPPED
        assert self.open is None or self.open.token.seq in self.recorded
        self.kill(True)

    @rule(
        control=st.sampled_from(
            [
                Control.ENABLE,
                Control.ENABLE | Control.TRIGGER,
                Control.ENABLE | Control.TRIGGER,
                Control.ENABLE | Control.ACK,
                Control.ENABLE | Control.CLEAR,
                Control.ENABLE | Control.SET_JOB,
                Control.NONE,
            ]
        ),
        seq=st.integers(0, 3),
        job=st.integers(1, 3),
        beat=st.sampled_from([None, None, 1, 2]),
    )
    def plc(self, control: int, seq: int, job: int, beat: int | None) -> None:
        self.write(control, seq, job, self.words.heartbeat if beat is None else beat)

    @rule(age=st.sampled_from([0, 0, 3 * MS, 60 * MS]))
    def trigger(self, age: int) -> None:
        self.send(Trigger(TriggerKind.COMMAND, max(0, self.now - age)))

    @rule(age=st.sampled_from([0, 3 * MS]), exposed=st.booleans(), good=st.booleans())
    def a_part_as_it_should_be(self, age: int, exposed: bool, good: bool) -> None:
        """Put right, triggered the way the station wants it, perhaps exposed, perhaps judged good and recorded."""
        if not self.machine.ready and self.open_is_done():
            self.all_is_well_again()
        if self.settings.kind is TriggerKind.COMMAND:
            self.trigger(age)
        elif self.settings.kind is TriggerKind.MODBUS:
            self.write(Control.ENABLE, 0, 1, self.words.heartbeat)
            self.write(Control.ENABLE | Control.TRIGGER, 1 + self.words.number % 5, 1, self.words.heartbeat)
        self.now += 1
        if exposed:
            self.frame(0, 1, False)
        if exposed and good:
            self.judged(VerdictCode.PASS, 1, 0)
            self.on_the_disk()

    def open_is_done(self) -> bool:
        return Status.BUSY not in self.machine.image.status

    # Camera.

    @precondition(lambda self: self.open is not None)
    @rule(age=st.sampled_from([0, 0, 0, 1, 30 * MS]), step=st.sampled_from([1, 1, 1, 2, 0]), foreign=st.booleans())
    def frame(self, age: int, step: int, foreign: bool) -> None:
        """A frame: in time, from before the trigger (early), given twice (``step`` 0), or for another part."""
        if self.open is None:
            return
        self.frames += step
        taken = self.now - age
        token = Token(self.open.token.boot, self.open.token.seq + 1) if foreign else self.open.token
        usable = self.frames > self.used and not foreign and taken >= self.open.at_ns
        if usable and self.open.frame is None and self.open.token.seq not in self.recorded:
            self.used = self.frames
            self.open.frame = (self.frames, taken)
        self.send(Taken(token, self.frames, taken, object()))

    @precondition(lambda self: self.open is not None)
    @rule(fault=st.sampled_from([Fault.CAMERA, Fault.FROZEN]))
    def no_frame(self, fault: Fault) -> None:
        if self.open is not None:
            self.send(NoFrame(self.open.token, fault, "no frame"))

    # Judge.

    @precondition(lambda self: self.open is not None and self.open.frame is not None)
    @rule(verdict=verdicts, pin=st.sampled_from([1, 1, 1, 1, 2, 3]), wrong_frame=st.sampled_from([0, 0, 0, 1, -1]))
    def judged(self, verdict: VerdictCode, pin: int, wrong_frame: int) -> None:
        if self.open is None or self.open.frame is None:
            return
        number = self.open.job.number
        used = {1: self.open.job.pin, 2: self.pins[3 - number], 3: self.pins[number]}[pin]
        frame_id = self.open.frame[0] + wrong_frame
        if verdict is not VerdictCode.NOT_JUDGED:
            self.open.judgements.append(Judgement(verdict, used, frame_id, self.now))
        fault = Fault.JUDGE if verdict is VerdictCode.NOT_JUDGED else Fault.NONE
        outcome = Outcome(verdict, used, 1.0, 2.0, verdict is VerdictCode.REVIEW, fault=fault)
        self.send(Judged(self.open.token, frame_id, outcome))

    @precondition(lambda self: bool(self.old))
    @rule(data=st.data(), verdict=verdicts)
    def an_answer_from_before(self, data: st.DataObject, verdict: VerdictCode) -> None:
        """A judgement of a part of an earlier start, or of one that was given up."""
        if self.old:
            token, frame_id = data.draw(st.sampled_from(self.old))
            self.send(Judged(token, frame_id, Outcome(verdict, PINS[1], 1.0, 2.0)))

    @precondition(lambda self: self.open is not None and self.open.token.seq in self.recorded)
    @rule()
    def on_the_disk(self) -> None:
        if self.open is not None and self.open.token.seq in self.recorded:
            self.open.recorded = True
            self.send(Recorded(self.open.token))

    # Jobs.

    @rule(number=st.integers(1, 3))
    def job_wanted(self, number: int) -> None:
        self.send(JobWanted(number))

    @precondition(lambda self: self.loading is not None)
    @rule(other=st.sampled_from([False, False, False, True]))
    def job_ready(self, other: bool) -> None:
        if self.loading is None:
            return
        number = 3 - self.loading if other and self.loading in PINS else self.loading
        if number not in PINS:
            self.send(JobFailed(number, Fault.UNKNOWN_JOB, "no such job"))
            self.loading = None
            return
        job = Job(number, str(number), self.pins[number])
        if number == self.loading:
            self.job, self.loading = job, None
        self.send(JobReady(job))

    @rule(number=st.integers(1, 2))
    def job_renewed(self, number: int) -> None:
        """Another version of a job was installed: parts from now on are judged by it, the one in hand is not."""
        self.pins[number] = self.pins[number][1:] + self.pins[number][0].swapcase()
        self.send(JobRenewed(number))

    @rule(number=st.integers(1, 2))
    def job_broken(self, number: int) -> None:
        self.send(JobFailed(number, Fault.CATEGORY, "the file is not the pinned one"))
        if self.loading == number:
            self.loading = None


def settings_for(count: int) -> settings:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    return settings(
        max_examples=count,
        stateful_step_count=60,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=checks,
    )


def test_pass_is_put_out_only_with_a_proof() -> None:
    SEEN.clear()
    run_state_machine_as_test(AnyOrder, settings=settings_for(200))  # type: ignore[no-untyped-call]
    assert SEEN["output PASS"] > 20, "the sequences hardly ever reach PASS: they prove nothing"


def main() -> int:
    """Try ``--count`` sequences of up to 60 events, and say what came up."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    count = parser.parse_args().count
    run_state_machine_as_test(AnyOrder, settings=settings(settings_for(count), derandomize=False, database=None))
    print(f"{count} sequences, no PASS without a proof; what came up:")
    for what, times in sorted(SEEN.items()):
        print(f"  {what:<24} {times}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
