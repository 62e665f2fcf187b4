"""Fit the Gaussian of every position, exactly, without ever forming the dense covariances of all positions.

Mean and covariance (N - 1) + 0.01 I per position, RegAD section 3.4, over all levels or one of them. All
products are accumulated in float64, one row of 14 coarse cells (14 cells of f3, 56 of f2, 224 positions of f1) at a
time; the results are stored as float32 or float16.
ARCHITECTURE.md derives the three encodings; `dense_reference` is the plain form that tests compare with.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from regad.runtime.errors import InputError
from regad.runtime.formats.encodings import (
    ENCODINGS,
    Encoding,
    Statistics,
    StatisticsDtype,
    encodings_of,
    statistics_bytes,
    stored_dtype,
)
from regad.runtime.formats.features import Features
from regad.runtime.formats.memory import padded_empty
from regad.runtime.formats.spec import ALL_LEVELS, EPSILON, Levels, used_levels
from regad.runtime.scoring.reference import upsample

from .forms import FORMS, Part, Strip, Tensors, inner_products, inverse_factor

__all__ = ["choose_encoding", "dense_reference", "fit_statistics", "held_out_distances", "helmert"]

Array = NDArray[np.float64]
_STRIPS = 14


def choose_encoding(rank: int, levels: Levels = ALL_LEVELS) -> Encoding:
    """Return the encoding for ``rank`` = number of views - 1: the first of gram, hybrid, cholesky that is small enough.

    A later one takes more steps a frame, so it has to save at least 15 % of the memory of the one before.
    """
    chosen, *others = encodings_of(levels)
    for encoding in others:
        smaller = statistics_bytes(encoding, rank, levels=levels)
        if smaller < 0.85 * statistics_bytes(chosen, rank, levels=levels):
            chosen = encoding
    return chosen


def helmert(count: int) -> Array:
    """Return the Helmert matrix, float64 [count - 1, count]: orthonormal rows, each orthogonal to the ones.

    It maps N views to N - 1 centred rows with the same scatter: X^T H^T H X = sum (x - mean)(x - mean)^T.
    """
    matrix = np.tril(np.ones((count - 1, count)))
    steps = np.arange(1, count)
    matrix[steps - 1, steps] = -steps
    scaled: Array = matrix / np.sqrt(steps * (steps + 1))[:, None]
    return scaled


def fit_statistics(
    features: Features,
    encoding: Encoding | None = None,
    dtype: StatisticsDtype = "fp32",
    levels: Levels = ALL_LEVELS,
) -> Statistics:
    """Fit the statistics of N >= 2 support views, in the encoding of `choose_encoding` unless one is named.

    ``dtype`` is what they are stored as, ``levels`` those that share the Gaussian. Raises InputError for fewer than two
    views or features that are not finite.
    """
    used = {level.name[1]: _level(features, level.name) for level in used_levels(levels)}
    views = len(features.f3)
    if views < 2:
        raise InputError(f"{views} support view(s); at least 2 are needed to fit a covariance")
    if not all(np.isfinite(f.sum(dtype=np.float64)) for f in (*used.values(), features.theta)):
        raise InputError("the encoder returned features that are not finite; check the artifact with regad-doctor")
    encoding = encoding or choose_encoding(views - 1, levels)
    centre = helmert(views)
    shapes = ENCODINGS[encoding](views - 1, levels)
    tensors: Tensors = {name: padded_empty(shape, stored_dtype(name, dtype)) for name, shape in shapes.items()}
    for name, values in used.items():
        tensors[f"mean{name}"][:] = values.mean(axis=0, dtype=np.float64)
    for strip in _strips(features, levels):
        FORMS[encoding](_centred(strip) if encoding == "cholesky" else _rotated(strip, centre), tensors)
    return Statistics(encoding, views - 1, views, tensors, dtype, levels)


def _level(features: Features, name: str) -> NDArray[np.float32]:
    values: NDArray[np.float32] = getattr(features, name)
    return values


def _strips(features: Features, levels: Levels) -> Iterator[Strip]:
    coarse_first = list(reversed(used_levels(levels)))
    for strip in range(_STRIPS):
        parts = []
        for level in coarse_first:
            rows = slice(strip * level.positions // _STRIPS, (strip + 1) * level.positions // _STRIPS)
            x = _level(features, level.name)[:, rows].transpose(1, 0, 2).astype(np.float64)
            parts.append(Part(level.name[1], x, rows))
        yield tuple(parts)


def _centred(strip: Strip) -> Strip:
    """Centre the views: enough for the products X^T X that the cholesky form alone is made of."""
    return tuple(part._replace(x=part.x - part.x.mean(axis=1, keepdims=True)) for part in strip)


def _rotated(strip: Strip, centre: Array) -> Strip:
    """Centre the views, [cells, N, C] to [cells, N - 1, C], and rotate them so that the coarsest is upper trapezoidal.

    A cell of x3 and the cells of x1 and x2 that it covers share a rotation: no product X^T X changes, and no distance.
    """
    rotation, _ = np.linalg.qr(centre @ strip[0].x[:, :, : len(centre)], mode="complete")
    matrices = rotation.transpose(0, 2, 1) @ centre

    def rotate(level: Array, factor: int) -> Array:
        cells = level.reshape(factor, len(matrices), factor, *level.shape[1:])
        rotated: Array = matrices[:, None] @ cells
        return rotated.reshape(len(level), *rotated.shape[3:])

    return tuple(part._replace(x=rotate(part.x, 2**step)) for step, part in enumerate(strip))


def held_out_distances(features: Features, views_per_image: int, levels: Levels = ALL_LEVELS) -> NDArray[np.float32]:
    """Return each support image's distances, float32 [k, g, g], to statistics fitted without it and its views.

    ``features`` are those of k images, ``views_per_image`` consecutive views each, the first of them the image itself;
    g is the grid of the finest of ``levels``, which share a Gaussian.
    Everything needed is in the Gram matrix of all views (kernel form of the Mahalanobis distance). It is inverted once
    per position; leaving an image out of the inverse is a block elimination, the inverse of a 22 x 22 block.
    """
    views = len(features.f3)
    others = views - views_per_image
    ridge = EPSILON * (others - 1)
    finest = used_levels(levels)[0]
    out = np.empty((views // views_per_image, finest.positions), np.float32)
    for strip in _strips(features, levels):
        inverse = _centred_inverse(inner_products(strip), ridge)
        for index in range(len(out)):
            left = slice(index * views_per_image, (index + 1) * views_per_image)
            squared = (np.linalg.inv(inverse[:, left, left])[:, 0, 0] - ridge * (1 + 1 / others)) / EPSILON
            out[index, strip[-1].rows] = np.sqrt(np.maximum(squared, 0))
    return out.reshape(-1, finest.grid, finest.grid)


def _centred_inverse(kernel: Array, ridge: float) -> Array:
    """The views' block B of [[K + ridge I, 1], [1^T, 0]]^-1, [P, N, N]; K, which is overwritten: their inner products.

    The border stands for the mean, whatever set of views it is the mean of: with J a set of views left out,
    (B_JJ)^-1 is what the other n views leave unexplained of J, and for the first view of J that is
    EPSILON M^2 + ridge (1 + 1 / n). Adding a constant to a row and column of K changes nothing; it is centred first
    for the sake of precision.
    """
    mean = kernel.mean(axis=2, keepdims=True)
    kernel += mean.mean(axis=1, keepdims=True) - mean - mean.transpose(0, 2, 1)
    factor = inverse_factor(kernel + ridge * np.eye(kernel.shape[1]))
    inverse: Array = factor.transpose(0, 2, 1) @ factor
    sums = inverse.sum(axis=2, keepdims=True)
    inverse -= sums @ sums.transpose(0, 2, 1) / sums.sum(axis=1, keepdims=True)
    return inverse


def dense_reference(
    features: Features, query: Features, positions: NDArray[np.intp], levels: Levels = ALL_LEVELS
) -> Array:
    """The plain form, for tests: distances [B, len(positions)] by inverting each dense covariance in float64.

    ``positions`` are cells of the finest of ``levels``; the embedding of a position has 448, 128 or 256 channels.
    """
    used = used_levels(levels)

    # The cell of each level that lies under each of the positions.
    cells = [upsample(np.arange(level.positions), used[0].grid // level.grid)[positions] for level in used]

    def join(f: Features) -> Array:
        parts = [_level(f, level.name)[:, under] for level, under in zip(used, cells, strict=True)]
        return np.concatenate(parts, axis=2).astype(np.float64)

    support, seen = join(features), join(query)
    out = np.empty(seen.shape[:2])
    for index in range(len(positions)):
        covariance = np.cov(support[:, index].T) + EPSILON * np.eye(support.shape[2])
        deviation = seen[:, index] - support[:, index].mean(axis=0)
        out[:, index] = np.sqrt(np.einsum("bc,cd,bd->b", deviation, np.linalg.inv(covariance), deviation))
    return out
