"""What a mode changes at the outputs: review, shadow, simulation, records first, free run, and a switch between two."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regad.runtime.station.codes import Control, Fault, Mode, Status, TriggerKind, VerdictCode
from regad.runtime.station.effects import Correct, Expose, ModeBegun, Record, Say
from regad.runtime.station.events import Booted, JobReady, JobWanted, ModeWanted, Recorded, Tick, Trigger

from .machine_bench import MS, ONE, Bench


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


def test_a_trigger_of_another_kind_is_missed() -> None:
    bench = Bench().ready()
    bench.send(Trigger(TriggerKind.COMMAND, bench.now))
    assert bench.machine.image.missed == 1 and bench.status & Status.READY


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
