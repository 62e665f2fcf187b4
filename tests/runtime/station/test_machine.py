"""The handshake, step by step: what each event changes at the outputs, and what it asks for."""

from __future__ import annotations

import pytest

from regad.runtime.station.codes import Control, Fault, Flag, State, Status, VerdictCode
from regad.runtime.station.effects import Record
from regad.runtime.station.events import Booted, Halt, JobFailed, JobReady, JobWanted, Judged, Start, Stop, Taken, Tick
from regad.runtime.station.part import Answer, Outcome

from .machine_bench import MS, ONE, TWO, Bench


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


def test_a_missed_trigger_says_what_the_station_waits_for() -> None:
    bench = Bench(autostart=False, plc_timeout_ns=100 * MS)
    trigger = Control.ENABLE | Control.TRIGGER
    reasons = []

    def missed(control: Control = trigger, seq: int = 0, beat: int = 0, after_ms: float = 0) -> None:
        bench.write(Control.ENABLE, beat=beat, after_ms=after_ms)
        bench.write(control, seq, beat=beat)
        reasons.append(bench.records[-1].outcome.reason.removeprefix("the station is not ready: "))

    missed()
    bench.send(Booted())
    missed()
    bench.send(Start())
    missed()
    for event in (JobWanted(1), JobReady(ONE)):
        bench.send(event)
    missed(Control.TRIGGER)
    judge = bench.expose(bench.trigger(7))
    missed(seq=8)
    bench.judged(judge)
    bench.write(Control.ENABLE, beat=1)
    missed(seq=9, beat=1, after_ms=200)
    bench.send(JobFailed(1, Fault.CATEGORY, "gone"))
    missed(seq=10)
    assert reasons == [
        "BOOT",
        'it waits for "start"; station.autostart = true starts it by itself',
        "IDLE",
        "the PLC has not set ENABLE",
        "another part is being judged",
        "the PLC's heartbeat has stopped",
        "fault 20, CATEGORY",
    ]


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
