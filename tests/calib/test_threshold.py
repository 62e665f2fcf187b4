"""The threshold against scipy's Student t and against simulated false-reject rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.calib.threshold import PRIOR_SPREAD, held_out_scale, set_threshold, student_t_quantile
from regad.runtime.errors import InputError


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
