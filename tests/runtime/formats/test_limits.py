"""Limits as data."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.errors import InputError
from regad.runtime.formats.limits import MEASURES, Limit, limits_from_json, limits_to_json

numbers = st.floats(0, 1e6)


@given(st.lists(st.tuples(numbers, numbers, numbers, numbers, st.booleans()), max_size=4))
def test_limits_come_back_bit_for_bit(rows: list[tuple[float, float, float, float, bool]]) -> None:
    limits = {}
    for name, (*values, open_end) in zip(MEASURES, rows, strict=False):
        low, first, last, high = sorted(values)
        limits[name] = Limit(low, None if open_end else high, (first, last))
    assert limits_from_json(json.loads(json.dumps(limits_to_json(limits)))) == limits


@pytest.mark.parametrize(
    ("low", "high", "taught"),
    [(2.0, 9.0, (1.0, 3.0)), (1.0, 2.0, (1.0, 3.0)), (0.0, 9.0, (3.0, 1.0)), (math.nan, None, (1.0, 2.0))],
)
def test_a_limit_holds_what_was_taught(low: float, high: float | None, taught: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="rising"):
        Limit(low, high, taught)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ({"glare": {"low": 0, "high": 1, "taught": [0, 1]}}, "glare, which this version does not measure; update"),
        ({"detail": {"low": 0, "taught": [0, 1]}}, "malformed"),
        ({"detail": {"low": 0, "high": 1, "taught": [0]}}, "malformed"),
        ({"detail": {"low": 0, "high": "much", "taught": [0, 1]}}, "malformed"),
        ({"detail": 5}, "malformed"),
    ],
)
def test_other_data_is_refused(data: dict[str, object], word: str) -> None:
    with pytest.raises(InputError, match=word):
        limits_from_json(data)
