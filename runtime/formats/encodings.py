"""The statistics of a category in memory: three exact encodings of the same Gaussian per position.

`ENCODINGS` says which tensors each one stores; ARCHITECTURE.md has the equations. A category has one Gaussian over all
levels, or one a level, each a `Statistics` in an encoding of its own; no two tensors of such groups share a name.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import CategoryError, InputError
from .spec import ALL_LEVELS, EDGE_GROUPS, GROUP_SETS, LEVELS, REGAD_GROUPS, Groups, Levels, used_levels

__all__ = [
    "ENCODINGS",
    "Encoding",
    "Form",
    "Statistics",
    "StatisticsDtype",
    "StatisticsGroups",
    "cast_statistics",
    "encodings_of",
    "form_of",
    "forms_of",
    "grouped",
    "levels_of",
    "packed_length",
    "packed_side",
    "staircase",
    "statistics_bytes",
    "stored_dtype",
    "triangle_of",
    "views_of",
]

Encoding = Literal["gram", "hybrid", "cholesky"]
StatisticsDtype = Literal["fp32", "fp16"]
"""How the statistics are stored; they are widened exactly and everything is computed in float32."""
_Shapes = dict[str, tuple[int, ...]]
_STEP = 16  # as many values as the widest register of the kernels


def packed_length(size: int) -> int:
    """Number of values in the lower triangle of a ``size`` x ``size`` matrix."""
    return size * (size + 1) // 2


def packed_side(length: int) -> int:
    """Side of the square matrix whose lower triangle holds ``length`` values."""
    return (math.isqrt(8 * length + 1) - 1) // 2


def staircase(rank: int, channels: int = LEVELS[-1].channels) -> NDArray[np.bool_]:
    """Return which values of the coarsest level's views are stored, bool [rank, channels].

    x3_packed is x3 [196, rank, 256] at these; f2 alone has an x2_packed. The views are upper trapezoidal: of 16 rows at
    a time the columns left of the first one's diagonal are left out, they are zero. From row ``channels`` on nothing is
    stored.
    """
    stored: NDArray[np.bool_] = np.arange(channels) >= np.arange(rank)[:, None] // _STEP * _STEP
    return stored


def triangle_of(levels: Levels) -> str:
    """Return the name of the gram form's triangle, unpacked: ``l``, or ``l2`` and ``l3`` for a level alone."""
    return "l" if levels == ALL_LEVELS else f"l{levels[0][1]}"


def views_of(levels: Levels) -> str:
    """Return the name of the coarsest level's views in the forms that store them, unpacked: ``x3``, or ``x2``."""
    return f"x{used_levels(levels)[-1].name[1]}"


def _means(levels: Levels) -> _Shapes:
    return {f"mean{level.name[1]}": (level.positions, level.channels) for level in used_levels(levels)}


def _views(rank: int, levels: Levels) -> _Shapes:
    *finer, coarsest = used_levels(levels)
    shapes: _Shapes = {f"x{level.name[1]}": (level.positions, rank, level.channels) for level in finer}
    stored = int(staircase(min(rank, coarsest.channels), coarsest.channels).sum())
    return {**shapes, f"{views_of(levels)}_packed": (coarsest.positions, stored)}


def _gram(rank: int, levels: Levels = ALL_LEVELS) -> _Shapes:
    finest = used_levels(levels)[0]
    triangle = f"{triangle_of(levels)}_packed"
    return {**_means(levels), **_views(rank, levels), triangle: (finest.positions, packed_length(rank))}


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
    """The encodings of a category's groups, which a scorer graph is made for: RegAD's one, or those of f2 and of f3."""

    first: Encoding
    second: Encoding | None = None

    @property
    def encodings(self) -> tuple[Encoding, ...]:
        """The encoding of each group."""
        return (self.first,) if self.second is None else (self.first, self.second)

    @property
    def groups(self) -> Groups:
        """The levels of each group."""
        return REGAD_GROUPS if self.second is None else EDGE_GROUPS

    @property
    def name(self) -> str:
        """``gram`` for all levels in one, ``cholesky_f2_gram_f3`` for a Gaussian a level."""
        if self.second is None:
            return self.first
        return "_".join(f"{one}_{levels[0]}" for one, levels in zip(self.encodings, self.groups, strict=True))


def forms_of(groups: Groups) -> tuple[Form, ...]:
    """Return the forms that an artifact whose parts are scored by ``groups`` has graphs for: RegAD's among them."""
    sets = dict.fromkeys((REGAD_GROUPS, groups))
    return tuple(Form(*one) for levels in sets for one in itertools.product(*map(encodings_of, levels)))


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
    """The Gaussian of every position over ``levels``: ``tensors`` named and shaped by ``ENCODINGS[encoding]``.

    Each has the dtype of `stored_dtype`. ``views`` is N, the number of support views; ``rank`` is N - 1. ``levels`` is
    one of `LEVEL_SETS`. Raises CategoryError if a tensor is missing, of another shape or
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
    def grid(self) -> int:
        """Side of the grid of their distances: 56, 28 or 14."""
        return used_levels(self.levels)[0].grid


StatisticsGroups = tuple[Statistics, ...]
"""A category's statistics: one group for each of its `Groups` of levels, of the same views."""


def grouped(statistics: Statistics | StatisticsGroups) -> StatisticsGroups:
    """Return a single group as a tuple. Raises CategoryError unless the levels are one of `GROUP_SETS`, of one rank."""
    groups = (statistics,) if isinstance(statistics, Statistics) else statistics
    if levels_of(groups) not in GROUP_SETS:
        choices = ", or ".join(" and ".join("+".join(levels) for levels in one) for one in GROUP_SETS)
        found = " and ".join("+".join(levels) for levels in levels_of(groups))
        raise CategoryError(f"the statistics are of {found or 'nothing'}; expected {choices}")
    if len({(group.rank, group.dtype) for group in groups}) > 1:
        raise CategoryError("the statistics of f2 and f3 are not of the same views, or not stored as the same dtype")
    return groups


def levels_of(groups: StatisticsGroups) -> Groups:
    """Return the levels of each group."""
    return tuple(group.levels for group in groups)


def form_of(groups: StatisticsGroups) -> Form:
    """Return the form of a category's statistics."""
    return Form(*(group.encoding for group in groups))


def cast_statistics(statistics: Statistics, dtype: StatisticsDtype) -> Statistics:
    """Return the statistics stored as ``dtype``: exact to fp32, rounded to fp16. Raises CategoryError on overflow."""
    with np.errstate(over="ignore"):
        tensors = {
            name: value.astype(stored_dtype(name, dtype), copy=False) for name, value in statistics.tensors.items()
        }
    return replace(statistics, tensors=tensors, dtype=dtype)
