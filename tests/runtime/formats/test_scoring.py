"""The scoring as data: what belongs together, and its way through JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.errors import InputError
from regad.runtime.formats.scoring import SCORINGS, Calibration, Scoring
from regad.runtime.formats.spec import EDGE_GROUPS, GROUP_SETS, REGAD_GROUPS

EDGE = SCORINGS["edge"]


@st.composite
def scorings(draw: st.DrawFn) -> Scoring:
    """Any scoring that can be."""
    groups = draw(st.sampled_from(GROUP_SETS))
    if groups == REGAD_GROUPS and draw(st.booleans()):
        return Scoring()
    damping = draw(st.floats(0, 1e6) if groups == EDGE_GROUPS else st.none() | st.floats(0, 1e6))
    cells = draw(st.integers(1, 196 if groups == EDGE_GROUPS else 3136))
    if groups == REGAD_GROUPS:
        return Scoring("top", cells, groups, damping)
    return Scoring("top", cells, groups, damping, "product", draw(st.floats(1e-6, 1e6)))


@given(scoring=scorings())
def test_a_scoring_survives_json(scoring: Scoring) -> None:
    assert Scoring.from_json(json.loads(json.dumps(scoring.to_json()))) == scoring


def test_the_default_is_the_papers() -> None:
    levels = ["f1", "f2", "f3"]
    assert Scoring().to_json() == {
        "score": "max",
        "cells": 0,
        "levels": levels,
        "calibration": None,
        "map": "raw",
        "map_gain": 1.0,
    }
    assert Scoring() == SCORINGS["regad"]
    assert [scoring.grid for scoring in SCORINGS.values()] == [56, 14]
    assert (Scoring().scale(None) == 1).all()
    assert Scoring().map_factor(None) == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"score": "mean"}, "score is 'mean'; expected one of max, top"),
        ({"cells": 3}, "score max is the largest value of the raw map"),
        ({"damping": 1.0}, "score max is the largest value of the raw map"),
        ({"map_gain": 2.0}, "map_gain is 2.0; expected 1e-6 to 1e6, and 1 for the raw map"),
        ({"map_gain": float("nan")}, "map_gain is nan"),
        ({"score": "top"}, "cells is 0; expected 1 to 3136, the positions of f1"),
        ({"score": "top", "cells": 1, "map": "product"}, r"map product is of f2 and f3, not of f1\+f2\+f3"),
        ({"score": "top", "cells": 1, "map": "blue"}, "map is 'blue'"),
        ({"score": "top", "cells": 1, "damping": -0.1}, "damping is -0.1; expected 0 to 1e6"),
        ({"score": "top", "cells": 1, "damping": float("nan")}, "damping is nan"),
        ({"groups": (("f2",),)}, r"expected one of f1\+f2\+f3, f2 and f3"),
        ({"groups": (("f3",), ("f2",))}, r"expected one of f1\+f2\+f3, f2 and f3"),
        ({"groups": EDGE_GROUPS}, "map raw is of f1"),
        ({"groups": EDGE_GROUPS, "map": "product"}, "score top, with a damping"),
        ({"groups": EDGE_GROUPS, "map": "product", "score": "top", "cells": 4}, "score top, with a damping"),
        (
            {"groups": EDGE_GROUPS, "map": "product", "score": "top", "cells": 197, "damping": 4.0},
            "cells is 197; expected 1 to 196, the positions of f3",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Scoring(**fields)


@given(
    key=st.sampled_from(sorted(EDGE.to_json())),
    value=st.none() | st.booleans() | st.floats() | st.text() | st.lists(st.integers()) | st.just({"a": 1}),
)
def test_malformed_json_is_refused_in_one_line(key: str, value: Any) -> None:
    data = {**EDGE.to_json(), key: value}
    try:
        assert Scoring.from_json(data).to_json() == data
    except InputError as error:
        assert "\n" not in str(error)
    del data[key]
    with pytest.raises(InputError, match="incomplete"):
        Scoring.from_json(data)


@pytest.mark.parametrize("wrong", [{"sigma": 1.0}, {"a": 4.0, "sigma": 1.0}])
def test_a_calibration_of_a_later_version_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"sigma|incomplete"):
        Scoring.from_json({**EDGE.to_json(), "calibration": wrong})


def calibration(**changes: Any) -> Calibration:
    scale = np.full(changes.get("shape", (14, 14)), 0.5, changes.get("dtype", np.float32))
    scale.flat[5] = changes.get("value", 0.25)
    return Calibration(scale, np.full(changes.get("norms", 2), 3, np.float32))


def test_a_calibration_says_what_distances_and_the_map_are_multiplied_by() -> None:
    given_ = Calibration(calibration().scale, np.float32([4, 9]))
    assert np.array_equal(EDGE.scale(given_), given_.scale)
    assert EDGE.map_factor(given_) == np.float32(1 / 6)
    assert replace(EDGE, map_gain=0.5).map_factor(given_) == np.float32(1 / 12)
    assert Scoring("top", 4, damping=1.0).map_factor(given_) == 1


@pytest.mark.parametrize(
    "changes",
    [{"shape": (28, 28)}, {"dtype": np.float64}, {"value": 0.0}, {"value": -1.0}, {"value": np.nan}, {"norms": 1}],
)
def test_a_calibration_of_another_kind_is_refused(changes: dict[str, Any]) -> None:
    EDGE.check(calibration())
    with pytest.raises(InputError, match=r"scale|norms"):
        EDGE.check(calibration(**changes))


def test_a_calibration_belongs_to_a_damping() -> None:
    with pytest.raises(InputError, match="there is a calibration by held-out parts; the scoring has none"):
        Scoring().check(calibration())
    with pytest.raises(InputError, match="there is no calibration by held-out parts; the scoring has one"):
        EDGE.check(None)


def test_statistics_of_other_groups_are_refused() -> None:
    with pytest.raises(InputError, match=r"scoring is of f2 and f3, the statistics of f1\+f2\+f3"):
        EDGE.require_groups(REGAD_GROUPS)
