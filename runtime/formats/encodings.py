"""The statistics of a category in memory: three exact encodings of the same Gaussian per position.

`ENCODINGS` says which tensors each one stores; ARCHITECTURE.md has the equations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import CategoryError, InputError
from .spec import ALL_LEVELS, LEVELS, Levels, used_levels

__all__ = [
    "ENCODINGS",
    "Encoding",
    "Form",
    "Statistics",
    "StatisticsDtype",
    "cast_statistics",
    "encodings_of",
    "forms_of",
    "packed_length",
    "packed_side",
    "staircase",
    "statistics_bytes",
    "stored_dtype",
]

Encoding = Literal["gram", "hybrid", "cholesky"]
StatisticsDtype = Literal["fp32", "fp16"]
"""How the statistics are stored; they are widened exactly and everything is computed in float32."""
_Shapes = dict[str, tuple[int, ...]]
_COARSEST = LEVELS[-1]
_STEP = 16  # as many values as the widest register of the kernels


def packed_length(size: int) -> int:
    """Number of values in the lower triangle of a ``size`` x ``size`` matrix."""
    return size * (size + 1) // 2


def packed_side(length: int) -> int:
    """Side of the square matrix whose lower triangle holds ``length`` values."""
    return (math.isqrt(8 * length + 1) - 1) // 2


def staircase(rank: int) -> NDArray[np.bool_]:
    """Return which values of x3 are stored, bool [rank, 256]; x3_packed is x3 [196, rank, 256] at these.

    x3 is upper trapezoidal. Of 16 rows at a time the columns left of the first one's diagonal are left out: they are
    zero. From row 256 on nothing is stored.
    """
    stored: NDArray[np.bool_] = np.arange(_COARSEST.channels) >= np.arange(rank)[:, None] // _STEP * _STEP
    return stored


def _means(levels: Levels) -> _Shapes:
    return {f"mean{level.name[1]}": (level.positions, level.channels) for level in used_levels(levels)}


def _views(rank: int, levels: Levels) -> _Shapes:
    *finer, coarsest = used_levels(levels)
    shapes: _Shapes = {f"x{level.name[1]}": (level.positions, rank, level.channels) for level in finer}
    return {**shapes, "x3_packed": (coarsest.positions, int(staircase(min(rank, coarsest.channels)).sum()))}


def _gram(rank: int, levels: Levels = ALL_LEVELS) -> _Shapes:
    finest = used_levels(levels)[0]
    return {**_means(levels), **_views(rank, levels), "l_packed": (finest.positions, packed_length(rank))}


def _hybrid(rank: int, levels: Levels = ALL_LEVELS) -> _Shapes:
    if levels != ALL_LEVELS:
        raise InputError(f"hybrid statistics are of {'+'.join(ALL_LEVELS)}, not {'+'.join(levels)}; use gram")
    finest, middle, _ = LEVELS
    return {
        **_means(levels),
        **_views(rank, levels),
        "l_packed": (middle.positions, packed_length(rank)),
        "w1_packed": (finest.positions, packed_length(finest.channels)),
    }


def _cholesky(rank: int, levels: Levels = ALL_LEVELS) -> _Shapes:
    shapes, coarser = _means(levels), 0
    for level in reversed(used_levels(levels)):
        number = level.name[1]
        if coarser:
            shapes[f"w{number}_cross"] = (level.positions, level.channels, coarser)
        shapes[f"w{number}_packed"] = (level.positions, packed_length(level.channels))
        coarser += level.channels
    return shapes


class _ShapesOf(Protocol):
    def __call__(self, rank: int, levels: Levels = ALL_LEVELS) -> _Shapes: ...


ENCODINGS: Mapping[Encoding, _ShapesOf] = {"gram": _gram, "hybrid": _hybrid, "cholesky": _cholesky}
"""Tensor names and shapes of each encoding as a function of the rank (number of views - 1) and the levels.

