"""From the plane to the encoder's input in the template's pose, and from a map of it back to the frame."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..formats.spec import GRID, SIZE, InputSpec
from .plane import CELLS, SIDE, Plane, extent
from .pose import Similarity
from .preprocess import place

__all__ = ["frame_to_map", "map_to_frame", "map_to_input", "warp_plane"]

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


def frame_to_map(
    spec: InputSpec, box: tuple[int, int], centre: tuple[float, float], pose: Similarity, shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Return what takes a point of a frame of ``shape`` (height, width) to the registered input: [2, 3].

    Points are pixels from the upper left corner, right and down, of the frame and of the input. ``box``, ``centre`` and
    ``pose`` are those of `warp_plane`.
    """
    spot = place(*box, InputSpec(fit=spec.fit))
    left, top, right, bottom = place(shape[1], shape[0], spec).box
    a, b, tx, ty = pose
    to_template = np.array([[a, b], [-b, a]]) / (a * a + b * b)
    scale = np.array([spot.width, spot.height]) / extent(box)  # input pixels a cell
    linear = scale[:, None] * to_template * (CELLS / max(right - left, bottom - top))
    fixed = np.array([(left + right) / 2, (top + bottom) / 2])
    part, moved = np.array(centre) - SIDE / 2, np.array(centre) - SIDE / 2 + (tx, ty)
    middle = np.array([spot.left + spot.width / 2, spot.top + spot.height / 2])
    offset = middle + scale * (part - to_template @ moved) - linear @ fixed
    return np.concatenate([linear, offset[:, None]], axis=1)


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
    matrix = frame_to_map(spec, box, centre, pose, shape)
    return _laid(values, spec, box, matrix, np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)


def map_to_input(
    values: Array,
    spec: InputSpec,
    box: tuple[int, int],
    centre: tuple[float, float],
    pose: Similarity,
    shape: tuple[int, int],
) -> Array:
    """Return a map of the registered input [224, 224] laid over the input that is not registered, float32 [224, 224].

    See `map_to_frame`; ``shape`` is that of the frame.
    """
    matrix = frame_to_map(spec, box, centre, pose, shape)
    spot = place(shape[1], shape[0], spec)
    left, top, right, bottom = spot.box
    x = left + (np.arange(SIZE) + 0.5 - spot.left) * (right - left) / spot.width
    y = top + (np.arange(SIZE) + 0.5 - spot.top) * (bottom - top) / spot.height
    laid = _laid(values, spec, box, matrix, x, y)
    laid[:, (x < left) | (x > right)] = 0
    laid[(y < top) | (y > bottom)] = 0
    return laid


def _laid(
    values: Array,
    spec: InputSpec,
    box: tuple[int, int],
    matrix: NDArray[np.float64],
    x: NDArray[np.floating[Any]],
    y: NDArray[np.floating[Any]],
) -> Array:
    """The map at the points of the frame of columns ``x`` and rows ``y``."""
    spot = place(*box, InputSpec(fit=spec.fit))
    across, down = np.meshgrid(x, y)
    u = matrix[0, 0] * across + matrix[0, 1] * down + matrix[0, 2] - spot.left
    v = matrix[1, 0] * across + matrix[1, 1] * down + matrix[1, 2] - spot.top
    inside = (u >= 0) & (u <= spot.width) & (v >= 0) & (v <= spot.height)
    seen = values[spot.top : spot.top + spot.height, spot.left : spot.left + spot.width, None]
    laid: Array = np.where(inside, _sampled(seen, u - 0.5, v - 0.5)[..., 0], np.float32(0))
    return laid
