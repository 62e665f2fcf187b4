"""The statistics of a category in memory: three exact encodings of the same Gaussian per position.

`ENCODINGS` says which tensors each one stores; ARCHITECTURE.md has the equations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import CategoryError
from .spec import LEVELS

__all__ = [
    "ENCODINGS",
    "Encoding",
    "Statistics",
    "StatisticsDtype",
    "cast_statistics",
    "packed_length",
    "staircase",
    "statistics_bytes",
    "stored_dtype",
]

Encoding = Literal["gram", "hybrid", "cholesky"]
StatisticsDtype = Literal["fp32", "fp16"]
"""How the statistics are stored; they are widened exactly and everything is computed in float32."""
_Shapes = dict[str, tuple[int, ...]]
_P1, _P2, _P3 = (level.positions for level in LEVELS)
_C1, _C2, _C3 = (level.channels for level in LEVELS)
_STEP = 16  # as many values as the widest register of the kernels
_MEANS: _Shapes = {"mean1": (_P1, _C1), "mean2": (_P2, _C2), "mean3": (_P3, _C3)}


def packed_length(size: int) -> int:
    """Number of values in the lower triangle of a ``size`` x ``size`` matrix."""
    return size * (size + 1) // 2


def staircase(rank: int) -> NDArray[np.bool_]:
    """Return which values of x3 are stored, bool [rank, 256]; x3_packed is x3 [196, rank, 256] at these.

    x3 is upper trapezoidal. Of 16 rows at a time the columns left of the first one's diagonal are left out: they are
    zero. From row 256 on nothing is stored.
    """
    stored: NDArray[np.bool_] = np.arange(_C3) >= np.arange(rank)[:, None] // _STEP * _STEP
    return stored


def _views(rank: int) -> _Shapes:
    return {"x1": (_P1, rank, _C1), "x2": (_P2, rank, _C2), "x3_packed": (_P3, int(staircase(min(rank, _C3)).sum()))}


ENCODINGS: Mapping[Encoding, Callable[[int], _Shapes]] = {
    "gram": lambda rank: {**_MEANS, **_views(rank), "l_packed": (_P1, packed_length(rank))},
    "hybrid": lambda rank: {
        **_MEANS,
        **_views(rank),
        "l_packed": (_P2, packed_length(rank)),
        "w1_packed": (_P1, packed_length(_C1)),
    },
    "cholesky": lambda rank: {
        **_MEANS,
        "w3_packed": (_P3, packed_length(_C3)),
        "w2_cross": (_P2, _C2, _C3),
        "w2_packed": (_P2, packed_length(_C2)),
        "w1_cross": (_P1, _C1, _C3 + _C2),
        "w1_packed": (_P1, packed_length(_C1)),
    },
}
"""Tensor names and shapes of each encoding as a function of the rank (number of views - 1)."""


def stored_dtype(name: str, dtype: StatisticsDtype) -> np.dtype[Any]:
    """NumPy's dtype of tensor ``name`` in statistics stored as ``dtype``: the means stay float32, they are small."""
    return np.dtype(np.float16 if dtype == "fp16" and name not in _MEANS else np.float32)


def statistics_bytes(encoding: Encoding, rank: int, dtype: StatisticsDtype = "fp32") -> int:
    """Size of the statistics in bytes."""
    shapes = ENCODINGS[encoding](rank)
    return sum(stored_dtype(name, dtype).itemsize * math.prod(shape) for name, shape in shapes.items())


@dataclass(frozen=True)
class Statistics:
    """GaussianStats of every position: ``tensors`` named and shaped by ``ENCODINGS[encoding](rank)``.

    Each has the dtype of `stored_dtype`. ``views`` is N, the number of support views; ``rank`` is N - 1. Raises
    CategoryError if a tensor is missing, of another shape or dtype, or not finite.
    """

    encoding: Encoding
    rank: int
    views: int
    tensors: Mapping[str, NDArray[np.floating[Any]]]
    dtype: StatisticsDtype = "fp32"

    def __post_init__(self) -> None:
        if self.encoding not in get_args(Encoding):
            raise CategoryError(f"encoding is {self.encoding!r}; expected one of {', '.join(get_args(Encoding))}")
        if self.dtype not in get_args(StatisticsDtype):
            raise CategoryError(f"dtype is {self.dtype!r}; expected one of {', '.join(get_args(StatisticsDtype))}")
        if self.views < 2 or self.rank != self.views - 1:
            raise CategoryError(f"rank is {self.rank} with {self.views} views; expected the number of views less one")
        shapes = ENCODINGS[self.encoding](self.rank)
        if set(shapes) != set(self.tensors):
            raise CategoryError(f"tensors are {sorted(self.tensors)}; {self.encoding} needs {sorted(shapes)}")
        for name, shape in shapes.items():
            tensor, wanted = self.tensors[name], stored_dtype(name, self.dtype)
            if tensor.dtype != wanted or tensor.shape != shape:
                raise CategoryError(
                    f"tensor {name} is {tensor.dtype} {list(tensor.shape)}; expected {wanted} {list(shape)}"
                )
            # A sum is finite only if every value is: one pass without a mask of the tensor's size.
            if not np.isfinite(tensor.sum(dtype=np.float64)):
                raise CategoryError(f"tensor {name} holds values that are not finite")


def cast_statistics(statistics: Statistics, dtype: StatisticsDtype) -> Statistics:
    """Return the statistics stored as ``dtype``: exact to fp32, rounded to fp16. Raises CategoryError on overflow."""
    with np.errstate(over="ignore"):
        tensors = {
            name: value.astype(stored_dtype(name, dtype), copy=False) for name, value in statistics.tensors.items()
        }
    return replace(statistics, tensors=tensors, dtype=dtype)
