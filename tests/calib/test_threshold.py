"""The threshold against scipy's Student t and against simulated false-reject rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.calib.distributions import binomial_tail, order_statistic_quantile, student_t_quantile
from regad.calib.threshold import (
    PRIOR_SPREAD,
    default_rate,
    expected_rejects,
    held_out_scale,
    near_copies,
    set_threshold,
)
from regad.runtime.errors import InputError
from regad.runtime.formats.prior import Prior

PRIOR = Prior(-0.086, 0.092, 0.122)  # k = 4 of an example
OWN = [0.9, 1.0, 1.1, 1.02]


@given(st.floats(0.51, 0.9999), st.integers(1, 200))
def test_student_t_equals_scipy(probability: float, dof: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert student_t_quantile(probability, dof) == pytest.approx(stats.t.ppf(probability, dof), rel=1e-6)


@pytest.mark.parametrize("count", [2, 4, 8, 30])
def test_the_false_reject_rate_is_met_when_the_prior_holds(count: int) -> None:
    rng = np.random.default_rng(count)
    rejected = []
    for _ in range(300):
        scores = np.exp(1.5 + PRIOR_SPREAD * rng.standard_normal(count))
        fresh = np.exp(1.5 + PRIOR_SPREAD * rng.standard_normal(200))
        rejected.append((fresh > set_threshold(list(scores), "leave-one-out", 0.05).value).mean())
    assert 0.01 < np.mean(rejected) < 0.06


def test_many_scores_give_the_order_statistic() -> None:
    scores = [float(i) for i in range(1, 200)]
    assert set_threshold(scores, "validation", 0.01).value == 198.0
    assert "prior" not in set_threshold(scores, "validation", 0.01).note


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=20), st.floats(0.1, 10))
def test_the_threshold_scales_with_the_scores_and_tops_their_centre(scores: list[float], factor: float) -> None:
    one = set_threshold(scores, "leave-one-out").value
    assert one > math.exp(sum(math.log(s) for s in scores) / len(scores))
    scaled = set_threshold([s * factor for s in scores], "leave-one-out").value
    assert scaled == pytest.approx(one * factor, rel=1e-9)


def test_held_out_scores_are_scaled_and_recorded_raw() -> None:
    assert held_out_scale(2) < held_out_scale(4) < held_out_scale(100) < 1
    plain, scaled = set_threshold([3.0, 4.0], "leave-one-out"), set_threshold([3.0, 4.0], "leave-one-out", scale=0.5)
    assert scaled.value == pytest.approx(plain.value / 2)
    assert scaled.scores == (3.0, 4.0)


def test_little_evidence_is_said() -> None:
    note = set_threshold([3.0, 3.2], "leave-one-out").note
    assert "2 scores cannot prove" in note
    assert "--validation" in note


@pytest.mark.parametrize(
    ("scores", "rate"), [([], 0.01), ([1.0, math.nan], 0.01), ([0.0], 0.01), ([1.0], 0.0), ([1.0], 0.7)]
)
def test_bad_evidence_is_refused(scores: list[float], rate: float) -> None:
    with pytest.raises(InputError):
        set_threshold(scores, "validation", rate)


def test_the_prior_rule_by_hand() -> None:
    logs = np.log(OWN)
    variance = (8 * 0.122**2 + ((logs - logs.mean()) ** 2).sum()) / 11
    wanted = math.exp(logs.mean() - 0.086 + 1.6972609 * math.sqrt(0.092**2 + variance))  # t_30(0.95)
    limit = set_threshold(OWN, "leave-one-out", 0.05, prior=PRIOR)
    assert limit.value == pytest.approx(wanted, rel=1e-7)
    assert (limit.prior, limit.scores, limit.held_out) == (PRIOR, tuple(OWN), ())


def test_validation_scores_replace_the_prior_step_by_step() -> None:
    further = [1.3, 1.4, 1.25, 1.5, 1.35]
    y, m = np.log(further), np.log(OWN).mean()
    variance = (8 * 0.122**2 + ((y - y.mean()) ** 2).sum()) / 12
    precision = 1 / 0.092**2 + 5 / variance
    centre = ((m - 0.086) / 0.092**2 + y.sum() / variance) / precision
    wanted = math.exp(centre + 1.6895725 * math.sqrt(1 / precision + variance))  # t_35(0.95)
    limit = set_threshold(further, "validation", 0.05, prior=PRIOR, held_out=OWN)
    assert limit.value == pytest.approx(wanted, rel=1e-7)
    assert (limit.scores, limit.held_out) == (tuple(further), tuple(OWN))


def test_enough_validation_scores_leave_the_prior_out() -> None:
    further = [1 + i / 100 for i in range(40)]
    limit = set_threshold(further, "validation", 0.05, prior=PRIOR, held_out=OWN)
    assert limit == set_threshold(further, "validation", 0.05)
    assert limit.value == pytest.approx(1.38)  # the 39th of 40: ceil(41 * 0.95)
    assert limit.prior is None
    assert "expect about 5 false rejects in 100 good parts, likely (8 times in 10) between 1 and 10" in limit.note


def test_one_support_image_leaves_the_prior_out() -> None:
    assert set_threshold([1.0, 1.1], "validation", prior=PRIOR) == set_threshold([1.0, 1.1], "validation")


def test_near_copies_are_no_evidence_and_are_said() -> None:
    assert near_copies([1.78, 0.06, 2.06, 0.06]) == [1, 3]
    assert near_copies([1.78, 1.2, 5.0, 0.9]) == near_copies([]) == []
    few = set_threshold([1.78, 2.06], "leave-one-out", 0.05, prior=PRIOR)
    limit = set_threshold([1.78, 0.06, 2.06, 0.06], "leave-one-out", 0.05, prior=PRIOR)
    assert limit.value == few.value
    assert "; 2 near copies left out" in limit.note
    assert "near cop" not in few.note


@pytest.mark.parametrize("count", [2, 4, 8])
def test_the_promise_in_the_note_holds_when_the_prior_does(count: int) -> None:
    rng = np.random.default_rng(count)
    rates, within = [], []
    for _ in range(400):
        own = np.exp(PRIOR.sigma * rng.standard_normal(count))
        centre = np.log(own).mean() + PRIOR.delta + PRIOR.tau * rng.standard_normal()
        fresh = np.exp(centre + PRIOR.sigma * rng.standard_normal(2000))
        limit = set_threshold(own.tolist(), "leave-one-out", 0.05, prior=PRIOR)
        low, high = (int(word) for word in limit.note.split("between ")[1].split(":")[0].split(" and "))
        rates.append((fresh > limit.value).mean())
        within.append(low <= 100 * rates[-1] <= high)
    assert 0.03 < np.mean(rates) < 0.07
    assert 0.75 < np.mean(within) < 0.97


def test_the_share_above_an_order_statistic_equals_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for probability in (0.1, 0.5, 0.9):
        found = order_statistic_quantile(probability, 2, 40)
        assert found == pytest.approx(stats.beta.ppf(probability, 2, 39), rel=1e-6)


def test_the_warn_limit_is_set_by_the_same_rule() -> None:
    for options in ({}, {"prior": PRIOR}):
        limit = set_threshold(OWN, "leave-one-out", 0.01, warn_frr=0.1, **options)  # type: ignore[arg-type]
        assert limit.warn == set_threshold(OWN, "leave-one-out", 0.1, **options).value  # type: ignore[arg-type]
        assert limit.warn < limit.value
    for rate in (0.01, 0.001, 0.5):
        with pytest.raises(InputError, match="expected the warn limit's to be larger"):
            set_threshold(OWN, "leave-one-out", 0.01, warn_frr=rate)


def test_the_rate_aimed_at_follows_what_is_known() -> None:
    assert (default_rate(None), default_rate(PRIOR)) == (0.01, 0.05)


@given(st.integers(0, 60), st.integers(1, 60), st.floats(0, 1))
def test_the_binomial_tail_equals_scipy(least: int, count: int, share: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert binomial_tail(least, count, share) == pytest.approx(stats.binom.sf(least - 1, count, share), abs=1e-9)


def test_thousands_of_validation_scores_are_no_overflow() -> None:
    scores = [float(i) for i in range(1, 3001)]
    limit = set_threshold(scores, "validation", 0.05)
    assert limit.value == 2851.0
    assert "between 4 and 6" in limit.note


def test_a_limit_set_by_the_rule_is_expected_to_reject_at_its_rate() -> None:
    by_assumption = expected_rejects(OWN, set_threshold(OWN, "validation", 0.03).value)
    assert by_assumption.share == pytest.approx(0.03)
    limit = set_threshold([1.0, 1.2], "validation", 0.05, prior=PRIOR, held_out=OWN).value
    by_prior = expected_rejects([1.0, 1.2], limit, PRIOR, OWN)
    assert by_prior.share == pytest.approx(0.05)
    assert by_prior.low < 0.05 < by_prior.high and not by_prior.counted


def test_many_good_scores_above_a_limit_are_counted() -> None:
    scores = [float(i) for i in range(1, 101)]
    found = expected_rejects(scores, 95.0)
    assert found.counted and found.share == pytest.approx(5.5 / 101)
    assert found.low < 0.05 < found.high
    assert not expected_rejects(scores, 100.5).counted


def test_the_range_of_a_counted_share_holds_the_true_one_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    within = 0
    for _ in range(300):
        found = expected_rejects(list(rng.random(60) + 1), 1.9)
        within += found.low <= 0.1 <= found.high
    assert within / 300 > 0.78


@pytest.mark.parametrize("scores, limit", [([], 1.0), ([1.0, 0.0], 1.0), ([1.0], math.nan), ([1.0], -1.0)])
def test_what_no_share_can_be_expected_of_is_refused(scores: list[float], limit: float) -> None:
    with pytest.raises(InputError):
        expected_rejects(scores, limit)
