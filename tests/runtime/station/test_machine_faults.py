"""Jobs that change or break, faults and their reset, a PLC that is gone, a thread that is silent."""

from __future__ import annotations

from dataclasses import replace

from regad.runtime.station.codes import Control, Fault, Flag, State, Status, VerdictCode
from regad.runtime.station.effects import Effect, Load, Rebuild, Say
from regad.runtime.station.events import (
    Beat,
    Flagged,
    Gone,
    Halt,
    JobFailed,
    JobReady,
    JobRenewed,
    JobWanted,
    Judged,
    NoFrame,
    Raised,
    Reset,
    Tick,
)
from regad.runtime.station.image import PlcWords
from regad.runtime.station.part import Answer, Outcome

from .machine_bench import MS, ONE, TWO, Bench


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
