"""Finding the pose of a part: the plain form of the search that `runtime/native/src/core/registration.cpp` compiles.

1. At 64x64 cells the template's edges, turned by every 6 degrees, are correlated with the query's through Fourier
   transforms; the best shift of each angle is kept, and of the angles the three best local maxima.
2. Each is refined by Gauss-Newton steps (inverse compositional, free of gain and offset) on edges at 64x64, then
   128x128; the best is refined at 256x256.

A similarity (a, b, tx, ty) takes a template point x to centre + t + [[a, -b], [b, a]] (x - centre), in cells.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .plane import SIDE, edges, halve

__all__ = ["Found", "Outline", "Region", "Similarity", "find", "outline", "part_centre"]

Array = NDArray[np.float32]
Region = tuple[float, float, float, float]
"""Left, top, right, bottom of what a frame covers of the plane, cells."""
Similarity = tuple[float, float, float, float]

_COARSE = 64
_ANGLES = 60
_WINDOW = (26.0, 31.0)
_REACH = 20
_CANDIDATES = 3
_UPRIGHT = 0.02
_STEPS = (4, 4, 8)
_SCALES = (0.85, 1.18)
_LEAST = 0.3
_APART = 20.0


class Found(NamedTuple):
    """A pose, how well the part fits there (correlation of edges, -1 to 1), and how well at the next best angle."""

    pose: Similarity
    quality: float
    rival: float


class Level(NamedTuple):
    """The template's edges at one resolution: what the Gauss-Newton steps need.

    ``left``, ``top``: first pixel of the rectangle; ``values`` [h, w]; ``steepest`` [4, h, w]; ``inverse`` [4, 4].
    """

    cells: int
    left: int
    top: int
    values: Array
    steepest: Array
    inverse: NDArray[np.float64]


class Outline(NamedTuple):
    """What is computed once from a template: its levels, coarse to fine, and the spectra of its turned edges."""

    levels: tuple[Level, ...]
    spectra: NDArray[np.complex64]
    centre: tuple[float, float]


def outline(grey: Array, region: Region, extent: tuple[float, float], centre: tuple[float, float]) -> Outline:
    """Prepare a template from its cells [256, 256], what its frame covers, and the region of interest's size, cells."""
    pyramid = _pyramid(grey, region)
    rectangle = _rectangle(region, extent)
    levels = tuple(_level(image, rectangle, centre) for image in pyramid)
    return Outline(levels, _spectra(pyramid[0], rectangle, centre), centre)


def find(template: Outline, grey: Array, region: Region) -> Found:
    """Find the template in a query's cells [256, 256], of which its frame covers ``region``."""
    pyramid = _pyramid(grey, region)
    tried: list[tuple[float, float, Similarity]] = []
    for pose in _candidates(template, pyramid[0], region):
        quality = -1.0
        for number in (0, 1):
            pose, quality = _refine(template, number, pyramid[number], region, pose)
        tried.append((quality * _upright(_angle(pose)), quality, pose))
    if not tried:
        return Found((1.0, 0.0, 0.0, 0.0), -1.0, 0.0)
    best = max(tried, key=lambda entry: entry[0])
    others = [q for _, q, pose in tried if abs((_angle(pose) - _angle(best[2]) + 180) % 360 - 180) > _APART]
    pose, quality = _refine(template, 2, pyramid[2], region, best[2])
    return Found(pose, quality, max(others, default=0.0))


def _angle(pose: Similarity) -> float:
    return math.degrees(math.atan2(pose[1], pose[0]))


def _upright(angle: float) -> float:
    """A part that looks alike at several angles is taken to be turned as little as possible."""
    return 1 - _UPRIGHT * abs(angle) / 180


def _pyramid(grey: Array, region: Region) -> tuple[Array, ...]:
    """The edges at 64, 128 and 256 pixels a side."""
    half = halve(grey)
    images = (halve(half), half, grey)
    return tuple(edges(image, _covered(region, len(image), 1)) for image in images)


def _covered(region: Region, size: int, margin: int) -> tuple[int, int, int, int]:
    """The whole pixels of an image of ``size`` that a region covers, less a margin; never empty."""
    left, top, right, bottom = (edge * size / SIDE for edge in region)
    first_x, first_y = math.ceil(left) + margin, math.ceil(top) + margin
    last_x, last_y = math.floor(right) - margin, math.floor(bottom) - margin
    return first_x, first_y, max(last_x, first_x + 1), max(last_y, first_y + 1)


