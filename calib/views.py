"""The 22 support views of RegAD: what one good image is multiplied into before the statistics are fitted.

Source: the released code's support augmentation. Geometry is that of ``affine_grid``/``grid_sample``: theta maps
output to input in the normalised grid, align_corners=False, bilinear, padding by reflection.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import cache

import numpy as np
from numpy.typing import NDArray

from regad.runtime.errors import InputError
from regad.runtime.formats.spec import SIZE

__all__ = ["VIEWS", "VIEW_GROUPS", "VIEW_NAMES", "kept_views", "support_views", "warp"]

_ROTATIONS = tuple(sign * step * math.pi / 16 for sign in (-1, 1) for step in (1, 2, 3, 4))
_SHIFTS = tuple((x * size, y * size) for size in (0.2, 0.1) for x, y in ((1, 1), (-1, 1), (-1, -1), (1, -1)))
_GREY = np.array([0.299, 0.587, 0.114])

VIEW_NAMES = (
    "original",
    *(f"rotation {angle / math.pi * 16:+.0f}pi/16" for angle in _ROTATIONS),
    *(f"shift {x:+.1f},{y:+.1f}" for x, y in _SHIFTS),
    "horizontal flip",
    "grey",
    "rotation 90",
    "rotation 180",
    "rotation 270",
)
"""Names of the views, in the order `support_views` returns them."""
VIEWS = len(VIEW_NAMES)

VIEW_GROUPS = {
    "rotations": range(1, 9),
    "shifts": range(9, 17),
    "flip": range(17, 18),
    "grey": range(18, 19),
    "quarter-turns": range(19, 22),
}
"""The kinds of views that an ablation may leave out, by their places in `VIEW_NAMES`; the original always stays."""


def kept_views(without: Collection[str] = ()) -> list[int]:
    """Return the places in `VIEW_NAMES` that remain without some of `VIEW_GROUPS`. Raises InputError for another."""
    unknown = sorted(set(without) - set(VIEW_GROUPS))
    if unknown:
        raise InputError(f"{unknown[0]!r} is no group of support views; expected one of {', '.join(VIEW_GROUPS)}")
    dropped = {place for group in without for place in VIEW_GROUPS[group]}
    return [place for place in range(VIEWS) if place not in dropped]


def _thetas() -> list[list[list[float]]]:
    turned = [[[math.cos(a), -math.sin(a), 0.0], [math.sin(a), math.cos(a), 0.0]] for a in _ROTATIONS]
    shifted = [[[1.0, 0.0, x], [0.0, 1.0, y]] for x, y in _SHIFTS]
    return turned + shifted


def _reflect(coordinate: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Reflect pixel coordinates about -0.5 and size - 0.5, then clip to the pixel centres."""
    folded = np.mod(np.abs(coordinate + 0.5), 2 * size)
    inside: NDArray[np.float64] = np.clip(size - np.abs(folded - size) - 0.5, 0, size - 1)
    return inside


@cache
def _taps(theta: tuple[tuple[float, ...], ...], size: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Indices [4, size * size] into the rows of a flattened image, and their bilinear weights [4, size * size, 1]."""
    centres = (np.arange(size) * 2 + 1) / size - 1
    grid_x, grid_y = np.meshgrid(centres, centres)
    (a, b, c), (d, e, f) = theta
    x = _reflect(((a * grid_x + b * grid_y + c + 1) * size - 1) / 2, size).ravel()
    y = _reflect(((d * grid_x + e * grid_y + f + 1) * size - 1) / 2, size).ravel()
    left, top = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    right, bottom = np.minimum(left + 1, size - 1), np.minimum(top + 1, size - 1)
    u, v = x - left, y - top
    index = np.stack([top * size + left, top * size + right, bottom * size + left, bottom * size + right])
    weight = np.stack([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v]).astype(np.float32)
    return index, weight[:, :, None]


def warp(image: NDArray[np.uint8], theta: tuple[tuple[float, ...], ...]) -> NDArray[np.uint8]:
    """Warp a square uint8 image [S, S, 3] by ``theta`` (2x3, output -> input), rounded to uint8."""
    size = len(image)
    index, weight = _taps(theta, size)
    rows = image.reshape(size * size, -1).astype(np.float32)
    mixed: NDArray[np.float32] = np.sum([rows[i] * w for i, w in zip(index, weight, strict=True)], axis=0)
    return np.rint(mixed).astype(np.uint8).reshape(image.shape)


def support_views(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the views, uint8 [22, 224, 224, 3] as `VIEW_NAMES` names them, of a preprocessed image [224, 224, 3]."""
    assert image.shape == (SIZE, SIZE, 3), image.shape
    warped = [warp(image, tuple(tuple(row) for row in theta)) for theta in _thetas()]
    grey = np.rint(image @ _GREY).astype(np.uint8)
    turned = [np.rot90(image, quarter) for quarter in (1, 2, 3)]
    return np.stack([image, *warped, image[:, ::-1], np.repeat(grey[:, :, None], 3, axis=2), *turned])
