"""Proposals: held against every label, the newest good parts and the challenge parts; never put in force by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.desk.learning.proposal import Evidence, Judged, Wanted, reasons_of, report_of
from regad.runtime.desk.learning.proposals import Proposals, spawned
from regad.runtime.desk.learning.records import LearningTrace
from regad.runtime.desk.learning.versions import roll_back
from regad.runtime.desk.learning.work import Made, Order, carry_out
from regad.runtime.errors import InputError
from regad.runtime.formats.spec import InputSpec
from regad.runtime.station.codes import VerdictCode
from regad.runtime.station.installed import category_path

from .learning_doubles import JOB, Link, Recorded, another, config_of, grey, open_model
from .test_learning import labels, part_of


def in_process(order: Order, progress: Callable[[int, int], None], stopped: Callable[[], bool]) -> Made:
    return carry_out(order, progress, open_model)


@contextmanager
def proposals(recorded: Recorded, worker: Any = in_process) -> Iterator[tuple[Proposals, Link]]:
    link = Link()
    with Proposals(config_of(recorded), recorded.folder / "trace" / "desk", link, worker) as made:  # type: ignore[arg-type]
        yield made, link


def threshold(value: float, **fields: Any) -> Wanted:
    return Wanted(job=JOB, kind="threshold", threshold=value, **fields)


def test_a_higher_threshold_cures_false_rejects_and_is_put_in_force_by_a_person_alone(recorded: Recorded) -> None:
    passed, cured = recorded.part(90), recorded.part(120, "good")
    recorded.part(150, "defect")
    recorded.done()
    with proposals(recorded) as (made, link):
        made.open(threshold(13.0, note="lot 7"), "eve")
        made.wait()
        (found,) = made.all()
        assert found.state == "ready" and found.report is not None and link.asked == []
        assert found.report.cured == (cured,) and found.report.lost == found.report.escapes == ()
        rows = {group.name: (group.parts, group.passed_before, group.passed_after) for group in found.report.groups}
        assert rows["labelled good"] == (1, 0, 1) and rows["labelled defect"] == (1, 0, 0)
        assert rows["last good parts"] == (2, 1, 2) and passed not in found.report.cured
        done = made.approve(1, "eve")
        assert done.state == "approved" and done.approved_by == "eve"
        (asked,) = link.asked
        assert asked[0] == "install" and asked[1]["threshold"] == 13.0 and asked[1]["note"] == "lot 7"
        with pytest.raises(InputError, match="is approved"):
            made.approve(1, "eve")


def test_a_proposal_by_which_a_labelled_defect_would_pass_is_refused(recorded: Recorded) -> None:
    defect = recorded.part(120, "defect")
    recorded.done()
    with proposals(recorded) as (made, link):
        made.open(threshold(13.0), "eve")
        made.wait()
        (found,) = made.all()
        assert found.state == "refused" and found.report is not None and found.report.escapes == (defect,)
        with pytest.raises(InputError, match=rf"refused: parts that must not pass would pass: {defect};"):
            made.approve(found.id, "eve")
        assert link.asked == []


def test_a_challenge_part_that_would_pass_refuses_it_unless_it_was_the_wrong_part(recorded: Recorded) -> None:
    rabbit, mistaken = recorded.part(120), recorded.part(90, "good")
    recorded.challenge(rabbit, VerdictCode.REJECT, ok=True)
    recorded.challenge(mistaken, VerdictCode.REJECT, ok=False)
    recorded.done()
    with proposals(recorded) as (made, _):
        made.open(threshold(13.0), "eve")
        made.wait()
        (found,) = made.all()
        assert found.report is not None and found.report.escapes == (rabbit,)


def test_labels_that_came_since_stop_an_approval(recorded: Recorded) -> None:
    part = recorded.part(120)
    assert recorded.trace.flushed(1, 20)
    with proposals(recorded) as (made, _):
        made.open(threshold(13.0), "eve")
        made.wait()
        recorded.label(part, "defect")
        recorded.done()
        with pytest.raises(InputError, match="labelled or challenged since"):
            made.approve(1, "eve")


def test_a_version_that_came_since_stops_an_approval(recorded: Recorded) -> None:
    recorded.part(120)
    assert recorded.trace.flushed(1, 20)
    with proposals(recorded) as (made, _):
        made.open(threshold(13.0), "eve")
        made.wait()
        recorded.use(replace(recorded.category, created="later"), recorded.folder / "two.safetensors")
        recorded.done()
        with pytest.raises(InputError, match="another version is in use since then"):
            made.approve(1, "eve")


def test_scores_of_another_category_are_judged_again_and_parts_without_a_picture_are_named(recorded: Recorded) -> None:
    old, bare = recorded.part(120, "good", score=1.0), recorded.part(130, "defect", input=None)
    recorded.use(another(), recorded.folder / "two.safetensors")
    recorded.done()
    with proposals(recorded) as (made, _):
        made.open(threshold(11.0), "eve")
        made.wait()
        (found,) = made.all()
        assert found.state == "ready" and found.report is not None
        assert found.report.left_out == (bare,) and found.report.cured == ()
        assert found.report.groups[0].passed_after == 0, f"part {old} scores 12 by this category"


@pytest.mark.parametrize("wanted", [threshold(0.0), threshold(float("inf")), threshold(9.0, warn=9.0)])
def test_limits_that_cannot_be_fail_with_a_reason(recorded: Recorded, wanted: Wanted) -> None:
    recorded.part(90)
    recorded.done()
    with proposals(recorded) as (made, _):
        made.open(wanted, "eve")
        made.wait()
        assert made.one(1).state == "failed" and "expected a number above 0" in made.one(1).reasons[0]


def test_one_is_worked_out_at_a_time_and_can_be_withdrawn(recorded: Recorded) -> None:
    recorded.part(90)
    recorded.done()

    def slow(order: Order, progress: Callable[[int, int], None], stopped: Callable[[], bool]) -> Made:
        progress(1, 2)
        while not stopped():
            pass
        raise InputError("it was stopped")

    with proposals(recorded, slow) as (made, _):
        made.open(threshold(11.0), "eve")
        with pytest.raises(InputError, match="proposal 1 is being tried"):
            made.open(threshold(12.0), "eve")
        assert made.one(1).state == "working"
        assert made.withdraw(1, "eve").state == "withdrawn"
        made.open(threshold(12.0), "eve")
        assert [one.id for one in made.all()] == [2, 1]


def test_a_withdrawal_that_comes_too_late_stops_no_other_proposal(recorded: Recorded) -> None:
    recorded.part(90)
    recorded.done()
    gate = threading.Event()

    def slow(order: Order, progress: Callable[[int, int], None], stopped: Callable[[], bool]) -> Made:
        while not (gate.is_set() and order.wanted.threshold == 11.0):
            if stopped():
                raise InputError("it was stopped")
        return in_process(order, progress, stopped)

    with proposals(recorded, slow) as (made, _):
        made.open(threshold(11.0), "eve")
        first = made._run
        assert first is not None
        end = first.end

        def late() -> None:
            """Between the look at what is worked out and its end the next one was begun."""
            gate.set()
            first.thread.join()
            made.open(threshold(12.0), "eve")
            end()

        first.end = late  # type: ignore[method-assign]
        assert made.withdraw(1, "eve").state == "withdrawn"
        assert made.withdraw(1, "ben").reasons == ("withdrawn by eve",), "it is withdrawn once"
        assert made.one(2).state == "working" and made._run is not None and not made._run.stopped.is_set()
        made.close()
        assert made.one(2).state == "failed"
        with pytest.raises(InputError, match="the desk is stopping"):
            made.open(threshold(13.0), "eve")


def test_a_proposal_that_a_dead_desk_left_behind_has_failed(recorded: Recorded) -> None:
    recorded.part(90)
    recorded.done()
    with proposals(recorded) as (made, _):
        made.open(threshold(11.0), "eve")
        made.wait()
        path = recorded.folder / "trace" / "desk" / "proposals" / "1.json"
        path.write_bytes(path.read_bytes().replace(b'"ready"', b'"working"'))
        assert made.one(1).state == "failed"
        path.write_bytes(b"{")
        with pytest.raises(InputError, match="cannot be read"):
            made.all()


def test_it_is_worked_out_in_a_process_of_the_least_priority(recorded: Recorded) -> None:
    """The threshold needs no model, so the real process can do it."""
    cured = recorded.part(120, "good")
    recorded.done()
    with proposals(recorded, spawned) as (made, _):
        made.open(threshold(13.0), "eve")
        made.wait()
        found = made.one(1)
        assert found.state == "ready" and found.report is not None and found.report.cured == (cured,), found.reasons
        made.open(threshold(-1.0), "eve")
        made.wait()
        assert "expected a number above 0" in made.one(2).reasons[0]


def test_an_earlier_version_is_put_in_force_again_with_its_limits(recorded: Recorded) -> None:
    recorded.part(90)
    recorded.use(replace(recorded.category, created="later"), recorded.folder / "two.safetensors")
    folder, link = recorded.done(), Link()
    with LearningTrace(folder) as trace:
        now, before = trace.versions(JOB)
        roll_back(link, folder, before, "eve")  # type: ignore[arg-type]
        ((command, fields),) = link.asked
        assert command == "install" and fields["sha256"] == before.sha256 and fields["threshold"] is None
        assert category_path(folder, before.sha256).is_file()
        with pytest.raises(InputError, match="is the one in use"):
            roll_back(link, folder, now, "eve")  # type: ignore[arg-type]
        (recorded.folder / "one.safetensors").unlink()
        category_path(folder, before.sha256).unlink()
        with pytest.raises(InputError, match="is gone, or was changed"):
            roll_back(link, folder, before, "eve")  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.floats(0.1, 20), labels, st.booleans()), max_size=30), st.floats(0.1, 20))
def test_no_report_with_a_defect_that_passes_is_without_a_reason(
    scored: list[tuple[float, str | None, bool]], limit: float
) -> None:
    parts = [part_of(number, score, label) for number, (score, label, _) in enumerate(scored, 1)]
    rabbits = [part for part, (_, _, rabbit) in zip(parts, scored, strict=True) if rabbit]
    evidence = Evidence([part for part in parts if part.label], [part for part in parts if part.good], rabbits)
    found = {
        part.id: Judged(part.score, VerdictCode.PASS if part.score <= limit else VerdictCode.REJECT) for part in parts
    }
    report = report_of(evidence, found)
    bad = {part.id for part in parts if part.label == "defect"} | {part.id for part in rabbits}
    assert set(report.escapes) == {part.id for part in parts if part.id in bad and part.score <= limit}
    assert bool(reasons_of(report)) == bool(report.escapes)
    assert not set(report.cured) & set(report.lost)


def test_a_part_that_was_cut_out_otherwise_is_judged_by_its_full_picture(recorded: Recorded) -> None:
    defect = recorded.part(130, "defect", frame=grey(130))
    region = another(spec=InputSpec(roi=(10, 10, 100, 100)))
    recorded.use(region, recorded.folder / "two.safetensors")
    recorded.done()
    with proposals(recorded) as (made, _):
        made.open(threshold(14.0), "eve")
        made.wait()
        found = made.one(1)
        assert found.state == "refused" and found.report is not None and found.report.escapes == (defect,)
        assert found.report.left_out == () and "1 parts were judged by their full pictures" in found.notes[-1]
