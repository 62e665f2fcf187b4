"""The reference scorer in NumPy: per-position Mahalanobis distance, the smoothed anomaly map, and the score.

Equations: RegAD, section 3.4 (M = sqrt((f - mean)^T covariance^-1 (f - mean)), covariance + 0.01 I), in the exact
factored forms that ARCHITECTURE.md derives; `regad.runtime.formats.scoring` says what becomes of the distances.
Statistics are stored packed and unpacked once, in `Scorer`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CategoryError
from ..formats.encodings import (
    Encoding,
    Statistics,
    StatisticsDtype,
    StatisticsGroups,
    grouped,
    levels_of,
    packed_side,
    staircase,
    stored_dtype,
    triangle_of,
    views_of,
)
from ..formats.features import Features
from ..formats.scoring import Calibration, Scoring, Shown
from ..formats.spec import EPSILON, GRID, LEVELS, SIZE, used_levels

__all__ = [
    "Distances",
    "Scorer",
    "bilinear_matrix",
    "dense_tensors",
    "distances_of",
    "graph_tensors",
    "judge",
    "smoothing_matrix",
    "top_mean",
    "upsample",
]

Array = NDArray[np.float32]
Distances = tuple[Array, ...]
"""The distances of each group, float32 [B, g, g]."""
_SMOOTHED: Mapping[Shown, tuple[int, float]] = {"raw": (GRID, 4.0), "product": (LEVELS[1].grid, 2.0)}
"""The grid that a map is made of, and the standard deviation of its Gaussian in pixels."""


def bilinear_matrix(size: int, cells: int) -> NDArray[np.float64]:
    """Return U, float64 [size, cells]: U m U^T upsamples a square grid, bilinear with align_corners=False."""
    grid = np.maximum((np.arange(size) + 0.5) * cells / size - 0.5, 0.0)
    low = np.floor(grid).astype(int)
    high = np.minimum(low + 1, cells - 1)
    matrix = np.zeros((size, cells))
    np.add.at(matrix, (np.arange(size), low), 1 - (grid - low))
    np.add.at(matrix, (np.arange(size), high), grid - low)
    return matrix


@cache
def smoothing_matrix(shown: Shown = "raw") -> Array:
    """Return A, float32 [224, cells]: A m A^T upsamples the grid of a map bilinearly and then smooths it.

    The smoothing is scipy's ``gaussian_filter(sigma, mode="reflect", truncate=4)``.
    """
    cells, sigma = _SMOOTHED[shown]
    radius = int(4 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    source = np.arange(SIZE)[:, None] + offsets
    source = np.where(source < 0, -1 - source, np.where(source >= SIZE, 2 * SIZE - 1 - source, source))
    blur = np.zeros((SIZE, SIZE))
    np.add.at(blur, (np.arange(SIZE)[:, None], source), kernel)
    matrix: Array = (blur @ bilinear_matrix(SIZE, cells)).astype(np.float32)
    matrix.setflags(write=False)
    return matrix


def upsample(values: NDArray[Any], factor: int) -> NDArray[Any]:
    """Nearest upsampling of per-cell values [side * side, ...] by ``factor`` in both directions, same dtype."""
    side = math.isqrt(len(values))
    cells = values.reshape(side, 1, side, 1, *values.shape[1:])
    grown = np.broadcast_to(cells, (side, factor, side, factor, *values.shape[1:]))
    return grown.reshape(side * factor * side * factor, *values.shape[1:])


def dense_tensors(statistics: Statistics) -> dict[str, Array]:
    """Return a group as float32, the coarsest views unpacked to [P, R, C], packed triangles to lower ones [P, R, R].

    These are the inputs of the scorer graphs; a name loses its ``_packed``.
    """
    dense: dict[str, Array] = {}
    for name, value in statistics.tensors.items():
        if not name.endswith("_packed"):
            dense[name] = value.astype(np.float32, copy=False)
            continue
        if name == f"{views_of(statistics.levels)}_packed":
            stored = staircase(statistics.rank, used_levels(statistics.levels)[-1].channels)
        else:
            size = packed_side(value.shape[1])
            stored = np.tri(size, dtype=bool)
        whole = np.zeros((len(value), *stored.shape), np.float32)
        start = 0
        for row, columns in enumerate(stored):  # neighbours in each row: slices are faster than whole[:, stored]
            first, count = int(columns.argmax()), int(columns.sum())
            whole[:, row, first : first + count] = value[:, start : start + count]
            start += count
        dense[name.removesuffix("_packed")] = whole
    return dense


def graph_tensors(
    statistics: Statistics | StatisticsGroups,
    dtype: StatisticsDtype,
    scoring: Scoring | None = None,
    calibration: Calibration | None = None,
) -> dict[str, NDArray[np.floating[Any]]]:
    """Return what a scorer graph that takes ``dtype`` statistics is fed with beside the features.

    That is the `dense_tensors` of every group, stored as it wants them, and the scoring (None: RegAD's) with the
    category's calibration, all float32: ``score_factors`` [g, g], which the last group's distances are multiplied by;
    of RegAD's group ``score_weights`` [1 + g * g], what the map's maximum and the distances from the largest down weigh
    in the score; of others ``score_weights`` [g * g], of the distances alone, and the map's ``map_gain`` [1]. fp16
    statistics are widened for an fp32 graph, exactly. Raises CategoryError for fp32 statistics and an fp16 graph: they
    would be rounded; InputError for a scoring of other groups or a calibration that it does not use.
    """
    groups = grouped(statistics)
    if dtype == "fp16" and groups[0].dtype == "fp32":
        raise CategoryError(
            "the category's statistics are fp32, the artifact's scorer graphs take fp16 and would round them; "
            "teach the part again for them: regad-calib --stats-dtype fp16"
        )
    scoring = _checked(groups, scoring, calibration)
    weights = np.zeros(1 + scoring.grid**2, np.float32)
    if scoring.score == "max":
        weights[0] = 1
    else:
        weights[1 : 1 + scoring.cells] = 1 / scoring.cells
    judged = {"score_factors": scoring.scale(calibration), "score_weights": weights}
    if scoring.map == "product":
        judged = {
            **judged,
            "score_weights": weights[1:].copy(),
            "map_gain": scoring.map_factor(calibration).reshape(1),
        }
    dense = {name: value for group in groups for name, value in dense_tensors(group).items()}
    return {
        **{name: value.astype(stored_dtype(name, dtype), copy=False) for name, value in dense.items()},
        **judged,
    }


def _checked(groups: StatisticsGroups, scoring: Scoring | None, calibration: Calibration | None) -> Scoring:
    """The scoring, RegAD's where there is none. Raises InputError where the three do not belong together."""
    scoring = scoring or Scoring()
    scoring.require_groups(levels_of(groups))
    scoring.check(calibration)
    return scoring


def judge(distances: Distances, scoring: Scoring, calibration: Calibration | None = None) -> tuple[Array, Array]:
    """Return the anomaly maps, float32 [B, 224, 224], and scores, float32 [B], of the groups' distances.

    `regad.runtime.formats.scoring` has the equations. Raises InputError for a calibration that it does not use.
    """
    scoring.check(calibration)
    shown = distances[0]
    if scoring.map == "product":
        grow = bilinear_matrix(distances[0].shape[1], distances[1].shape[1]).astype(np.float32)
        grown = np.matmul(np.matmul(grow, distances[1]), grow.T)
        shown = np.sqrt(distances[0] * grown) * scoring.map_factor(calibration)
    smooth = smoothing_matrix(scoring.map)
    maps: Array = np.matmul(np.matmul(smooth, shown), smooth.T)
    if scoring.score == "max":
        return maps, maps.max(axis=(1, 2))
    return maps, top_mean(distances[-1] * scoring.scale(calibration), scoring.cells)


def top_mean(values: Array, cells: int) -> Array:
    """Return the mean of the ``cells`` largest of each image's values, float32 [B, ...] to [B], summed in float64."""
    flat = values.reshape(len(values), -1)
    largest = np.partition(flat, flat.shape[1] - cells, axis=1)[:, -cells:]
    mean: Array = largest.mean(axis=1, dtype=np.float64).astype(np.float32)
    return mean


def _apply(matrices: Array, vectors: Array) -> Array:
    """Batched product: [P, m, n] with [P, n] gives [P, m]."""
    product: Array = np.matmul(matrices, vectors[:, :, None])[:, :, 0]
    return product


def _norm2(vectors: Array) -> Array:
    """Squared length of each row."""
    result: Array = np.einsum("pc,pc->p", vectors, vectors)
    return result


def _total(parts: Iterable[Array]) -> Array:
    """Sum of what the levels give, from fine to coarse, at the positions of the finest one."""
    total, *coarser = parts
    for step, part in enumerate(coarser, start=1):
        total = total + upsample(part, 2**step)
    return total


_Tensors = Mapping[str, Array]
_Deviations = Mapping[int, Array]  # by the level's number, from fine to coarse


def _gram(t: _Tensors, d: _Deviations) -> Array:
    y = _total(_apply(t[f"x{level}"], d[level]) for level in d)
    length = _total(_norm2(d[level]) for level in d)
    triangle = triangle_of(tuple(f"f{level}" for level in d))
    squared: Array = (length - _norm2(_apply(t[triangle], y))) / np.float32(EPSILON)
    return squared


def _hybrid(t: _Tensors, d: _Deviations) -> Array:
    y = _apply(t["x2"], d[2]) + upsample(_apply(t["x3"], d[3]), 2)
    z = _apply(t["l"], y)
    coarse = (_norm2(d[2]) + upsample(_norm2(d[3]), 2) - _norm2(z)) / np.float32(EPSILON)
    a = np.matmul(z[:, None, :], t["l"])[:, 0]
    expected = np.matmul(upsample(a, 2)[:, None, :], t["x1"])[:, 0]
    squared: Array = upsample(coarse, 2) + _norm2(_apply(t["w1"], d[1] - expected))
    return squared


def _cholesky(t: _Tensors, d: _Deviations) -> Array:
    coarsest, *finer = reversed(tuple(d))
    squared, context = _norm2(_apply(t[f"w{coarsest}"], d[coarsest])), d[coarsest]
    for level in finer:
        context = upsample(context, 2)
        z = _apply(t[f"w{level}_cross"], context) + _apply(t[f"w{level}"], d[level])
        squared = upsample(squared, 2) + _norm2(z)
        context = np.concatenate([context, d[level]], axis=1)
    return squared


_FORMS: Mapping[Encoding, Callable[[_Tensors, _Deviations], Array]] = {
    "gram": _gram,
    "hybrid": _hybrid,
    "cholesky": _cholesky,
}


def distances_of(statistics: Statistics, features: Features) -> Array:
    """Return the distance of every position to one group of statistics, float32 [B, g, g]."""
    return _distances(statistics, dense_tensors(statistics), features)


def _distances(statistics: Statistics, tensors: _Tensors, features: Features) -> Array:
    levels = {int(level.name[1]): level.name for level in used_levels(statistics.levels)}
    out = np.empty((len(features.f3), statistics.grid, statistics.grid), np.float32)
    for index, distances in enumerate(out):
        d = {level: getattr(features, name)[index] - tensors[f"mean{level}"] for level, name in levels.items()}
        np.sqrt(np.maximum(_FORMS[statistics.encoding](tensors, d), 0), out=distances.reshape(-1))
    return out


class Scorer:
    """Scores features against one category's statistics. Immutable after construction, usable from several threads."""

    def __init__(
        self,
        statistics: Statistics | StatisticsGroups,
        scoring: Scoring | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        """Unpack ``statistics`` once; memory is that of the dense tensors.

        ``scoring`` None is RegAD's. Raises CategoryError for statistics that are no category's, InputError for a
        scoring of other groups than theirs, or a calibration that it does not use.
        """
        self._groups = grouped(statistics)
        self._scoring = _checked(self._groups, scoring, calibration)
        self._calibration = calibration
        self._tensors = [dense_tensors(group) for group in self._groups]

    def mahalanobis(self, features: Features) -> Distances:
        """Return the distance of every position, one array a group, float32 [B, g, g]."""
        return tuple(map(_distances, self._groups, self._tensors, [features] * len(self._groups)))

    def score(self, features: Features) -> tuple[Array, Array]:
        """Return the anomaly maps, float32 [B, 224, 224], and the anomaly scores, float32 [B]."""
        return judge(self.mahalanobis(features), self._scoring, self._calibration)
