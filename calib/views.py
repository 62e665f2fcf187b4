"""The support views: what one good image is multiplied into before the statistics are fitted.

`STANDARD` are the 22 of RegAD, from the released code's support augmentation. `REGISTERED` are for parts that are laid
on the first support image: what a registration leaves is a small pose, and a part is never seen flipped or on its side.

Geometry is that of ``affine_grid``/``grid_sample``: theta maps output to input in the normalised grid,
align_corners=False, bilinear, padding by reflection.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from regad.runtime.errors import InputError
from regad.runtime.formats.spec import SIZE

__all__ = [
    "FEW_REGISTERED",
    "REGISTERED",
    "STANDARD",
    "VIEWS",
    "VIEW_GROUPS",
    "VIEW_NAMES",
    "ViewSet",
    "kept_views",
    "registered_views",
    "support_views",
    "warp",
]

_ROTATIONS = tuple(sign * step * math.pi / 16 for sign in (-1, 1) for step in (1, 2, 3, 4))
_SIZES = (0.2, 0.1)
_CORNERS = ((1, 1), (-1, 1), (-1, -1), (1, -1))
_GREY = np.array([0.299, 0.587, 0.114])

VIEW_NAMES = (
    "original",
    *(f"rotation {angle / math.pi * 16:+.0f}pi/16" for angle in _ROTATIONS),
    *(f"shift {x * size:+.1f},{y * size:+.1f}" for size in _SIZES for x, y in _CORNERS),
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
    return STANDARD.kept(without)


def _turned(angles: Iterable[float]) -> list[list[list[float]]]:
    """Thetas of turns by ``angles``, radians."""
    return [[[math.cos(a), -math.sin(a), 0.0], [math.sin(a), math.cos(a), 0.0]] for a in angles]


def _shifted(sizes: Iterable[float]) -> list[list[list[float]]]:
    """Thetas of shifts along the four diagonals by ``sizes`` of half the image's side."""
    return [[[1.0, 0.0, x * size], [0.0, 1.0, y * size]] for size in sizes for x, y in _CORNERS]


def _thetas() -> list[list[list[float]]]:
    return _turned(_ROTATIONS) + _shifted(_SIZES)


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
    turned = [np.rot90(image, quarter) for quarter in (1, 2, 3)]
    return np.stack([image, *_warped(image, _thetas()), image[:, ::-1], _grey(image), *turned])


def registered_views(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the views, uint8 [14, 224, 224, 3], of a registered input [224, 224, 3].

    The image, turned by 3 and 8 degrees each way, shifted by 3 and by 8 % along the diagonals, and in grey.
    """
    thetas = _turned(map(math.radians, (-8, -3, 3, 8))) + _shifted((0.06, 0.16))
    return np.stack([image, *_warped(image, thetas), _grey(image)])


def _warped(image: NDArray[np.uint8], thetas: list[list[list[float]]]) -> list[NDArray[np.uint8]]:
    assert image.shape == (SIZE, SIZE, 3), image.shape
    return [warp(image, tuple(tuple(row) for row in theta)) for theta in thetas]


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(np.rint(image @ _GREY).astype(np.uint8)[:, :, None], 3, axis=2)


class ViewSet(NamedTuple):
    """Views that one image is multiplied into: ``make`` returns them, uint8 [n, 224, 224, 3], the image itself first.

    ``groups``: the kinds that an ablation may leave out, by their places.
    """

    number: int
    groups: Mapping[str, range]
    make: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]

    def kept(self, without: Collection[str] = ()) -> list[int]:
        """Return the places that remain without some groups; those that are none of this set's change nothing."""
        dropped = {place for group in without for place in self.groups.get(group, ())}
        return [place for place in range(self.number) if place not in dropped]


STANDARD = ViewSet(VIEWS, VIEW_GROUPS, support_views)
REGISTERED = ViewSet(14, {"rotations": range(1, 5), "shifts": range(5, 13), "grey": range(13, 14)}, registered_views)
FEW_REGISTERED = (0, *range(5, 9))
"""Places in `REGISTERED` of the few views by which teaching decides: the image, and shifted by 3 %."""
