"""Whether a frame shows a part at all: four measures of the encoder's input, held against a category's limits.

All sums are of integers, so that this reference and the compiled form (``runtime/native/src/core/presence.cpp``) give
the same bits. The detector asks before it encodes: a black, white, grey or unfocused frame never reaches the scorer,
for which nothing is sometimes nearer to the taught parts than a part.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..formats.limits import MEASURES, Limits
from ..formats.spec import SIZE

__all__ = ["Measures", "absence", "measure", "measure_with_numpy"]

_BLOCK = 8  # its side in pixels
_PIXELS = SIZE * SIZE
_BLOCKS = (SIZE // _BLOCK) ** 2
_NEIGHBOURS = 2 * SIZE * (SIZE - 1)  # pairs of adjacent pixels


class Measures(NamedTuple):
    """What is measured of the grey values (0 to 255) of an encoder's input.

    ``brightness`` is their mean. ``contrast`` is the standard deviation of the means of 8x8 blocks, which noise hardly
    raises. ``detail`` is the mean difference between neighbouring pixels, which a lens out of focus lowers.
    ``structure``, 0 to 1, is ``contrast`` divided by the standard deviation of the pixels: 1/8 for noise.
    """

    brightness: float
    contrast: float
    detail: float
    structure: float


def measure(image: NDArray[np.uint8]) -> Measures:
    """Measure an encoder's input, uint8 RGB [224, 224, 3]: by the compiled kernels where they are installed."""
    return Measures(*kernels.presence(image)) if kernels.available() else measure_with_numpy(image)


def measure_with_numpy(image: NDArray[np.uint8]) -> Measures:
    """The reference of `measure`, bit for bit."""
    red, green, blue = np.moveaxis(image.astype(np.int64), 2, 0)
    grey = (77 * red + 150 * green + 29 * blue + 128) >> 8
    count = SIZE // _BLOCK
    blocks = grey.reshape(count, _BLOCK, count, _BLOCK).sum(axis=(1, 3))
    total = int(grey.sum())
    spread = _PIXELS * int((grey * grey).sum()) - total * total
    coarse = _BLOCKS * int((blocks * blocks).sum()) - total * total
    slopes = int(np.abs(np.diff(grey, axis=0)).sum() + np.abs(np.diff(grey, axis=1)).sum())
    return Measures(
        total / _PIXELS,
        math.sqrt(coarse) / _PIXELS,
        slopes / _NEIGHBOURS,
        math.sqrt(coarse / spread) if spread else 0.0,
    )


def absence(measures: Measures, limits: Limits) -> str:
    """Say which limit a frame breaks first, ``brightness 3, taught with 88 to 140``; "" if it may show the part."""
    for name, value in zip(MEASURES, measures, strict=True):
        limit = limits.get(name)
        if limit is not None and (value < limit.low or (limit.high is not None and value > limit.high)):
            low, high = limit.taught
            return f"{name} {value:.3g}, taught with {low:.3g} to {high:.3g}"
    return ""
