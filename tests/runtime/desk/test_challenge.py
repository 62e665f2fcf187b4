"""The challenge: no way past one that is due or failed but to show both parts, or an engineer's release."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from regad.runtime.desk.learning.challenge import PATIENCE, Challenge, Shown
from regad.runtime.errors import InputError
from regad.runtime.station.codes import VerdictCode

JOB, HOUR = 1, 3600.0


def challenge(every: float | None = None) -> Challenge:
    made = Challenge(JOB, every)
    made.fall_due("the job began")
    return made


def test_both_parts_recognised_let_the_station_work() -> None:
    made = challenge()
    assert "the job began" in made.hold
    made.begin("ann", 7, 0.0)
    assert made.hold == "", "the parts have to be judged"
    good = made.seen(Shown(8, JOB, VerdictCode.PASS), 1.0)
    assert good is not None and good.ok and good.expected is VerdictCode.PASS and good.by == "ann"
    bad = made.seen(Shown(9, JOB, VerdictCode.REJECT), 2.0)
    assert bad is not None and bad.ok and bad.expected is VerdictCode.REJECT
    assert made.step == "clear" and made.hold == ""


@pytest.mark.parametrize(("good", "bad"), [(VerdictCode.REJECT, None), (VerdictCode.PASS, VerdictCode.PASS)])
def test_a_part_that_is_not_recognised_holds_the_station_until_an_engineer_releases_it(
    good: VerdictCode, bad: VerdictCode | None
) -> None:
    made = challenge()
    made.begin("ann", 0, 0.0)
    told = made.seen(Shown(1, JOB, good), 1.0)
    if bad is not None:
        told = made.seen(Shown(2, JOB, bad), 2.0)
    assert told is not None and not told.ok and "was not recognised" in made.hold
    with pytest.raises(InputError, match="an engineer has to look"):
        made.begin("ann", 2, 3.0)
    made.release()
    assert made.hold == ""


@pytest.mark.parametrize(
    "part",
    [
        Shown(1, JOB, VerdictCode.NO_PART),
        Shown(1, JOB, VerdictCode.NOT_JUDGED),
        Shown(1, JOB, VerdictCode.PASS, late=True),
        Shown(1, 2, VerdictCode.PASS),
        Shown(1, None, VerdictCode.MISSED),
    ],
)
def test_a_part_without_a_verdict_of_this_job_is_shown_again(part: Shown) -> None:
    made = challenge()
    made.begin("ann", 0, 0.0)
    assert made.seen(part, 1.0) is None
    assert made.step == "good" and "show the good part again" in made.hint


def test_a_part_from_before_is_none_of_it() -> None:
    made = challenge()
    made.begin("ann", 5, 0.0)
    assert made.seen(Shown(5, JOB, VerdictCode.PASS), 1.0) is None and made.step == "good"


def test_it_falls_due_after_its_hours_of_work() -> None:
    made = Challenge(JOB, 2 * HOUR)
    for now in (0.0, HOUR, 1.9 * HOUR):
        made.tick(now)
    assert made.hold == "" and made.left == pytest.approx(0.1 * HOUR)
    made.tick(2.0 * HOUR)
    assert "2 h have passed" in made.hold


def test_a_clock_that_runs_back_makes_nothing_due() -> None:
    made = Challenge(JOB, HOUR)
    for now in (5000.0, 10.0, 20.0):
        made.tick(now)
    assert made.since == 10.0


def test_who_begins_and_shows_nothing_leaves_it_due() -> None:
    made = challenge()
    made.begin("ann", 0, 0.0)
    made.tick(PATIENCE)
    assert made.hold == ""
    made.tick(PATIENCE + 1)
    assert "no part was shown" in made.hold
    with pytest.raises(InputError, match="no challenge is running"):
        made.cancel()


class AnyOrder(RuleBasedStateMachine):
    """Anything that operators, engineers, parts and time can do, with books of its own."""

    @initialize(every=st.sampled_from([None, HOUR]))
    def build(self, every: float | None) -> None:
        self.made = Challenge(JOB, every)
        self.now, self.row = 0.0, 0
        self.begun_at: int | None = None
        self.free = True  # by the books: both parts were recognised, or an engineer said so
        self.held_by = ""
        self.good_seen = False

    @rule(seconds=st.sampled_from([0.0, 1.0, 301.0, 1800.0, 4000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.made.tick(self.now)
        if self.made.step == "due":
            self.free, self.begun_at = False, None

    @rule()
    def due(self) -> None:
        self.made.fall_due("somebody says so")
        if self.made.step == "due":
            self.free = False

    @rule()
    def begin(self) -> None:
        failed = self.held_by == "failed"
        try:
            self.made.begin("ann", self.row, self.now)
        except InputError:
            assert failed
            return
        assert not failed
        self.begun_at, self.good_seen, self.free = self.row, False, False

    @rule()
    def cancel(self) -> None:
        try:
            self.made.cancel()
        except InputError:
            assert self.begun_at is None
            return
        self.begun_at = None

    @rule(
        verdict=st.sampled_from(list(VerdictCode)), job=st.sampled_from([JOB, JOB, JOB, 2]), late=st.booleans(),
        old=st.booleans(),
    )  # fmt: skip
    def part(self, verdict: VerdictCode, job: int, late: bool, old: bool) -> None:
        if not old:
            self.row += 1
        told = self.made.seen(Shown(self.row, job, verdict, late), self.now)
        if told is None:
            return
        assert self.begun_at is not None and self.row > self.begun_at and job == JOB and not late
        if told.expected is VerdictCode.PASS:
            assert not self.good_seen and told.ok == (verdict is VerdictCode.PASS)
            self.good_seen = told.ok
        else:
            assert self.good_seen and told.ok == (verdict in (VerdictCode.REJECT, VerdictCode.REVIEW))
            self.free = told.ok
        if not told.ok or told.expected is VerdictCode.REJECT:
            self.begun_at = None

    @rule()
    def release(self) -> None:
        self.made.release()
        self.free, self.begun_at = True, None

    @invariant()
    def it_is_clear_only_with_a_proof(self) -> None:
        self.held_by = self.made.step
        assert (self.made.step == "clear") == self.free
        assert bool(self.made.hold) == (self.made.step in ("due", "failed"))
        assert (self.made.step in ("good", "bad")) == (self.begun_at is not None)


def test_no_order_of_events_gets_past_a_challenge() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        AnyOrder, settings=settings(max_examples=150, stateful_step_count=40, deadline=None)
    )
