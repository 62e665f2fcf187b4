"""The statistics of a category: whole and finite, in fp16, and what is packed comes back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.errors import CategoryError
from regad.runtime.formats.encodings import (
    ENCODINGS,
    Statistics,
    cast_statistics,
    staircase,
    statistics_bytes,
)
from regad.runtime.scoring.reference import dense_tensors

from ..noise import noisy_statistics


def test_statistics_must_be_whole_and_finite() -> None:
    good = noisy_statistics()
    with pytest.raises(CategoryError, match="not finite"):
        Statistics("gram", 2, 3, {**good.tensors, "mean2": np.full((784, 128), np.nan, np.float32)})
    with pytest.raises(CategoryError, match="mean2"):
        Statistics("gram", 2, 3, {**good.tensors, "mean2": np.zeros((784, 127), np.float32)})
    with pytest.raises(CategoryError, match="needs"):
        Statistics("gram", 2, 3, {k: v for k, v in good.tensors.items() if k != "x1"})


def test_fp16_halves_the_memory_and_widens_exactly() -> None:
    rounded = cast_statistics(noisy_statistics(rank=5), "fp16")
    size = sum(tensor.nbytes for tensor in rounded.tensors.values())
    assert size == statistics_bytes("gram", 5, "fp16")
    means = sum(rounded.tensors[name].nbytes for name in ("mean1", "mean2", "mean3"))
    assert size - means == (statistics_bytes("gram", 5) - means) / 2
    again = cast_statistics(cast_statistics(rounded, "fp32"), "fp16")
    for name, tensor in rounded.tensors.items():
        assert (again.tensors[name] == tensor).all()
    assert all(tensor.dtype == np.float32 for tensor in dense_tensors(rounded).values())


def test_what_fp16_cannot_hold_is_refused() -> None:
    good = noisy_statistics()
    tensors = {**good.tensors, "x1": np.full((3136, 2, 64), 7e4, np.float32)}
    with pytest.raises(CategoryError, match="x1 holds values that are not finite"):
        cast_statistics(replace(good, tensors=tensors), "fp16")


def test_packed_triangles_unpack_to_lower_triangles() -> None:
    statistics = noisy_statistics(rank=5)
    dense = dense_tensors(statistics)["l"]
    rows, columns = np.tril_indices(5)
    assert (dense[:, rows, columns] == statistics.tensors["l_packed"]).all()
    assert (np.triu(dense, 1) == 0).all()


@given(st.integers(1, 300))
def test_groups_of_16_rows_leave_out_the_columns_before_them(rank: int) -> None:
    x3 = np.random.default_rng(rank).random((2, rank, 256), dtype=np.float32)
    groups = [x3[:, row : row + 16, min(row, 256) :].reshape(2, -1) for row in range(0, rank, 16)]
    assert np.array_equal(x3[:, staircase(rank)], np.concatenate(groups, axis=1))
    assert ENCODINGS["gram"](rank)["x3_packed"] == (196, sum(group.shape[1] for group in groups))


@pytest.mark.parametrize("rank", [1, 15, 16, 17, 43, 87, *range(255, 273, 4)])
def test_x3_comes_back_from_its_groups(rank: int) -> None:
    x3 = np.triu(np.random.default_rng(rank).random((196, rank, 256), dtype=np.float32))
    shapes = ENCODINGS["hybrid"](rank)
    tensors = {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}
    tensors["x3_packed"] = x3[:, staircase(rank)]
    assert np.array_equal(dense_tensors(Statistics("hybrid", rank, rank + 1, tensors))["x3"], x3)
