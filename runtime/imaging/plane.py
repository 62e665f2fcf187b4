"""The plane that a part is found in: the region of interest and what lies round it, at a size that no camera changes.

The plane is a square of 256 cells round the middle of the region, whose longest side takes 192 of them: a sixth of the
region's longest side remains as margin, where the frame has pixels there. It is sampled once from the camera's pixels,
at 2 to 4 pixels a cell; both the search for the part and the encoder's input read it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..formats.registration import CELLS, SIDE
from ..formats.spec import SIZE, InputSpec
from .preprocess import place

__all__ = ["CELLS", "SIDE", "Plane", "colour_weights", "edges", "extent", "grey_cells", "halve", "sample_plane"]

_SATURATION = 2.0
_TINY = 1e-6
Array = NDArray[np.float32]


class Plane(NamedTuple):
    """What a frame shows of the plane.

    ``pixels`` uint8 RGB [h, w, 3]: the part that the frame covers; ``left`` and ``top``: where it begins, plane pixels;
    ``density``: plane pixels a cell (2 to 4); ``box``: width and height of the region of interest, source pixels.
    """

    pixels: NDArray[np.uint8]
    left: int
    top: int
    density: int
    box: tuple[int, int]

    @property
    def region(self) -> tuple[float, float, float, float]:
        """The covered part as left, top, right, bottom, cells."""
        height, width, _ = self.pixels.shape
        edges = (self.left, self.top, self.left + width, self.top + height)
        left, top, right, bottom = (edge / self.density for edge in edges)
        return left, top, right, bottom


def extent(box: tuple[int, int]) -> tuple[float, float]:
    """Width and height in cells of a region of interest, from those in source pixels."""
    width, height = box
    return CELLS * width / max(box), CELLS * height / max(box)


def density(box: tuple[int, int], spec: InputSpec) -> int:
    """Plane pixels a cell, so that the shorter side of a stretched region keeps its detail too."""
    if spec.fit != "stretch":
        return 2
    return next((k for k in (2, 3) if CELLS * k * min(box) >= 1.25 * SIZE * max(box)), 4)


def sample_plane(rgb: NDArray[np.uint8], spec: InputSpec) -> Plane:
    """Sample the plane of a frame, uint8 RGB [H, W, 3]; down, then across, as Pillow does it, in 8 bits.

    A mean over the source pixels where there are two or more a plane pixel, bilinear below. Raises InputError if the
    region of interest lies outside the frame.
    """
    height, width, _ = rgb.shape
    left, top, right, bottom = place(width, height, spec).box
    box = right - left, bottom - top
    k = density(box, spec)
    step = max(box) / (CELLS * k)
    x, y, half = (left + right) / 2, (top + bottom) / 2, SIDE * k // 2
    before_x, after_x, before_y, after_y = (
        max(1, min(half, math.floor(room / step + 1e-6))) for room in (x, width - x, y, height - y)
    )
    how = Image.Resampling.BOX if step >= 2 else Image.Resampling.BILINEAR
    rows, columns = before_y + after_y, before_x + after_x
    image = Image.fromarray(np.ascontiguousarray(rgb))
    low = image.resize((width, rows), how, box=(0, max(y - before_y * step, 0), width, min(y + after_y * step, height)))
    part = low.resize((columns, rows), how, box=(max(x - before_x * step, 0), 0, min(x + after_x * step, width), rows))
    return Plane(np.asarray(part), half - before_x, half - before_y, k, box)


def colour_weights(plane: Plane) -> tuple[float, float, float]:
    """The mix of red, green and blue in which the part's edges are strongest; absolute values add up to 1.

    The first principal axis of the colour steps between neighbouring pixels, drawn a little towards grey.
    """
    colours = plane.pixels.astype(np.float64) / 255
    steps = [np.diff(colours, axis=axis).reshape(-1, 3) for axis in (0, 1)]
    tensor = sum((step.T @ step for step in steps), np.zeros((3, 3)))
    tensor += 0.02 * np.trace(tensor) + _TINY
    axis = np.linalg.eigh(tensor)[1][:, -1]
    mix = (axis * (np.sign(axis.sum()) or 1) / np.abs(axis).sum()).astype(np.float32)
    return float(mix[0]), float(mix[1]), float(mix[2])


def grey_cells(plane: Plane, weights: tuple[float, float, float]) -> Array:
    """Return the plane's cells in one channel, float32 [256, 256]; beyond what the frame covers, the nearest pixel."""
    k = plane.density
    grey = plane.pixels.astype(np.float32) @ np.array(weights, np.float32)
    after_y, after_x = SIDE * k - plane.top - grey.shape[0], SIDE * k - plane.left - grey.shape[1]
    whole = np.pad(grey, ((plane.top, after_y), (plane.left, after_x)), mode="edge")
    return np.asarray(whole.reshape(SIDE, k, SIDE, k).mean(axis=(1, 3), dtype=np.float32))


def halve(image: Array) -> Array:
    """Return the means of 2x2 pixels."""
    size = len(image) // 2
    return np.asarray(image.reshape(size, 2, size, 2).mean(axis=(1, 3), dtype=np.float32))


def _smooth(image: Array) -> Array:
    """Weigh each pixel and its neighbours by 1, 2, 1, both ways; the border is repeated."""
    padded = np.pad(image, 1, mode="edge")
    down = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    return np.asarray((down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]) / 16, np.float32)


def edges(image: Array, region: tuple[int, int, int, int]) -> Array:
    """Return how much of an edge each pixel of a square image is, 0 to 1, float32: gain and offset do not change it.

    The gradient's magnitude m of the smoothed image as m / (m + 2 mean of m), smoothed: faint edges count nearly as
    much as strong ones, so a lamp that makes one side of the part glare does not move it. The mean is over ``region``
    (left, top, right, bottom, pixels), what the frame covers.
    """
    smooth = _smooth(image)
    across, down = np.zeros_like(smooth), np.zeros_like(smooth)
    across[:, 1:-1] = (smooth[:, 2:] - smooth[:, :-2]) / 2
    down[1:-1] = (smooth[2:] - smooth[:-2]) / 2
    strength: Array = np.sqrt(across * across + down * down)
    left, top, right, bottom = region
    mean = strength[top:bottom, left:right].mean(dtype=np.float64)
    saturated: Array = strength / (strength + np.float32(_SATURATION * mean + _TINY))
    return _smooth(saturated)