def _rectangle(region: Region, extent: tuple[float, float]) -> tuple[int, int, int, int]:
    """The template's own pixels at the coarse level: the region of interest less a border."""
    width, height = extent
    box = (SIDE / 2 - width / 2, SIDE / 2 - height / 2, SIDE / 2 + width / 2, SIDE / 2 + height / 2)
    inside = (max(region[0], box[0]), max(region[1], box[1]), min(region[2], box[2]), min(region[3], box[3]))
    return _covered(inside, _COARSE, 1)


def part_centre(grey: Array, region: Region, extent: tuple[float, float]) -> tuple[float, float]:
    """Where the part is in its template, cells: the centroid of the edges that are stronger than average."""
    left, top, right, bottom = _rectangle(region, extent)
    image = halve(halve(grey))
    across, down = np.gradient(image.astype(np.float64), axis=1), np.gradient(image.astype(np.float64), axis=0)
    strength = np.hypot(across, down)[top:bottom, left:right]
    weight = np.maximum(strength - strength.mean(), 0)
    total = weight.sum()
    if total < 1e-6:
        return SIDE / 2, SIDE / 2
    x = (weight.sum(axis=0) @ (np.arange(left, right) + 0.5)) / total
    y = (weight.sum(axis=1) @ (np.arange(top, bottom) + 0.5)) / total
    factor = SIDE // _COARSE
    middle, reach = SIDE / 2, SIDE * 3 / 16
    return (
        float(np.clip(factor * x, middle - reach, middle + reach)),
        float(np.clip(factor * y, middle - reach, middle + reach)),
    )


