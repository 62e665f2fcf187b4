"""The scoring as data: what belongs together, and its way through JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.errors import InputError
from regad.runtime.formats.scoring import Calibration, Scoring
from regad.runtime.formats.spec import ALL_LEVELS, LEVEL_SETS

TOP = Scoring("top", 16, ("f2", "f3"), Calibration(1.0, 2.0), "calibrated", 0.5)


@st.composite
def scorings(draw: st.DrawFn) -> Scoring:
    """Any scoring that can be."""
    levels = draw(st.sampled_from(LEVEL_SETS))
    if draw(st.booleans()):
        return Scoring(levels=levels)
    grid = Scoring(levels=levels).grid
    calibration = draw(st.none() | st.builds(Calibration, a=st.floats(0, 1e6), sigma=st.floats(0, 56)))
    shown = draw(st.sampled_from(["raw", "calibrated"] if calibration else ["raw"]))
    gain = draw(st.floats(1e-6, 1e6))
    return Scoring("top", draw(st.integers(1, grid * grid)), levels, calibration, shown, gain)


@given(scoring=scorings())
def test_a_scoring_survives_json(scoring: Scoring) -> None:
    assert Scoring.from_json(json.loads(json.dumps(scoring.to_json()))) == scoring


def test_the_default_is_the_papers() -> None:
    assert Scoring().to_json() == {
        "score": "max",
        "cells": 0,
        "levels": ["f1", "f2", "f3"],
        "calibration": None,
        "map": "raw",
        "map_gain": 1.0,
    }
    assert [Scoring(levels=levels).grid for levels in LEVEL_SETS] == [56, 28, 14]
    assert all((factor == 1).all() for factor in Scoring().factors())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"score": "mean"}, "score is 'mean'; expected one of max, top"),
        ({"cells": 3}, "score max is the largest value of the raw map"),
        ({"map_gain": 2.0}, "score max is the largest value of the raw map"),
        ({"calibration": Calibration()}, "score max is the largest value of the raw map"),
        ({"score": "top"}, "cells is 0; expected 1 to 3136"),
        ({"score": "top", "cells": 197, "levels": ("f3",)}, "cells is 197; expected 1 to 196, the positions of f3"),
        ({"score": "top", "cells": 1, "map": "calibrated"}, "there is no calibration"),
        ({"score": "top", "cells": 1, "map": "blue"}, "map is 'blue'"),
        ({"score": "top", "cells": 1, "map_gain": float("nan")}, "map_gain is nan"),
        ({"levels": ("f1", "f2")}, r"expected one of f1\+f2\+f3, f2\+f3, f3"),
        ({"levels": ("f2",)}, r"expected one of f1\+f2\+f3, f2\+f3, f3"),
    ],
)
def test_what_does_not_belong_together_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Scoring(**fields)


@pytest.mark.parametrize("fields", [{"a": -1.0}, {"a": float("nan")}, {"sigma": 57.0}, {"sigma": -0.1}])
def test_a_calibration_is_within_bounds(fields: dict[str, float]) -> None:
    with pytest.raises(InputError, match="calibration is a"):
        Calibration(**fields)


@given(
    key=st.sampled_from(sorted(TOP.to_json())),
    value=st.none() | st.booleans() | st.floats() | st.text() | st.lists(st.integers()) | st.just({"a": 1}),
)
def test_malformed_json_is_refused_in_one_line(key: str, value: Any) -> None:
    data = {**TOP.to_json(), key: value}
    try:
        assert Scoring.from_json(data).to_json() == data
    except InputError as error:
        assert "\n" not in str(error)
    del data[key]
    with pytest.raises(InputError, match="incomplete"):
        Scoring.from_json(data)


def scale(**changes: Any) -> np.ndarray:
    made = np.full(changes.get("shape", (28, 28)), 0.5, changes.get("dtype", np.float32))
    made.flat[5] = changes.get("value", 0.25)
    return made


def test_a_scale_and_a_gain_become_factors_of_the_score_and_of_the_map() -> None:
    score, shown = TOP.factors(scale())
    assert np.array_equal(score, scale())
    assert np.array_equal(shown, scale() * np.float32(0.5))
    raw = Scoring("top", 16, ("f2", "f3"), Calibration(), map_gain=3.0).factors(scale())
    assert (raw.map == 3).all()


@pytest.mark.parametrize(
    "changes", [{"shape": (14, 14)}, {"dtype": np.float64}, {"value": 0.0}, {"value": -1.0}, {"value": np.nan}]
)
def test_a_scale_of_another_kind_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="scale"):
        TOP.factors(scale(**changes))


def test_a_scale_without_a_calibration_is_refused() -> None:
    with pytest.raises(InputError, match="not calibrated"):
        Scoring().factors(np.ones((56, 56), np.float32))


def test_statistics_of_other_levels_are_refused() -> None:
    with pytest.raises(InputError, match=r"scoring is of f2\+f3, the statistics of f1\+f2\+f3"):
        TOP.require_levels(ALL_LEVELS)
