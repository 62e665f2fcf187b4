"""From the plane to the encoder's input in the template's pose, and from a map of it back to the frame."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..formats.spec import GRID, SIZE, InputSpec
from .plane import CELLS, SIDE, Plane, extent
from .pose import Similarity
from .preprocess import place

__all__ = ["map_to_frame", "warp_plane"]

Array = NDArray[np.float32]


def warp_plane(
    plane: Plane, spec: InputSpec, box: tuple[int, int], centre: tuple[float, float], pose: Similarity
) -> tuple[NDArray[np.uint8], Array]:
    """Return the input, uint8 RGB [224, 224, 3], as the template shows it, and how much of each position was seen.

    ``box`` is the template's region of interest (width, height, source pixels), whose shape decides where it lands in
    the input; ``centre`` and ``pose`` as `regad.runtime.imaging.pose` says. Bilinear, at up to 2 plane pixels a sample;
    what the frame does not cover repeats its border, and the fraction that it does cover, float32 [56, 56], says so.
    """
    spot = place(*box, InputSpec(fit=spec.fit))
    extent_x, extent_y = extent(box)
    samples_x = math.ceil(extent_x * plane.density / spot.width / 2)
    samples_y = math.ceil(extent_y * plane.density / spot.height / 2)
    a, b, tx, ty = pose
    pixels = plane.pixels.astype(np.float32)
    height, width, _ = pixels.shape
    total, covered = np.zeros((spot.height, spot.width, 3), np.float32), np.zeros((spot.height, spot.width), np.float32)
    for j in range(samples_y):
        for i in range(samples_x):
            u = (np.arange(spot.width) + (i + 0.5) / samples_x) / spot.width
            v = (np.arange(spot.height) + (j + 0.5) / samples_y) / spot.height
            x, y = np.meshgrid(SIDE / 2 + (u - 0.5) * extent_x - centre[0], SIDE / 2 + (v - 0.5) * extent_y - centre[1])
            to_x = (centre[0] + tx + a * x - b * y) * plane.density - plane.left
            to_y = (centre[1] + ty + b * x + a * y) * plane.density - plane.top
            covered += (to_x >= 0) & (to_x <= width) & (to_y >= 0) & (to_y <= height)
            total += _sampled(pixels, to_x - 0.5, to_y - 0.5)
    count = samples_x * samples_y
    image, seen = np.zeros((SIZE, SIZE, 3), np.uint8), np.ones((SIZE, SIZE), np.float32)
    target = slice(spot.top, spot.top + spot.height), slice(spot.left, spot.left + spot.width)
    image[target], seen[target] = np.rint(total / count), covered / count
    return image, seen.reshape(GRID, SIZE // GRID, GRID, SIZE // GRID).mean(axis=(1, 3), dtype=np.float32)


def _sampled(pixels: Array, x: NDArray[np.float64], y: NDArray[np.float64]) -> Array:
    """Bilinear samples of [h, w, C] at pixel-index coordinates, clamped to the image."""
    height, width, _ = pixels.shape
    x, y = np.clip(x, 0, max(width - 1.001, 0)), np.clip(y, 0, max(height - 1.001, 0))
    column, row = x.astype(np.intp), y.astype(np.intp)
    right, below = np.minimum(column + 1, width - 1), np.minimum(row + 1, height - 1)
    u, v = (x - column)[..., None].astype(np.float32), (y - row)[..., None].astype(np.float32)
    upper = pixels[row, column] * (1 - u) + pixels[row, right] * u
    lower = pixels[below, column] * (1 - u) + pixels[below, right] * u
    mixed: Array = upper * (1 - v) + lower * v
    return mixed


def map_to_frame(
    values: Array,
    spec: InputSpec,
    box: tuple[int, int],
    centre: tuple[float, float],
    pose: Similarity,
    shape: tuple[int, int],
) -> Array:
    """Return a map of the input [224, 224] laid over its frame of ``shape`` (height, width), float32 [H, W].

    Bilinear; 0 where the encoder did not look. ``box``, ``centre`` and ``pose`` are those of `warp_plane`.
    """
    spot = place(*box, InputSpec(fit=spec.fit))
    left, top, right, bottom = place(shape[1], shape[0], spec).box
    step = max(right - left, bottom - top) / CELLS
    extent_x, extent_y = extent(box)
    a, b, tx, ty = pose
    norm = a * a + b * b
    frame_x = (np.arange(shape[1]) + 0.5 - (left + right) / 2) / step + SIDE / 2 - centre[0] - tx
    frame_y = (np.arange(shape[0]) + 0.5 - (top + bottom) / 2) / step + SIDE / 2 - centre[1] - ty
    x, y = np.meshgrid(frame_x, frame_y)
    part_x = centre[0] + (a * x + b * y) / norm - SIDE / 2
    part_y = centre[1] + (a * y - b * x) / norm - SIDE / 2
    u = (part_x / extent_x + 0.5) * spot.width
    v = (part_y / extent_y + 0.5) * spot.height
    inside = (u >= 0) & (u <= spot.width) & (v >= 0) & (v <= spot.height)
    seen = values[spot.top : spot.top + spot.height, spot.left : spot.left + spot.width, None]
    laid: Array = np.where(inside, _sampled(seen, u - 0.5, v - 0.5)[..., 0], np.float32(0))
    return laid