def _bilinear(image: Array, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sample an image at pixel-index coordinates, clamped to it."""
    height, width = image.shape
    x, y = np.clip(x, 0, width - 1.001), np.clip(y, 0, height - 1.001)
    column, row = x.astype(np.intp), y.astype(np.intp)
    u, v = x - column, y - row
    upper = image[row, column] * (1 - u) + image[row, column + 1] * u
    lower = image[row + 1, column] * (1 - u) + image[row + 1, column + 1] * u
    mixed: NDArray[np.float64] = upper * (1 - v) + lower * v
    return mixed


def _spectra(image: Array, rectangle: tuple[int, int, int, int], centre: tuple[float, float]) -> NDArray[np.complex64]:
    """Conjugate spectra [60, 64, 64] of the edges turned about the part's centre: mean 0, norm 1, in a soft disc."""
    grid = np.arange(_COARSE) + 0.5 - _COARSE / 2
    x, y = np.meshgrid(grid, grid)
    inner, outer = _WINDOW
    disc = np.clip((outer - np.hypot(x, y)) / (outer - inner), 0, 1)
    left, top, right, bottom = rectangle
    middle_x, middle_y = (value * _COARSE / SIDE for value in centre)
    spectra = np.empty((_ANGLES, _COARSE, _COARSE), np.complex64)
    for index in range(_ANGLES):
        turn = 2 * math.pi * index / _ANGLES
        from_x = middle_x + math.cos(turn) * x + math.sin(turn) * y
        from_y = middle_y - math.sin(turn) * x + math.cos(turn) * y
        inside = (from_x >= left + 0.5) & (from_x <= right - 0.5) & (from_y >= top + 0.5) & (from_y <= bottom - 0.5)
        weight = disc * inside
        turned = _bilinear(image, from_x - 0.5, from_y - 0.5)
        turned = (turned - (turned * weight).sum() / max(weight.sum(), 1e-9)) * weight
        spectra[index] = np.conj(np.fft.fft2(turned / math.sqrt((turned**2).sum() + 1e-12)))
    return spectra


def _candidates(template: Outline, image: Array, region: Region) -> list[Similarity]:
    """The poses, best first, of the local maxima over the angle of the correlation with the turned template."""
    left, top, right, bottom = _covered(region, _COARSE, 1)
    seen = np.zeros((_COARSE, _COARSE))
    seen[top:bottom, left:right] = image[top:bottom, left:right]
    seen[top:bottom, left:right] -= seen[top:bottom, left:right].mean()
    maps = np.fft.ifft2(np.fft.fft2(seen)[None] * template.spectra).real
    from_x, from_y = (round(value * _COARSE / SIDE - _COARSE / 2) for value in template.centre)
    reach = np.arange(-_REACH, _REACH + 1)
    near = maps[:, (reach[:, None] + from_y) % _COARSE, (reach[None] + from_x) % _COARSE].reshape(_ANGLES, -1)
    place, height = near.argmax(axis=1), near.max(axis=1)
    angles = np.arange(_ANGLES) * 360 / _ANGLES
    height = height * np.array([_upright(min(angle, 360 - angle)) for angle in angles])
    peaks = np.flatnonzero((height >= np.roll(height, 1)) & (height >= np.roll(height, -1)))
    poses: list[Similarity] = []
    for index in sorted(peaks.tolist(), key=lambda i: -float(height[i]))[:_CANDIDATES]:
        row, column = divmod(int(place[index]), len(reach))
        turn, factor = math.radians(angles[index]), SIDE / _COARSE
        shift_x = (from_x + int(reach[column])) * factor - (template.centre[0] - SIDE / 2)
        shift_y = (from_y + int(reach[row])) * factor - (template.centre[1] - SIDE / 2)
        poses.append((math.cos(turn), math.sin(turn), shift_x, shift_y))
    return poses


def _level(image: Array, rectangle: tuple[int, int, int, int], centre: tuple[float, float]) -> Level:
    size = len(image)
    left, top, right, bottom = (edge * size // _COARSE for edge in rectangle)
    gx = np.gradient(image.astype(np.float64), axis=1)[top:bottom, left:right]
    gy = np.gradient(image.astype(np.float64), axis=0)[top:bottom, left:right]
    x, y = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
    x, y = x - centre[0] * size / SIDE, y - centre[1] * size / SIDE
    radius = _radius(size)
    steepest = np.stack([(gx * x + gy * y) / radius, (gy * x - gx * y) / radius, gx, gy]).astype(np.float32)
    values = np.ascontiguousarray(image[top:bottom, left:right])
    flat, deviation = steepest.reshape(4, -1).astype(np.float64), values.ravel() - values.mean(dtype=np.float64)
    sums, along = flat.sum(axis=1), flat @ deviation
    hessian = flat @ flat.T - np.outer(sums, sums) / deviation.size
    hessian -= np.outer(along, along) / (deviation @ deviation + 1e-12)
    hessian += np.eye(4) * (1e-4 * np.trace(hessian) / 4 + 1e-9)
    return Level(size, left, top, values, steepest, np.linalg.inv(hessian))


def _radius(size: int) -> float:
    """Where a turn moves a point by as many pixels as the Gauss-Newton steps count."""
    return size * 3 / 16


def _refine(template: Outline, number: int, image: Array, region: Region, pose: Similarity) -> tuple[Similarity, float]:
    """Take Gauss-Newton steps at one level; the pose and the correlation there, or -1 where too little is covered."""
    level = template.levels[number]
    factor = SIDE / level.cells
    a, b, tx, ty = pose[0], pose[1], pose[2] / factor, pose[3] / factor
    left, top, right, bottom = (edge / factor for edge in region)
    height, width = level.values.shape
    centre_x, centre_y = (value / factor for value in template.centre)
    x, y = np.meshgrid(level.left + np.arange(width) + 0.5 - centre_x, level.top + np.arange(height) + 0.5 - centre_y)
    quality = -1.0
    moving = True
    for step in range(_STEPS[number] + 1):
        to_x, to_y = centre_x + tx + a * x - b * y, centre_y + ty + b * x + a * y
        seen = (to_x >= left + 0.5) & (to_x <= right - 0.5) & (to_y >= top + 0.5) & (to_y <= bottom - 0.5)
        if seen.mean() < _LEAST:
            return pose, -1.0
        values = _bilinear(image, to_x - 0.5, to_y - 0.5)[seen]
        wanted, steepest = level.values[seen].astype(np.float64), level.steepest[:, seen].astype(np.float64)
        values, wanted = values - values.mean(), wanted - wanted.mean()
        cross, own = float(values @ wanted), float(wanted @ wanted)
        quality = cross / math.sqrt(float(values @ values) * own + 1e-12)
        if step == _STEPS[number] or cross <= 0 or not moving:
            break
        radius = _radius(level.cells)
        change = level.inverse @ (steepest @ (values * (own / cross) - wanted))
        change = np.clip(change, -radius / 4, radius / 4)
        a, b, tx, ty = _composed((a, b, tx, ty), change, radius)
        moving = float(np.abs(change).max()) >= 0.01
    return (a, b, tx * factor, ty * factor), quality


def _composed(pose: Similarity, change: NDArray[np.float64], radius: float) -> Similarity:
    """The pose after the inverse of a change, of a and b in pixels at ``radius``; its scale is limited."""
    a, b, tx, ty = pose
    grow, turn = 1 + change[0] / radius, change[1] / radius
    norm = grow * grow + turn * turn
    new_a, new_b = (a * grow + b * turn) / norm, (b * grow - a * turn) / norm
    tx, ty = tx - (new_a * change[2] - new_b * change[3]), ty - (new_b * change[2] + new_a * change[3])
    scale = math.hypot(new_a, new_b)
    limit = min(max(scale, _SCALES[0]), _SCALES[1]) / scale
    return new_a * limit, new_b * limit, float(tx), float(ty)
