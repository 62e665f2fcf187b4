"""What other kinds of parts teach: between known numbers of images, in files, and refused."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.errors import InputError
from regad.runtime.formats.prior import Prior, Priors
from regad.runtime.formats.threshold import Threshold

PRIORS = Priors({2: Prior(-0.114, 0.089, 0.108), 4: Prior(-0.086, 0.092, 0.122), 8: Prior(-0.089, 0.1, 0.154)}, "25")


def test_known_numbers_of_images_and_those_outside_take_the_nearest() -> None:
    assert [PRIORS.at(shot) for shot in (2, 4, 8)] == list(PRIORS.shots.values())
    assert PRIORS.at(1) == PRIORS.at(2)
    assert PRIORS.at(100) == PRIORS.at(8)


def test_between_known_numbers_it_is_interpolated_in_their_logarithm() -> None:
    share = math.log(3 / 2) / math.log(2)
    assert PRIORS.at(3).tau == pytest.approx(0.089 + share * 0.003)
    assert PRIORS.at(3).delta == pytest.approx(-0.114 + share * 0.028)
    assert PRIORS.at(6).sigma == pytest.approx(0.122 + share * 0.032)


@given(
    st.dictionaries(
        st.integers(1, 64),
        st.builds(Prior, st.floats(-2, 2), st.floats(0.01, 1), st.floats(0.01, 1), st.just(8), st.just(30)),
        min_size=1,
    )
)
def test_priors_come_back_as_written(shots: dict[int, Prior]) -> None:
    before = Priors(shots, "drawn")
    assert Priors.from_json(json.loads(json.dumps(before.to_json()))) == before


@pytest.mark.parametrize(
    "change",
    [
        {"shots": {}},
        {"shots": []},
        {"shots": {"two": {}}},
        {"shots": {"2": {"delta": 0, "tau": 0, "sigma": 1, "weight": 8, "freedom": 30}}},
        {"shots": {"2": {"delta": math.nan, "tau": 1, "sigma": 1, "weight": 8, "freedom": 30}}},
        {"shots": {"2": {"delta": 0, "tau": 1, "sigma": 1, "weight": 0, "freedom": 30}}},
        {"shots": {"2": {"delta": 0, "tau": 1, "sigma": 1, "weight": 8, "freedom": 2.5}}},
        {"shots": {"2": {"delta": 0, "tau": 1, "sigma": 1, "weight": 8}}},
        {"shots": {"0": {"delta": 0, "tau": 1, "sigma": 1, "weight": 8, "freedom": 30}}},
    ],
)
def test_malformed_priors_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="prior"):
        Priors.from_json({**PRIORS.to_json(), **change})
    with pytest.raises(InputError, match="prior"):
        Priors.from_json({"shots": change["shots"]})


def test_a_threshold_with_its_prior_and_warn_limit_comes_back() -> None:
    before = Threshold(2.0, "validation", 0.05, (1.0,), "said", PRIORS.at(4), (1.1, 1.2), 1.5, 0.2)
    assert Threshold.from_json(json.loads(json.dumps(before.to_json()))) == before


@pytest.mark.parametrize("warn", [0.0, -1.0, 2.0, 3.0, math.nan])
def test_a_warn_limit_lies_below_the_threshold(warn: float) -> None:
    with pytest.raises(InputError, match="expected a warn limit above 0 and below the threshold"):
        Threshold(2.0, "manual", warn=warn)


def test_a_threshold_by_hand_keeps_the_warn_limit_that_is_below_it() -> None:
    limit = Threshold(2.0, "validation", 0.05, warn=1.5, warn_frr=0.2)
    assert limit.by_hand(1.8).warn == 1.5
    assert limit.by_hand(1.5).warn is None
    assert limit.with_warn(1.2) == Threshold(2.0, "validation", 0.05, warn=1.2)
    assert limit.with_warn(None).warn is None