Raises InputError for levels that the encoding does not have (`encodings_of`).
"""


def encodings_of(levels: Levels) -> tuple[Encoding, ...]:
    """Return the encodings that statistics of ``levels`` may have; `hybrid` never pays without f1."""
    names: tuple[Encoding, ...] = get_args(Encoding)
    return names if levels == ALL_LEVELS else tuple(name for name in names if name != "hybrid")


class Form(NamedTuple):
    """An encoding of some levels: what a scorer graph is made for."""

    encoding: Encoding
    levels: Levels = ALL_LEVELS

    @property
    def name(self) -> str:
        """``gram`` for all levels, ``gram_f2_f3`` for those two."""
        return self.encoding if self.levels == ALL_LEVELS else "_".join((self.encoding, *self.levels))


def forms_of(levels: Levels) -> tuple[Form, ...]:
    """Return the forms that an artifact whose parts are scored over ``levels`` has graphs for: RegAD's among them."""
    sets = dict.fromkeys((ALL_LEVELS, levels))
    return tuple(Form(encoding, names) for names in sets for encoding in encodings_of(names))


def stored_dtype(name: str, dtype: StatisticsDtype) -> np.dtype[Any]:
    """NumPy's dtype of tensor ``name`` in statistics stored as ``dtype``: the means stay float32, they are small."""
    return np.dtype(np.float16 if dtype == "fp16" and not name.startswith("mean") else np.float32)


def statistics_bytes(
    encoding: Encoding, rank: int, dtype: StatisticsDtype = "fp32", levels: Levels = ALL_LEVELS
) -> int:
    """Size of the statistics in bytes."""
    shapes = ENCODINGS[encoding](rank, levels)
    return sum(stored_dtype(name, dtype).itemsize * math.prod(shape) for name, shape in shapes.items())


@dataclass(frozen=True)
class Statistics:
    """GaussianStats of every position: ``tensors`` named and shaped by ``ENCODINGS[encoding](rank, levels)``.

    Each has the dtype of `stored_dtype`. ``views`` is N, the number of support views; ``rank`` is N - 1. ``levels``
    are those that are scored, one of `LEVEL_SETS`. Raises CategoryError if a tensor is missing, of another shape or
    dtype, or not finite, or for levels that the encoding does not have.
    """

    encoding: Encoding
    rank: int
    views: int
    tensors: Mapping[str, NDArray[np.floating[Any]]]
    dtype: StatisticsDtype = "fp32"
    levels: Levels = ALL_LEVELS

    def __post_init__(self) -> None:
        if self.encoding not in get_args(Encoding):
            raise CategoryError(f"encoding is {self.encoding!r}; expected one of {', '.join(get_args(Encoding))}")
        if self.dtype not in get_args(StatisticsDtype):
            raise CategoryError(f"dtype is {self.dtype!r}; expected one of {', '.join(get_args(StatisticsDtype))}")
        if self.views < 2 or self.rank != self.views - 1:
            raise CategoryError(f"rank is {self.rank} with {self.views} views; expected the number of views less one")
        try:
            shapes = ENCODINGS[self.encoding](self.rank, self.levels)
        except InputError as error:
            raise CategoryError(str(error)) from error
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

    @property
    def form(self) -> Form:
        """Encoding and levels."""
        return Form(self.encoding, self.levels)

    @property
    def grid(self) -> int:
        """Side of the grid of positions that are scored: 56, 28 or 14."""
        return used_levels(self.levels)[0].grid


def cast_statistics(statistics: Statistics, dtype: StatisticsDtype) -> Statistics:
    """Return the statistics stored as ``dtype``: exact to fp32, rounded to fp16. Raises CategoryError on overflow."""
    with np.errstate(over="ignore"):
        tensors = {
            name: value.astype(stored_dtype(name, dtype), copy=False) for name, value in statistics.tensors.items()
        }
    return replace(statistics, tensors=tensors, dtype=dtype)
