"""The handshake, step by step: what each event changes at the outputs, and what it asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regad.runtime.station.codes import Control, Fault, Flag, Mode, State, Status, TriggerKind, VerdictCode
from regad.runtime.station.effects import Correct, Effect, Expose, Judge, Load, ModeBegun, Rebuild, Record, Say
from regad.runtime.station.events import (
    Beat,
    Booted,
    Event,
    Flagged,
    Gone,
    Halt,
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
    Reset,
    Start,
    Stop,
    Taken,
    Tick,
    Trigger,
)
from regad.runtime.station.image import PlcWords
from regad.runtime.station.machine import Machine
from regad.runtime.station.part import Answer, Job, Outcome
from regad.runtime.station.settings import Settings

MS = 1_000_000
ONE, TWO = Job(1, "one", "a" * 64), Job(2, "two", "b" * 64, 10 * MS)


class Bench:
    """A machine, the time, and all that it asked for."""

    def __init__(self, **settings: Any) -> None:
        given = {"kind": TriggerKind.MODBUS, "autostart": True, "deadline_ns": 100 * MS, **settings}
        self.machine = Machine(Settings(**given), 5)
        self.now = 0
        self.effects: list[Effect] = []
        self.words = PlcWords()
        self.frames = 0

    def send(self, event: Event, after_ms: float = 0) -> list[Effect]:
        self.now += round(after_ms * MS)
        made = self.machine.handle(event, self.now)
        self.effects += made
        return made

    def write(self, control: int, seq: int = 0, job: int = 1, beat: int = 0, after_ms: float = 0) -> list[Effect]:
        self.now += round(after_ms * MS)
        self.words = PlcWords(control, seq, job, 9, "S", beat, self.words.number + 1)
        return self.send(PlcWrote(self.words, self.now))

    def ready(self) -> Bench:
        for event in (Booted(), JobWanted(1), JobReady(ONE)):
            self.send(event)
        self.write(Control.ENABLE)
        assert self.status & Status.READY
        return self

    def trigger(self, seq: int = 7) -> Expose:
        made = self.write(Control.ENABLE | Control.TRIGGER, seq)
        (expose,) = [effect for effect in made if isinstance(effect, Expose)]
        self.write(Control.ENABLE, seq)
        return expose

    def expose(self, expose: Expose) -> Judge:
        self.frames += 1
        (judge,) = self.send(Taken(expose.token, self.frames, self.now, "frame"))
        assert isinstance(judge, Judge)
        return judge

    def judged(self, judge: Judge, verdict: VerdictCode = VerdictCode.PASS, **more: Any) -> list[Effect]:
        outcome = Outcome(verdict, judge.job.pin, 1.0, 4.0, **more)
        return self.send(Judged(judge.token, judge.frame_id, outcome))

    def part(self, seq: int = 7, verdict: VerdictCode = VerdictCode.PASS, **more: Any) -> list[Effect]:
        return self.judged(self.expose(self.trigger(seq)), verdict, **more)

    @property
    def status(self) -> Status:
        return self.machine.image.status

    @property
    def verdict(self) -> VerdictCode:
        return self.machine.image.shown.verdict

    @property
    def records(self) -> list[Record]:
        return [effect for effect in self.effects if isinstance(effect, Record)]


def test_the_states_of_a_start() -> None:
    bench = Bench(autostart=False)
    states = [bench.machine.state]
    for event in (Booted(), Start(), JobWanted(1), JobReady(ONE), Stop(), Halt()):
        bench.send(event)
        states.append(bench.machine.state)
    assert states == [State.BOOT, State.SETUP, State.IDLE, State.IDLE, State.READY, State.SETUP, State.STOPPED]


def test_a_part_from_trigger_to_acknowledgement() -> None:
    bench = Bench().ready()
    expose = bench.trigger(7)
    assert bench.status & Status.BUSY and not bench.status & (Status.READY | Status.VALID | Status.TRIGGER_ACK)
    assert bench.machine.image.accepted == 7
    judge = bench.expose(expose)
    assert bench.status & Status.TRIGGER_ACK
    made = bench.judged(judge)
    assert [type(effect) for effect in made] == [Answer, Record]
    image = bench.machine.image
    assert image.passes and (image.shown.tag, image.shown.part_id, image.shown.percent) == (7, 9, 25.0)
    assert image.state is State.RESULT and image.status & Status.READY
    bench.write(Control.ENABLE | Control.ACK)
    assert not bench.status & Status.VALID and bench.machine.state is State.READY


def test_the_next_trigger_takes_the_result_away() -> None:
    bench = Bench().ready()
    bench.part(7)
    bench.trigger(8)
    assert not bench.machine.image.passes and bench.verdict is VerdictCode.NONE


def test_a_result_stands_for_its_time() -> None:
    bench = Bench(hold_ns=50 * MS).ready()
    bench.part()
    bench.send(Tick(), 49)
    assert bench.machine.image.passes
    assert bench.machine.due_ns == bench.now + MS
    bench.send(Tick(), 1)
    assert not bench.machine.image.passes


def test_a_trigger_is_an_edge_or_another_number_while_the_bit_is_set() -> None:
    bench = Bench().ready()
    bench.expose(bench.trigger(1))
    bench.write(Control.ENABLE | Control.TRIGGER, 2)
    assert bench.machine.image.missed == 1
    bench.write(Control.ENABLE | Control.TRIGGER, 2)
    assert bench.machine.image.missed == 1
    bench.write(Control.ENABLE | Control.TRIGGER, 3)
    assert bench.machine.image.missed == 2
    bench.write(Control.ENABLE, 4)
    assert bench.machine.image.missed == 2


def test_a_part_without_a_number_of_its_own_is_given_the_station_s() -> None:
    bench = Bench().ready()
    bench.part(0)
    assert bench.machine.image.shown.tag == 1


def test_a_missed_trigger_is_recorded_with_a_number_of_its_own() -> None:
    bench = Bench().ready()
    judge = bench.expose(bench.trigger(7))
    bench.write(Control.ENABLE | Control.TRIGGER, 8)
    bench.judged(judge)
    assert [(each.part.token.seq, each.output) for each in bench.records] == [
        (2, VerdictCode.MISSED),
        (1, VerdictCode.PASS),
    ]
    assert bench.machine.image.shown.tag == 7 and bench.status & Status.MISSED


def test_two_parts_before_one_frame_spoil_both() -> None:
    bench = Bench().ready()
    expose = bench.trigger(7)
    bench.write(Control.ENABLE | Control.TRIGGER, 8)
    bench.judged(bench.expose(expose))
    assert bench.verdict is VerdictCode.NOT_JUDGED
    assert bench.records[-1].outcome.verdict is VerdictCode.PASS
    assert bench.records[-1].part.spoiled == "the next part came before its frame was taken"


def test_late_is_put_out_at_the_deadline_and_ready_stays_off_until_the_truth_is_known() -> None:
    bench = Bench().ready()
    judge = bench.expose(bench.trigger())
    bench.send(Tick(), 100)
    assert bench.verdict is VerdictCode.NONE
    bench.now += 1
    bench.send(Tick())
    assert bench.verdict is VerdictCode.LATE and not bench.status & Status.READY
    assert Flag.LATE in bench.machine.image.flags
    bench.judged(judge)
    assert bench.verdict is VerdictCode.LATE and bench.status & Status.READY
    (record,) = bench.records
    assert (record.outcome.verdict, record.output, record.part.late) == (VerdictCode.PASS, VerdictCode.LATE, True)


def test_a_verdict_at_the_deadline_is_in_time_and_one_nanosecond_later_it_is_not() -> None:
    for extra, wanted in ((0, VerdictCode.PASS), (1, VerdictCode.LATE)):
        bench = Bench().ready()
        judge = bench.expose(bench.trigger())
        bench.now += 100 * MS + extra
        bench.judged(judge)
        assert bench.verdict is wanted


def test_three_late_parts_of_twenty_are_a_warning() -> None:
    bench = Bench().ready()
    for seq in range(1, 24):
        judge = bench.expose(bench.trigger(seq))
        bench.send(Tick(), 101 if seq <= 3 else 1)
        bench.judged(judge)
        assert (Flag.OFTEN_LATE in bench.machine.image.flags) == (3 <= seq <= 20)


def test_a_job_has_its_own_deadline() -> None:
    bench = Bench().ready()
    bench.write(Control.ENABLE | Control.SET_JOB, 0, 2)
    bench.send(JobReady(TWO))
    bench.trigger()
    bench.send(Tick(), 11)
    assert bench.verdict is VerdictCode.LATE


def test_a_part_that_nobody_answers_for_is_given_up() -> None:
    bench = Bench(give_up_ns=500 * MS).ready()
    bench.expose(bench.trigger())
    bench.send(Tick(), 500)
    (record,) = bench.records
    assert (record.outcome.fault, record.output) == (Fault.HANG, VerdictCode.LATE)
    assert record.outcome.error == "no answer within 0.5 s"


@pytest.mark.parametrize(
    ("taken", "frame_id", "fault"), [(-1, 1, Fault.CAMERA), (0, 0, Fault.FROZEN), (1, 1, Fault.CAMERA)]
)
def test_a_frame_from_before_the_trigger_or_given_twice_is_not_judged(taken: int, frame_id: int, fault: Fault) -> None:
    bench = Bench().ready()
    expose = bench.trigger()
    bench.send(Taken(expose.token, frame_id, expose.after_ns + taken, "frame"))
    assert bench.verdict is VerdictCode.NOT_JUDGED
    assert bench.records[0].outcome.fault is fault


def test_a_judgement_by_another_category_is_none() -> None:
    bench = Bench().ready()
    judge = bench.expose(bench.trigger())
    bench.send(Judged(judge.token, judge.frame_id, Outcome(VerdictCode.PASS, TWO.pin)))
    assert bench.verdict is VerdictCode.NOT_JUDGED


def test_a_job_changes_after_the_part_in_hand_and_ready_drops_first() -> None:
    bench = Bench().ready()
    judge = bench.expose(bench.trigger())
    assert bench.write(Control.ENABLE | Control.SET_JOB, 7, 2) == []
    made = bench.judged(judge)
    assert made[-1] == Load(2) and bench.machine.image.passes
    assert not bench.status & (Status.READY | Status.JOB_OK)
    bench.send(JobReady(ONE))
    assert not bench.status & Status.JOB_OK
    bench.send(JobReady(TWO))
    assert bench.status & Status.READY and bench.machine.image.job == 2


def test_another_version_of_the_job_in_force_is_taken_up_after_the_part_in_hand() -> None:
    bench = Bench().ready()
    judge = bench.expose(bench.trigger())
    assert bench.send(JobRenewed(1)) == []
    assert bench.judged(judge)[-1] == Load(1) and not bench.status & Status.READY
    bench.send(JobReady(replace(ONE, pin="c" * 64)))
    assert bench.status & Status.READY
    judge = bench.expose(bench.trigger(8))
    bench.send(Judged(judge.token, judge.frame_id, Outcome(VerdictCode.PASS, ONE.pin)))
    assert bench.verdict is VerdictCode.NOT_JUDGED


def test_another_version_changes_no_job_but_its_own() -> None:
    bench = Bench().ready()
    assert bench.send(JobRenewed(2)) == [] and bench.status & Status.READY
    bench.send(JobWanted(2))
    assert bench.send(JobRenewed(1)) == []
    bench.send(JobReady(TWO))
    assert bench.machine.image.job == 2


def test_a_job_that_breaks_keeps_the_part_in_hand_and_then_is_a_fault() -> None:
    bench = Bench().ready()
    judge = bench.expose(bench.trigger())
    bench.send(JobFailed(1, Fault.CATEGORY, "swapped"))
    assert bench.machine.image.fault is Fault.NONE
    made = bench.judged(judge)
    assert [effect.verdict for effect in made if isinstance(effect, Answer)] == [VerdictCode.PASS]
    assert bench.machine.image.fault is Fault.CATEGORY and not bench.machine.image.passes
    bench.write(Control.ENABLE | Control.SET_JOB, 0, 1)
    bench.send(JobReady(ONE))
    assert bench.status & Status.READY


def test_three_errors_of_the_judge_open_the_backend_again_and_wait_for_a_reset() -> None:
    bench = Bench().ready()
    made: list[Effect] = []
    for seq in (1, 2, 3):
        made = bench.part(seq, VerdictCode.NOT_JUDGED, fault=Fault.JUDGE, error="lost")
    assert Rebuild() in made and bench.machine.image.fault is Fault.JUDGE
    bench.write(Control.ENABLE | Control.CLEAR)
    assert bench.machine.image.fault is Fault.JUDGE
    assert any(isinstance(effect, Say) and "its cause is still there" in effect.text for effect in bench.effects)
    bench.send(Gone(Fault.JUDGE))
    assert bench.machine.image.fault is Fault.JUDGE
    bench.write(Control.ENABLE)
    bench.write(Control.ENABLE | Control.CLEAR)
    assert bench.status & Status.READY


def test_a_backend_that_could_not_be_opened_again_is_tried_at_each_reset() -> None:
    bench = Bench().ready()
    for seq in (1, 2, 3):
        bench.part(seq, VerdictCode.NOT_JUDGED, fault=Fault.JUDGE, error="lost")
    assert Rebuild() not in bench.send(Reset()), "it is under way"
    bench.send(Raised(Fault.JUDGE, "the backend cannot be opened again"))
    assert Rebuild() in bench.send(Reset())
    assert Rebuild() not in bench.send(Reset())
    bench.send(Gone(Fault.JUDGE))
    assert Rebuild() not in bench.send(Reset())
    assert bench.status & Status.READY


def test_a_camera_that_is_back_needs_no_reset() -> None:
    bench = Bench().ready()
    for _ in range(3):
        bench.send(NoFrame(bench.trigger().token, Fault.CAMERA, "dead"))
    assert bench.machine.image.fault is Fault.CAMERA
    bench.send(Gone(Fault.CAMERA))
    assert bench.status & Status.READY


def test_a_fault_takes_the_result_away_and_silences_the_part_in_hand() -> None:
    bench = Bench().ready()
    judge = bench.expose(bench.trigger())
    bench.send(Raised(Fault.TRACE, "full"))
    bench.send(Gone(Fault.TRACE))
    bench.judged(judge)
    assert not bench.status & Status.VALID
    (record,) = bench.records
    assert (record.outcome.verdict, record.output, record.part.spoiled) == (
        VerdictCode.PASS,
        VerdictCode.NOT_JUDGED,
        "full",
    )


def test_a_plc_whose_heartbeat_stands_still_is_gone_until_it_beats_again() -> None:
    bench = Bench(plc_timeout_ns=300 * MS).ready()
    bench.write(Control.ENABLE, beat=1)
    bench.part()
    bench.words = PlcWords(bench.words.control, 7, 1, 9, "S", 1, bench.words.number)
    assert bench.machine.image.passes
    bench.write(Control.ENABLE, 7, beat=2)
    bench.send(Tick(), 300)
    assert bench.status & Status.READY
    bench.now += 1
    bench.send(Tick())
    assert not bench.status & (Status.READY | Status.VALID)
    bench.write(Control.ENABLE, 7, beat=3)
    assert bench.status & Status.READY and not bench.status & Status.VALID


def test_a_plc_that_never_beats_is_not_watched() -> None:
    bench = Bench(plc_timeout_ns=300 * MS).ready()
    bench.send(Tick(), 10_000)
    assert bench.status & Status.READY


def test_without_enable_nothing_is_ready_and_nothing_stands() -> None:
    bench = Bench().ready()
    bench.part()
    bench.write(Control.NONE)
    assert not bench.status & (Status.READY | Status.VALID)
    bench.write(Control.TRIGGER, 8)
    assert bench.status & Status.MISSED


def test_a_result_that_was_not_acknowledged_is_an_overrun_once_results_are_acknowledged() -> None:
    bench = Bench().ready()
    bench.part(1)
    bench.part(2)
    assert not bench.status & Status.OVERRUN
    bench.write(Control.ENABLE | Control.ACK, 2)
    bench.part(3)
    bench.part(4)
    assert bench.status & Status.OVERRUN
    bench.write(Control.ENABLE | Control.ACK, 4)
    assert not bench.status & Status.OVERRUN


def test_a_result_that_has_stood_for_its_time_is_no_overrun() -> None:
    bench = Bench(hold_ns=50 * MS).ready()
    bench.part(1)
    bench.write(Control.ENABLE | Control.ACK, 1)
    bench.part(2)
    bench.send(Tick(), 50)
    assert not bench.status & (Status.VALID | Status.OVERRUN)


def test_a_part_that_was_missed_is_not_told_to_move() -> None:
    bench = Bench().ready()
    bench.expose(bench.trigger(1))
    bench.write(Control.ENABLE | Control.TRIGGER, 2)
    assert bench.status & Status.MISSED and not bench.status & Status.TRIGGER_ACK


@pytest.mark.parametrize(("passes", "wanted"), [(False, VerdictCode.REVIEW), (True, VerdictCode.PASS)])
def test_review_is_what_the_station_is_told(passes: bool, wanted: VerdictCode) -> None:
    bench = Bench(review_passes=passes).ready()
    bench.part(7, VerdictCode.REVIEW, warn=True)
    assert bench.verdict is wanted and bench.status & Status.WARNING
    assert bench.records[0].outcome.verdict is VerdictCode.REVIEW


def test_in_shadow_mode_a_result_says_nothing() -> None:
    bench = Bench(mode=Mode.SHADOW).ready()
    bench.part()
    assert (bench.verdict, bench.machine.image.rejects) == (VerdictCode.NONE, 0)
    assert bench.status & Status.VALID and bench.status & Status.SHADOW


def test_in_shadow_mode_a_late_part_says_nothing_and_is_recorded_as_late() -> None:
    bench = Bench(mode=Mode.SHADOW).ready()
    judge = bench.expose(bench.trigger())
    bench.send(Tick(), 101)
    assert bench.verdict is VerdictCode.NONE and bench.status & Status.VALID
    bench.judged(judge)
    (record,) = bench.records
    assert (record.outcome.verdict, record.output, record.part.late) == (VerdictCode.PASS, VerdictCode.NONE, True)


def test_a_simulation_says_that_it_is_one() -> None:
    bench = Bench(mode=Mode.SIMULATE).ready()
    bench.part()
    assert bench.machine.image.passes and bench.status & Status.SIMULATED


def test_where_records_come_first_the_result_waits_and_may_be_late() -> None:
    bench = Bench(record_first=True).ready()
    (record,) = bench.part()
    assert isinstance(record, Record) and record.first and record.output is VerdictCode.PASS
    assert not bench.status & Status.VALID
    bench.send(Recorded(record.part.token))
    assert bench.machine.image.passes and len(bench.records) == 1
    (late,) = bench.part(8)
    assert isinstance(late, Record)
    bench.send(Tick(), 101)
    assert bench.verdict is VerdictCode.LATE
    bench.send(Recorded(late.part.token))
    assert bench.verdict is VerdictCode.LATE and len(bench.records) == 2
    assert Correct(late.part.token.seq, VerdictCode.LATE, True) in bench.effects
    assert any(
        isinstance(effect, Say) and "recorded as PASS; put out was LATE" in effect.text for effect in bench.effects
    )


def test_free_run_judges_one_frame_after_the_other() -> None:
    bench = Bench(kind=TriggerKind.FREE, hold_ns=50 * MS)
    for event in (Booted(), JobWanted(1)):
        bench.send(event)
    (expose,) = bench.send(JobReady(ONE))
    assert isinstance(expose, Expose)
    made = bench.judged(bench.expose(expose))
    assert bench.machine.image.passes and isinstance(made[-1], Expose)
    bench.send(Tick(), 50)
    assert not bench.machine.image.passes


def test_the_heartbeat_stands_still_while_a_thread_does_not_answer() -> None:
    bench = Bench().ready()
    bench.send(Beat(True))
    assert bench.machine.image.heartbeat == 1
    bench.send(Beat(False, "the judge hangs"))
    bench.send(Beat(False, "the judge hangs"))
    assert (bench.machine.image.heartbeat, bench.machine.image.fault) == (1, Fault.HANG)
    bench.send(Beat(True))
    assert bench.status & Status.READY


def test_a_part_in_hand_is_recorded_when_the_station_halts() -> None:
    bench = Bench().ready()
    bench.expose(bench.trigger())
    bench.send(Halt())
    (record,) = bench.records
    assert record.outcome.error == "the station is shutting down"
    assert bench.machine.state is State.STOPPED


def test_a_trigger_of_another_kind_is_missed() -> None:
    bench = Bench().ready()
    bench.send(Trigger(TriggerKind.COMMAND, bench.now))
    assert bench.machine.image.missed == 1 and bench.status & Status.READY


def test_a_flag_is_told_and_taken_back() -> None:
    bench = Bench().ready()
    bench.send(Flagged(Flag.DESK_OFFLINE, True))
    assert bench.machine.image.flags == Flag.DESK_OFFLINE
    bench.send(Flagged(Flag.DESK_OFFLINE, False))
    assert bench.machine.image.flags == Flag.NONE


def test_reset_clears_what_only_a_person_can_judge() -> None:
    bench = Bench().ready()
    for seq in (1, 2, 3):
        bench.part(seq, VerdictCode.NOT_JUDGED, fault=Fault.PICTURE, error="black")
    assert bench.machine.image.fault is Fault.PICTURE
    bench.send(Reset())
    assert bench.status & Status.READY


NOT_PASSED = [VerdictCode.REJECT, VerdictCode.NO_PART, VerdictCode.REVIEW, VerdictCode.MISSED]


@settings(max_examples=40)
@given(st.integers(0, 4), st.lists(st.sampled_from([VerdictCode.PASS, *NOT_PASSED, None]), max_size=14))
def test_so_many_parts_in_a_row_that_did_not_pass_ask_for_a_stop(most: int, parts: list[VerdictCode | None]) -> None:
    """None is a CLEAR of the PLC."""
    bench, in_a_row, warnings = Bench(stop_after_rejects=most).ready(), 0, 0
    for seq, verdict in enumerate(parts, 1):
        if verdict is None:
            bench.write(Control.ENABLE | Control.CLEAR, seq)
            bench.write(Control.ENABLE, seq)
            in_a_row = 0
        elif verdict is VerdictCode.MISSED:
            bench.send(Trigger(TriggerKind.COMMAND, bench.now))
            in_a_row += 1
        else:
            bench.part(seq, verdict)
            in_a_row = 0 if verdict is VerdictCode.PASS else in_a_row + 1
        warnings += in_a_row == most > 0 and verdict is not None
        assert (Status.STOP_REQUEST in bench.status) == (in_a_row >= most > 0)
        assert bench.status & Status.READY, "it is for the PLC to decide"
    told = [effect.text for effect in bench.effects if isinstance(effect, Say)]
    assert told == [f"{most} parts in a row did not pass: the PLC is asked to stop the line"] * warnings


def test_a_mode_begins_between_two_parts_and_takes_away_what_was_put_out_in_the_other() -> None:
    bench = Bench(mode=Mode.SHADOW, stop_after_rejects=2).ready()
    expose = bench.trigger(1)
    assert bench.send(ModeWanted(Mode.LIVE, "anna")) == [] and Status.SHADOW in bench.status
    made = bench.judged(bench.expose(expose))
    (record,) = [effect for effect in made if isinstance(effect, Record)]
    assert record.output is VerdictCode.NONE, "the part in hand was begun in shadow"
    assert made[-1] == ModeBegun(Mode.LIVE, Mode.SHADOW, "anna") and Status.SHADOW not in bench.status
    bench.part(2)
    assert bench.verdict is VerdictCode.PASS
    assert bench.send(ModeWanted(Mode.LIVE, "ben")) == [], "it is live already"
    assert bench.send(ModeWanted(Mode.SHADOW, "ben")) == [ModeBegun(Mode.SHADOW, Mode.LIVE, "ben")]
    assert bench.verdict is VerdictCode.NONE and Status.VALID not in bench.status


@pytest.mark.parametrize("end", ["next part", "acknowledged"])
def test_a_result_that_was_put_out_stands_though_shadow_was_asked_for_meanwhile(end: str) -> None:
    bench = Bench(mode=Mode.LIVE, hold_ns=None).ready()
    expose = bench.trigger(1)
    assert bench.send(ModeWanted(Mode.SHADOW, "anna")) == []
    made = bench.judged(bench.expose(expose))
    (record,) = [effect for effect in made if isinstance(effect, Record)]
    assert record.output is bench.verdict is VerdictCode.PASS and Status.SHADOW not in bench.status
    begun = ModeBegun(Mode.SHADOW, Mode.LIVE, "anna")
    if end == "acknowledged":
        assert begun in bench.write(Control.ENABLE | Control.ACK)
    else:
        bench.trigger(2)
        assert begun in bench.effects
    assert bench.verdict is VerdictCode.NONE and Status.SHADOW in bench.status


def test_rejects_in_shadow_ask_for_no_stop_after_the_switch() -> None:
    bench = Bench(mode=Mode.SHADOW, stop_after_rejects=2).ready()
    for seq in (1, 2, 3):
        bench.part(seq, VerdictCode.REJECT)
    bench.send(ModeWanted(Mode.LIVE, "anna"))
    bench.part(4, VerdictCode.REJECT)
    assert Status.STOP_REQUEST not in bench.status
    bench.part(5, VerdictCode.REJECT)
    assert Status.STOP_REQUEST in bench.status


def test_parts_that_are_late_or_not_judged_are_among_those_that_did_not_pass() -> None:
    bench = Bench(stop_after_rejects=2).ready()
    expose = bench.trigger(1)
    bench.send(Tick(), after_ms=101)
    bench.judged(bench.expose(expose))
    assert bench.verdict is VerdictCode.LATE and Status.STOP_REQUEST not in bench.status
    bench.part(2, VerdictCode.NOT_JUDGED, fault=Fault.JUDGE)
    assert Status.STOP_REQUEST in bench.status
