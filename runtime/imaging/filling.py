"""What a frame does not show of a registered part: taken from the first support image, in this frame's light.

The difference between the two at the edge of what is seen is carried on into the rest, as a membrane would: there is no
seam that a scorer could take for a defect, and nothing there that a good part does not have. The compiled form is
`runtime/native/src/core/fill.cpp`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..formats.spec import GRID, SIZE

__all__ = ["fill", "fill_with_numpy"]

_CELL = SIZE // GRID
_COARSEST = 7
_STEPS = 24
Array = NDArray[np.float32]


def fill(image: NDArray[np.uint8], seen: Array, reference: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a registered input with its unseen positions filled in: uint8 RGB [224, 224, 3].

    ``seen`` float32 [56, 56]: how much of each position the frame shows; what is below 1 is filled from ``reference``,
    uint8 RGB [224, 224, 3]. Where nothing is whole the reference is returned.
    """
    if (seen >= 1).all():
        return image
    return kernels.fill(image, seen, reference) if kernels.available() else fill_with_numpy(image, seen, reference)


def fill_with_numpy(image: NDArray[np.uint8], seen: Array, reference: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The reference of `fill`."""
    whole = seen >= 1
    if not whole.any():
        return reference.copy()
    steps = image.astype(np.int32) - reference
    known = (steps.reshape(GRID, _CELL, GRID, _CELL, 3).sum(axis=(1, 3)) / _CELL**2).astype(np.float32)
    known[~whole] = 0
    light = _pulled(known, whole)
    for _ in range(_STEPS):
        around = np.pad(light, ((1, 1), (1, 1), (0, 0)), mode="edge")
        mean = (around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]) * np.float32(0.25)
        light = np.where(whole[..., None], known, mean)
    pixels = np.repeat(np.repeat(whole, _CELL, axis=0), _CELL, axis=1)[..., None]
    made = np.clip(np.rint(reference + _enlarged(_enlarged(light, 1), 0)), 0, 255).astype(np.uint8)
    return np.where(pixels, image, made)


def _pulled(values: Array, whole: NDArray[np.bool_]) -> Array:
    """Values [n, n, 3] with the unknown ones taken from ever coarser means; at the coarsest, from the mean of all."""
    size = len(values)
    if size == _COARSEST:
        mean = (values.astype(np.float64).sum(axis=(0, 1)) / whole.sum()).astype(np.float32)
        return np.where(whole[..., None], values, mean)
    a, b, c, d = values[::2, ::2], values[::2, 1::2], values[1::2, ::2], values[1::2, 1::2]
    count = whole.reshape(size // 2, 2, size // 2, 2).sum(axis=(1, 3)).astype(np.float32)[..., None]
    mean = np.divide((a + b) + (c + d), np.maximum(count, np.float32(1)), dtype=np.float32)
    coarse = _pulled(mean, count[..., 0] > 0)
    return np.where(whole[..., None], values, np.repeat(np.repeat(coarse, 2, axis=0), 2, axis=1))


def _enlarged(values: Array, axis: int) -> Array:
    """Four times as many values along an axis, bilinear, the outermost repeated."""
    last = values.shape[axis] - 1
    index = np.arange(last + 1)
    before = np.take(values, np.maximum(index - 1, 0), axis)
    after = np.take(values, np.minimum(index + 1, last), axis)
    parts = [
        near * np.float32(1 - share) + other * np.float32(share)
        for near, other, share in (
            (values, before, 0.375),
            (values, before, 0.125),
            (values, after, 0.125),
            (values, after, 0.375),
        )
    ]
    shape = list(values.shape)
    shape[axis] *= _CELL
    return np.stack(parts, axis + 1).reshape(shape)
