"""What is stored of one row of coarse cells in each of the three encodings; ARCHITECTURE.md derives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from regad.runtime.formats.encodings import Encoding, staircase, triangle_of
from regad.runtime.formats.spec import EPSILON

__all__ = ["FORMS", "Part", "Strip", "Tensors", "inner_products", "inverse_factor"]

Array = NDArray[np.float64]
Tensors = Mapping[str, NDArray[np.floating[Any]]]
_SMALL = 24
_FEW = 2


class Part(NamedTuple):
    """A level's features in one row of coarse cells: ``x`` float64 [cells, N, C], which are ``rows`` of the whole.

    `FORMS` take gram and hybrid views that are centred and rotated, N - 1 of them, and cholesky those centred, all N.
    """

    name: str  # "1" to "3"
    x: Array
    rows: slice


Strip = tuple[Part, ...]
"""One row of coarse cells in every level that is used, from f3 on to finer ones."""


def _grow(values: Array, factor: int) -> Array:
    """Nearest upsampling within a strip of one row of coarse cells: [rows * columns, ...] cells to the finer grid."""
    rows = {14: 1, 56: 2}[len(values)]
    cells = values.reshape(rows, 1, -1, 1, *values.shape[1:])
    grown = np.broadcast_to(cells, (rows, factor, cells.shape[2], factor, *values.shape[1:]))
    return grown.reshape(-1, *values.shape[1:])


def _by_cell(values: Array) -> Array:
    """Cells of a finer level by the cell above: [4 cells, ...] row by row to [cells, 4, ...]. `_by_row` undoes it."""
    rows = {56: 1, 224: 2}[len(values)]
    squares = values.reshape(rows, 2, -1, 2, *values.shape[1:]).swapaxes(1, 2)
    return squares.reshape(-1, 4, *values.shape[1:])


def _by_row(values: Array) -> Array:
    rows = {14: 1, 56: 2}[len(values)]
    squares = values.reshape(rows, -1, 2, 2, *values.shape[2:]).swapaxes(1, 2)
    return squares.reshape(-1, *values.shape[2:])


def _outer(rows: Array) -> Array:
    """Gram matrices: [P, R, C] to [P, R, R]."""
    product: Array = rows @ rows.transpose(0, 2, 1)
    return product


def inverse_factor(matrices: Array) -> Array:
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


def _store_views(strip: Strip, tensors: Tensors) -> None:
    coarsest, *finer = strip
    tensors[f"x{coarsest.name}_packed"][coarsest.rows] = coarsest.x[:, staircase(*coarsest.x.shape[1:])]
    for part in finer:
        tensors[f"x{part.name}"][part.rows] = part.x


def inner_products(strip: Strip) -> Array:
    """Inner products of the views at each of the finest cells, summed over the levels: [P, R, R]."""
    coarsest, *finer = strip
    kernel = _outer(coarsest.x)
    for part in finer:
        kernel = _grow(kernel, 2) + _outer(part.x)
    return kernel


def _ridge(strip: Strip) -> Array:
    rank = strip[0].x.shape[1]
    ridge: Array = EPSILON * rank * np.eye(rank)
    return ridge


def _fit_gram(strip: Strip, tensors: Tensors) -> None:
    _store_views(strip, tensors)
    triangle = triangle_of(tuple(f"f{part.name}" for part in reversed(strip)))
    tensors[f"{triangle}_packed"][strip[-1].rows] = _pack(inverse_factor(inner_products(strip) + _ridge(strip)))


def _fit_hybrid(strip: Strip, tensors: Tensors) -> None:
    *coarser, finest = strip
    channels = finest.x.shape[2]
    factor = inverse_factor(inner_products(tuple(coarser)) + _ridge(strip))
    whitened = factor[:, None] @ _by_cell(finest.x)
    residual = _by_row(EPSILON * (np.eye(channels) + whitened.swapaxes(-1, -2) @ whitened))
    _store_views(strip, tensors)
    tensors["l_packed"][coarser[-1].rows] = _pack(factor)
    tensors["w1_packed"][finest.rows] = _pack(inverse_factor(residual))


def _fit_cholesky(strip: Strip, tensors: Tensors) -> None:
    scaled = [part._replace(x=part.x / np.sqrt(part.x.shape[1] - 1)) for part in strip]
    coarsest, *finer = scaled
    given = coarsest.x
    whiten = inverse_factor(given.transpose(0, 2, 1) @ given + EPSILON * np.eye(given.shape[2]))
    tensors[f"w{coarsest.name}_packed"][coarsest.rows] = _pack(whiten)
    for part in finer:
        own, cross = _schur(_by_cell(part.x), given[:, None], whiten[:, None])
        own, cross = _by_row(own), _by_row(cross)
        tensors[f"w{part.name}_packed"][part.rows], tensors[f"w{part.name}_cross"][part.rows] = _pack(own), cross
        if part is not finer[-1]:
            given = np.concatenate([_grow(given, 2), part.x], axis=2)
            whiten = _bordered(_grow(whiten, 2), cross, own)


def _bordered(upper: Array, cross: Array, lower: Array) -> Array:
    """The lower triangular [[upper, 0], [cross, lower]] of each cell."""
    first, both = upper.shape[-1], upper.shape[-1] + lower.shape[-1]
    whole = np.zeros((len(upper), both, both))
    whole[:, :first, :first], whole[:, first:, :first], whole[:, first:, first:] = upper, cross, lower
    return whole


def _schur(fine: Array, given: Array, whiten: Array) -> tuple[Array, Array]:
    """Rows of the inverse Cholesky factor for ``fine`` after ``given``, whose own inverse factor is ``whiten``.

    With Sigma = [[A, B^T], [B, D]] and A^-1 = W^T W: U = B W^T, S = D - U U^T, and the rows are
    [-S^(-1/2) U W, S^(-1/2)]. ``fine`` is [cells, 4, N, C]; the four cells below one share the other two, [cells, 1].
    """
    channels = fine.shape[-1]
    own, cross = np.empty((*fine.shape[:2], channels, channels)), np.empty((*fine.shape[:2], channels, given.shape[-1]))
    # What lies between is small for a few cells, and made in the same memory again; for all it would be mapped anew.
    for start in range(0, len(fine), _FEW):
        few = slice(start, start + _FEW)
        own[few], cross[few] = _schur_of_few(fine[few], given[few], whiten[few])
    return own, cross


def _schur_of_few(fine: Array, given: Array, whiten: Array) -> tuple[Array, Array]:
    """See `_schur`. Products with W are made on the side that is shorter, of N views or C channels."""
    turned = fine.swapaxes(-1, -2)
    if fine.shape[-2] < fine.shape[-1]:
        whitened = given @ whiten.swapaxes(-1, -2)
        cross, rows = turned @ whitened, turned @ (whitened @ whiten)
    else:
        cross = turned @ given @ whiten.swapaxes(-1, -2)
        rows = cross @ whiten
    scatter = turned @ fine + EPSILON * np.eye(fine.shape[-1])
    remaining = scatter - cross @ cross.swapaxes(-1, -2)
    factor = inverse_factor(remaining.reshape(-1, *scatter.shape[2:])).reshape(scatter.shape)
    return factor, -(factor @ rows)


FORMS: Mapping[Encoding, Callable[[Strip, Tensors], None]] = {
    "gram": _fit_gram,
    "hybrid": _fit_hybrid,
    "cholesky": _fit_cholesky,
}
