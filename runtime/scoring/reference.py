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
from ..formats.encodings import Encoding, Statistics, StatisticsDtype, packed_side, staircase, stored_dtype
from ..formats.features import Features
from ..formats.scoring import Scoring
from ..formats.spec import EPSILON, GRID, SIZE, used_levels

__all__ = ["Scorer", "dense_tensors", "graph_tensors", "judge", "smoothing_matrix", "top_mean", "upsample"]

Array = NDArray[np.float32]
_SIGMA = 4.0
_RADIUS = 16  # scipy's int(truncate * sigma + 0.5) with truncate 4


@cache
def smoothing_matrix(cells: int = GRID) -> Array:
    """Return A, float32 [224, cells]: A m A^T upsamples a grid of 56, 28 or 14 cells a side and then smooths it.

    Nearest to 56, as a level's features are taken to the positions of f1; bilinear with align_corners=False; then
    scipy's ``gaussian_filter(sigma=4, mode="reflect", truncate=4)``.
    """
    grid = np.maximum((np.arange(SIZE) + 0.5) * GRID / SIZE - 0.5, 0.0)
    low = np.floor(grid).astype(int)
    high = np.minimum(low + 1, GRID - 1)
    upsample = np.zeros((SIZE, GRID))
    np.add.at(upsample, (np.arange(SIZE), low), 1 - (grid - low))
    np.add.at(upsample, (np.arange(SIZE), high), grid - low)
    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    kernel = np.exp(-0.5 * (offsets / _SIGMA) ** 2)
    kernel /= kernel.sum()
    source = np.arange(SIZE)[:, None] + offsets
    source = np.where(source < 0, -1 - source, np.where(source >= SIZE, 2 * SIZE - 1 - source, source))
    blur = np.zeros((SIZE, SIZE))
    np.add.at(blur, (np.arange(SIZE)[:, None], source), kernel)
    nearest = np.repeat(np.eye(cells), GRID // cells, axis=0)
    matrix: Array = (blur @ upsample @ nearest).astype(np.float32)
    matrix.setflags(write=False)
    return matrix


def upsample(values: NDArray[Any], factor: int) -> NDArray[Any]:
    """Nearest upsampling of per-cell values [side * side, ...] by ``factor`` in both directions, same dtype."""
    side = math.isqrt(len(values))
    cells = values.reshape(side, 1, side, 1, *values.shape[1:])
    grown = np.broadcast_to(cells, (side, factor, side, factor, *values.shape[1:]))
    return grown.reshape(side * factor * side * factor, *values.shape[1:])


def dense_tensors(statistics: Statistics) -> dict[str, Array]:
    """Return the statistics as float32, x3 unpacked to [P, R, 256], every packed triangle to a lower one [P, R, R].

    These are the inputs of the scorer graphs; a name loses its ``_packed``.
    """
    dense: dict[str, Array] = {}
    for name, value in statistics.tensors.items():
        if not name.endswith("_packed"):
            dense[name] = value.astype(np.float32, copy=False)
            continue
        if name == "x3_packed":
            stored = staircase(statistics.rank)
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
    statistics: Statistics, dtype: StatisticsDtype, scoring: Scoring | None = None, scale: Array | None = None
) -> dict[str, NDArray[np.floating[Any]]]:
    """Return what a scorer graph that takes ``dtype`` statistics is fed with beside the features.

    That is `dense_tensors`, stored as it wants them, and the scoring (None: RegAD's) with the category's scale, all
    float32: ``score_factors`` and ``map_factors`` [g, g], which distances are multiplied by, and ``score_weights``
    [1 + g * g], of the map's maximum and of the distances from the largest down. fp16 statistics are widened for an
    fp32 graph, exactly. Raises CategoryError for fp32 statistics and an fp16 graph: they would be rounded; InputError
    for a scale that the scoring does not use.
    """
    if dtype == "fp16" and statistics.dtype == "fp32":
        raise CategoryError(
            "the category's statistics are fp32, the artifact's scorer graphs take fp16 and would round them; "
            "teach the part again for them: regad-calib --stats-dtype fp16"
        )
    scoring = scoring or Scoring(levels=statistics.levels)
    factors = scoring.factors(scale)
    weights = np.zeros(1 + factors.score.size, np.float32)
    if scoring.score == "max":
        weights[0] = 1
    else:
        weights[1 : 1 + scoring.cells] = 1 / scoring.cells
    tensors = {
        name: value.astype(stored_dtype(name, dtype), copy=False) for name, value in dense_tensors(statistics).items()
    }
    return {**tensors, "score_factors": factors.score, "map_factors": factors.map, "score_weights": weights}


def judge(distances: Array, scoring: Scoring, scale: Array | None = None) -> tuple[Array, Array]:
    """Return the anomaly maps, float32 [B, 224, 224], and scores, float32 [B], of distances, float32 [B, g, g].

    `regad.runtime.formats.scoring` has the equations. Raises InputError for a ``scale`` that the scoring does not use.
    """
    factors = scoring.factors(scale)
    smooth = smoothing_matrix(scoring.grid)
    maps: Array = np.matmul(np.matmul(smooth, distances * factors.map), smooth.T)
    if scoring.score == "max":
        return maps, maps.max(axis=(1, 2))
    return maps, top_mean(distances * factors.score, scoring.cells)


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
    squared: Array = (length - _norm2(_apply(t["l"], y))) / np.float32(EPSILON)
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
    squared, context = _norm2(_apply(t["w3"], d[3])), d[3]
    for level in range(2, min(d) - 1, -1):
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


class Scorer:
    """Scores features against one category's statistics. Immutable after construction, usable from several threads."""

    def __init__(self, statistics: Statistics, scoring: Scoring | None = None, scale: Array | None = None) -> None:
        """Unpack ``statistics`` once; memory is that of the dense tensors.

        ``scoring`` None is RegAD's. Raises InputError for one of other levels than the statistics', or a ``scale``
        (float32 [g, g]) that it does not use.
        """
        self.encoding = statistics.encoding
        self._scoring = scoring or Scoring(levels=statistics.levels)
        self._scoring.require_levels(statistics.levels)
        self._scoring.check_scale(scale)
        self._scale = scale
        self._levels = {int(level.name[1]): level.name for level in used_levels(statistics.levels)}
        self._grid = statistics.grid
        self._tensors = dense_tensors(statistics)
        self._form = _FORMS[statistics.encoding]

    def mahalanobis(self, features: Features) -> Array:
        """Return the distance of every position, float32 [B, g, g]."""
        t = self._tensors
        out = np.empty((len(features.f3), self._grid, self._grid), np.float32)
        for index, distances in enumerate(out):
            d = {level: getattr(features, name)[index] - t[f"mean{level}"] for level, name in self._levels.items()}
            np.sqrt(np.maximum(self._form(t, d), 0), out=distances.reshape(-1))
        return out

    def score(self, features: Features) -> tuple[Array, Array]:
        """Return the anomaly maps, float32 [B, 224, 224], and the anomaly scores, float32 [B]."""
        return judge(self.mahalanobis(features), self._scoring, self._scale)
