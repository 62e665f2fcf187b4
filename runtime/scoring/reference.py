"""The reference scorer in NumPy: per-position Mahalanobis distance and the smoothed anomaly map.

Equations: RegAD, section 3.4 (M = sqrt((f - mean)^T covariance^-1 (f - mean)), covariance + 0.01 I), in the exact
factored forms that ARCHITECTURE.md derives. Statistics are stored packed and unpacked once, in `Scorer`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CategoryError
from ..formats.encodings import Encoding, Statistics, StatisticsDtype, staircase, stored_dtype
from ..formats.features import Features
from ..formats.spec import EPSILON, GRID, SIZE

__all__ = ["Scorer", "dense_tensors", "graph_tensors", "smoothing_matrix", "upsample"]

Array = NDArray[np.float32]
_SIGMA = 4.0
_RADIUS = 16  # scipy's int(truncate * sigma + 0.5) with truncate 4


@cache
def smoothing_matrix() -> Array:
    """Return A, float32 [224, 56]: A m A^T upsamples a grid bilinearly and then smooths it.

    Bilinear with align_corners=False, then scipy's ``gaussian_filter(sigma=4, mode="reflect", truncate=4)``.
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
    matrix: Array = (blur @ upsample).astype(np.float32)
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
            size = (int(np.sqrt(8 * value.shape[1] + 1)) - 1) // 2
            stored = np.tri(size, dtype=bool)
        whole = np.zeros((len(value), *stored.shape), np.float32)
        start = 0
        for row, columns in enumerate(stored):  # neighbours in each row: slices are faster than whole[:, stored]
            first, count = int(columns.argmax()), int(columns.sum())
            whole[:, row, first : first + count] = value[:, start : start + count]
            start += count
        dense[name.removesuffix("_packed")] = whole
    return dense


def graph_tensors(statistics: Statistics, dtype: StatisticsDtype) -> dict[str, NDArray[np.floating[Any]]]:
    """Return what a scorer graph that takes ``dtype`` statistics is fed with: `dense_tensors`, stored as it wants them.

    fp16 statistics are widened for an fp32 graph, exactly. Raises CategoryError for fp32 statistics and an fp16 graph:
    they would be rounded.
    """
    if dtype == "fp16" and statistics.dtype == "fp32":
        raise CategoryError(
            "the category's statistics are fp32, the artifact's scorer graphs take fp16 and would round them; "
            "teach the part again for them: regad-calib --stats-dtype fp16"
        )
    tensors = dense_tensors(statistics)
    return {name: value.astype(stored_dtype(name, dtype), copy=False) for name, value in tensors.items()}


def _apply(matrices: Array, vectors: Array) -> Array:
    """Batched product: [P, m, n] with [P, n] gives [P, m]."""
    product: Array = np.matmul(matrices, vectors[:, :, None])[:, :, 0]
    return product


def _norm2(vectors: Array) -> Array:
    """Squared length of each row."""
    result: Array = np.einsum("pc,pc->p", vectors, vectors)
    return result


def _gram(t: Mapping[str, Array], d1: Array, d2: Array, d3: Array) -> Array:
    y = _apply(t["x1"], d1) + upsample(_apply(t["x2"], d2), 2) + upsample(_apply(t["x3"], d3), 4)
    length = _norm2(d1) + upsample(_norm2(d2), 2) + upsample(_norm2(d3), 4)
    squared: Array = (length - _norm2(_apply(t["l"], y))) / np.float32(EPSILON)
    return squared


def _hybrid(t: Mapping[str, Array], d1: Array, d2: Array, d3: Array) -> Array:
    y = _apply(t["x2"], d2) + upsample(_apply(t["x3"], d3), 2)
    z = _apply(t["l"], y)
    coarse = (_norm2(d2) + upsample(_norm2(d3), 2) - _norm2(z)) / np.float32(EPSILON)
    a = np.matmul(z[:, None, :], t["l"])[:, 0]
    expected = np.matmul(upsample(a, 2)[:, None, :], t["x1"])[:, 0]
    squared: Array = upsample(coarse, 2) + _norm2(_apply(t["w1"], d1 - expected))
    return squared


def _cholesky(t: Mapping[str, Array], d1: Array, d2: Array, d3: Array) -> Array:
    coarse = _norm2(_apply(t["w3"], d3))
    middle = _norm2(_apply(t["w2_cross"], upsample(d3, 2)) + _apply(t["w2"], d2))
    context = np.concatenate([upsample(d3, 4), upsample(d2, 2)], axis=1)
    fine = _norm2(_apply(t["w1_cross"], context) + _apply(t["w1"], d1))
    squared: Array = upsample(coarse, 4) + upsample(middle, 2) + fine
    return squared


_FORMS: Mapping[Encoding, Callable[[Mapping[str, Array], Array, Array, Array], Array]] = {
    "gram": _gram,
    "hybrid": _hybrid,
    "cholesky": _cholesky,
}


class Scorer:
    """Scores features against one category's statistics. Immutable after construction, usable from several threads."""

    def __init__(self, statistics: Statistics) -> None:
        """Unpack ``statistics`` once; memory is that of the dense tensors."""
        self.encoding = statistics.encoding
        self._tensors = dense_tensors(statistics)
        self._form = _FORMS[statistics.encoding]

    def mahalanobis(self, features: Features) -> Array:
        """Return the distance of every position, float32 [B, 56, 56]."""
        t = self._tensors
        out = np.empty((len(features.f1), GRID, GRID), np.float32)
        for index, (f1, f2, f3) in enumerate(zip(features.f1, features.f2, features.f3, strict=True)):
            squared = self._form(t, f1 - t["mean1"], f2 - t["mean2"], f3 - t["mean3"])
            np.sqrt(np.maximum(squared, 0), out=out[index].reshape(-1))
        return out

    def score(self, features: Features) -> tuple[Array, Array]:
        """Return the anomaly maps, float32 [B, 224, 224], and their maxima, the anomaly scores, float32 [B]."""
        smooth = smoothing_matrix()
        maps: Array = np.matmul(np.matmul(smooth, self.mahalanobis(features)), smooth.T)
        return maps, maps.max(axis=(1, 2))
