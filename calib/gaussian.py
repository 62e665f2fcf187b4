"""Fit the Gaussian of every position, exactly, without ever forming the dense covariances of all positions.

Mean and covariance (N - 1) + 0.01 I per position, RegAD section 3.4. All products are accumulated in float64, one row
of 14 coarse cells (14 cells of f3, 56 of f2, 224 positions) at a time; the results are stored as float32 or float16.
ARCHITECTURE.md derives the three encodings; `dense_reference` is the plain form that tests compare with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from regad.runtime.errors import InputError
from regad.runtime.formats.encodings import (
    ENCODINGS,
    Encoding,
    Statistics,
    StatisticsDtype,
    staircase,
    statistics_bytes,
    stored_dtype,
)
from regad.runtime.formats.features import Features
from regad.runtime.formats.memory import padded_empty
from regad.runtime.formats.spec import EPSILON, GRID
from regad.runtime.scoring.reference import upsample

__all__ = ["choose_encoding", "dense_reference", "fit_statistics", "held_out_distances", "helmert"]

Array = NDArray[np.float64]
_STRIPS = 14
_SMALL = 24
_Tensors = Mapping[str, NDArray[np.floating[Any]]]


class _Strip(NamedTuple):
    """The features of one row of coarse cells, float64 [cells, N, C], and which rows of the whole they are."""

    x1: Array
    x2: Array
    x3: Array
    rows: tuple[slice, slice, slice]


def choose_encoding(rank: int) -> Encoding:
    """Return the encoding for ``rank`` = number of views - 1: the first of gram, hybrid, cholesky that is small enough.

    A later one takes more steps a frame, so it has to save at least 15 % of the memory of the one before.
    """
    chosen, *others = get_args(Encoding)
    for encoding in others:
        if statistics_bytes(encoding, rank) < 0.85 * statistics_bytes(chosen, rank):
            chosen = encoding
    result: Encoding = chosen
    return result


def helmert(count: int) -> Array:
    """Return the Helmert matrix, float64 [count - 1, count]: orthonormal rows, each orthogonal to the ones.

    It maps N views to N - 1 centred rows with the same scatter: X^T H^T H X = sum (x - mean)(x - mean)^T.
    """
    matrix = np.tril(np.ones((count - 1, count)))
    steps = np.arange(1, count)
    matrix[steps - 1, steps] = -steps
    scaled: Array = matrix / np.sqrt(steps * (steps + 1))[:, None]
    return scaled


def fit_statistics(features: Features, encoding: Encoding | None = None, dtype: StatisticsDtype = "fp32") -> Statistics:
    """Fit the statistics of N >= 2 support views, in the encoding of `choose_encoding` unless one is named.

    ``dtype`` is what they are stored as. Raises InputError for fewer than two views or features that are not finite.
    """
    views = len(features.f1)
    if views < 2:
        raise InputError(f"{views} support view(s); at least 2 are needed to fit a covariance")
    if not all(np.isfinite(f.sum(dtype=np.float64)) for f in features):
        raise InputError("the encoder returned features that are not finite; check the artifact with regad-doctor")
    encoding = encoding or choose_encoding(views - 1)
    centre = helmert(views)
    shapes = ENCODINGS[encoding](views - 1)
    tensors: _Tensors = {name: padded_empty(shape, stored_dtype(name, dtype)) for name, shape in shapes.items()}
    for index, level in enumerate((features.f1, features.f2, features.f3), start=1):
        tensors[f"mean{index}"][:] = level.mean(axis=0, dtype=np.float64)
    for strip in _strips(features):
        _FORMS[encoding](_rotated(strip, centre), tensors)
    return Statistics(encoding, views - 1, views, tensors, dtype)


def _strips(features: Features) -> Iterator[_Strip]:
    levels = (features.f1, features.f2, features.f3)
    for strip in range(_STRIPS):
        rows = tuple(slice(strip * f.shape[1] // _STRIPS, (strip + 1) * f.shape[1] // _STRIPS) for f in levels)
        x1, x2, x3 = (f[:, part].transpose(1, 0, 2).astype(np.float64) for f, part in zip(levels, rows, strict=True))
        yield _Strip(x1, x2, x3, (rows[0], rows[1], rows[2]))


def _rotated(strip: _Strip, centre: Array) -> _Strip:
    """Centre the views, [cells, N, C] to [cells, N - 1, C], and rotate them so that x3 is upper trapezoidal.

    A cell of x3 and the cells of x1 and x2 that it covers share a rotation: no product X^T X changes, and no distance.
    """
    rotation, _ = np.linalg.qr(centre @ strip.x3[:, :, : len(centre)], mode="complete")
    matrices = rotation.transpose(0, 2, 1) @ centre

    def rotate(level: Array, factor: int) -> Array:
        cells = level.reshape(factor, len(matrices), factor, *level.shape[1:])
        rotated: Array = matrices[:, None] @ cells
        return rotated.reshape(len(level), *rotated.shape[3:])

    return _Strip(rotate(strip.x1, 4), rotate(strip.x2, 2), rotate(strip.x3, 1), strip.rows)


def _grow(values: Array, factor: int) -> Array:
    """Nearest upsampling within a strip of one row of coarse cells: [rows * columns, ...] cells to the finer grid."""
    rows = {14: 1, 56: 2}[len(values)]
    cells = values.reshape(rows, 1, -1, 1, *values.shape[1:])
    grown = np.broadcast_to(cells, (rows, factor, cells.shape[2], factor, *values.shape[1:]))
    return grown.reshape(-1, *values.shape[1:])


def _outer(rows: Array) -> Array:
    """Gram matrices: [P, R, C] to [P, R, R]."""
    product: Array = rows @ rows.transpose(0, 2, 1)
    return product


def _inverse_factor(matrices: Array) -> Array:
    """Inverse of the lower Cholesky factor of each matrix."""
    return _lower_inverse(np.asarray(np.linalg.cholesky(matrices), np.float64))


def _lower_inverse(lower: Array) -> Array:
    """Inverse of lower triangular matrices [P, n, n] by halves: [[A, 0], [B, C]] gives [[A', 0], [-C' B A', C']].

    Less than half the work of a general inverse, most of it in matrix products.
    """
    size = lower.shape[-1]
    if size <= _SMALL:
        return np.asarray(np.linalg.inv(lower), np.float64)
    half = size // 2
    inverse = np.zeros_like(lower)
    inverse[:, :half, :half] = _lower_inverse(lower[:, :half, :half])
    inverse[:, half:, half:] = _lower_inverse(lower[:, half:, half:])
    inverse[:, half:, :half] = -(inverse[:, half:, half:] @ (lower[:, half:, :half] @ inverse[:, :half, :half]))
    return inverse


def _pack(triangles: Array) -> Array:
    rows, columns = np.tril_indices(triangles.shape[-1])
    packed: Array = triangles[:, rows, columns]
    return packed


def _store_views(strip: _Strip, tensors: _Tensors) -> None:
    part1, part2, part3 = strip.rows
    tensors["x1"][part1], tensors["x2"][part2] = strip.x1, strip.x2
    tensors["x3_packed"][part3] = strip.x3[:, staircase(strip.x3.shape[1])]


def _fit_gram(strip: _Strip, tensors: _Tensors) -> None:
    rank = strip.x1.shape[1]
    coarse = _grow(_outer(strip.x3), 2) + _outer(strip.x2)
    gram = _grow(coarse, 2) + _outer(strip.x1) + EPSILON * rank * np.eye(rank)
    _store_views(strip, tensors)
    tensors["l_packed"][strip.rows[0]] = _pack(_inverse_factor(gram))


def _fit_hybrid(strip: _Strip, tensors: _Tensors) -> None:
    rank, channels = strip.x1.shape[1:]
    factor = _inverse_factor(_grow(_outer(strip.x3), 2) + _outer(strip.x2) + EPSILON * rank * np.eye(rank))
    whitened = _grow(factor, 2) @ strip.x1
    residual = EPSILON * (np.eye(channels) + whitened.transpose(0, 2, 1) @ whitened)
    _store_views(strip, tensors)
    tensors["l_packed"][strip.rows[1]] = _pack(factor)
    tensors["w1_packed"][strip.rows[0]] = _pack(_inverse_factor(residual))


def _fit_cholesky(strip: _Strip, tensors: _Tensors) -> None:
    x1, x2, x3 = (rows / np.sqrt(strip.x1.shape[1]) for rows in strip[:3])
    part1, part2, part3 = strip.rows
    w3 = _inverse_factor(x3.transpose(0, 2, 1) @ x3 + EPSILON * np.eye(x3.shape[2]))
    tensors["w3_packed"][part3] = _pack(w3)
    w2, cross2 = _schur(x2, _grow(x3, 2), _grow(w3, 2))
    tensors["w2_packed"][part2], tensors["w2_cross"][part2] = _pack(w2), cross2
    w32 = np.zeros((len(w2), 384, 384))
    w32[:, :256, :256], w32[:, 256:, :256], w32[:, 256:, 256:] = _grow(w3, 2), cross2, w2
    context = np.concatenate([_grow(x3, 2), x2], axis=2)
    w1, cross1 = _schur(x1, _grow(context, 2), _grow(w32, 2))
    tensors["w1_packed"][part1], tensors["w1_cross"][part1] = _pack(w1), cross1


def _schur(fine: Array, given: Array, whiten: Array) -> tuple[Array, Array]:
    """Rows of the inverse Cholesky factor for ``fine`` after ``given``, whose own inverse factor is ``whiten``.

    With Sigma = [[A, B^T], [B, D]] and A^-1 = W^T W: U = B W^T, S = D - U U^T, and the rows are
    [-S^(-1/2) U W, S^(-1/2)].
    """
    cross = fine.transpose(0, 2, 1) @ given @ whiten.transpose(0, 2, 1)
    scatter = fine.transpose(0, 2, 1) @ fine + EPSILON * np.eye(fine.shape[2])
    factor = _inverse_factor(scatter - cross @ cross.transpose(0, 2, 1))
    return factor, -(factor @ cross @ whiten)


_FORMS: Mapping[Encoding, Callable[[_Strip, _Tensors], None]] = {
    "gram": _fit_gram,
    "hybrid": _fit_hybrid,
    "cholesky": _fit_cholesky,
}


def held_out_distances(features: Features, views_per_image: int) -> NDArray[np.float32]:
    """Return each support image's distances, float32 [k, 56, 56], to statistics fitted without it and its views.

    ``features`` are those of k images, ``views_per_image`` consecutive views each, the first of them the image itself.
    Everything needed is in the Gram matrix of all views (kernel form of the Mahalanobis distance). It is inverted once
    per position; leaving an image out of the inverse is a block elimination, the inverse of a 22 x 22 block.
    """
    views = len(features.f1)
    others = views - views_per_image
    ridge = EPSILON * (others - 1)
    out = np.empty((views // views_per_image, GRID * GRID), np.float32)
    for strip in _strips(features):
        inverse = _centred_inverse(strip, ridge)
        for index in range(len(out)):
            left = slice(index * views_per_image, (index + 1) * views_per_image)
            squared = (np.linalg.inv(inverse[:, left, left])[:, 0, 0] - ridge * (1 + 1 / others)) / EPSILON
            out[index, strip.rows[0]] = np.sqrt(np.maximum(squared, 0))
    return out.reshape(-1, GRID, GRID)


def _centred_inverse(strip: _Strip, ridge: float) -> Array:
    """The views' block B of [[K + ridge I, 1], [1^T, 0]]^-1 at each position, [P, N, N]; K holds their inner products.

    The border stands for the mean, whatever set of views it is the mean of: with J a set of views left out,
    (B_JJ)^-1 is what the other n views leave unexplained of J, and for the first view of J that is
    EPSILON M^2 + ridge (1 + 1 / n). Adding a constant to a row and column of K changes nothing; it is centred first
    for the sake of precision.
    """
    kernel = _grow(_grow(_outer(strip.x3), 2) + _outer(strip.x2), 2) + _outer(strip.x1)
    mean = kernel.mean(axis=2, keepdims=True)
    kernel += mean.mean(axis=1, keepdims=True) - mean - mean.transpose(0, 2, 1)
    factor = _inverse_factor(kernel + ridge * np.eye(kernel.shape[1]))
    inverse: Array = factor.transpose(0, 2, 1) @ factor
    sums = inverse.sum(axis=2, keepdims=True)
    inverse -= sums @ sums.transpose(0, 2, 1) / sums.sum(axis=1, keepdims=True)
    return inverse


def dense_reference(features: Features, query: Features, positions: NDArray[np.intp]) -> Array:
    """The plain form, for tests: distances [B, len(positions)] by inverting each 448 x 448 covariance in float64."""

    def join(f: Features) -> Array:
        up2 = np.stack([upsample(rows, 2) for rows in f.f2])
        up3 = np.stack([upsample(rows, 4) for rows in f.f3])
        return np.concatenate([f.f1, up2, up3], axis=2)[:, positions].astype(np.float64)

    support, seen = join(features), join(query)
    out = np.empty(seen.shape[:2])
    for index in range(len(positions)):
        covariance = np.cov(support[:, index].T) + EPSILON * np.eye(support.shape[2])
        deviation = seen[:, index] - support[:, index].mean(axis=0)
        out[:, index] = np.sqrt(np.einsum("bc,cd,bd->b", deviation, np.linalg.inv(covariance), deviation))
    return out
