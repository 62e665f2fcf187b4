"""Shapes to draw with, and the damage that any surface can suffer. Damage changes the layers in place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from surface import CANVAS, Array, Layers, Rng, fractal, grid, paint

__all__ = ["blob", "box", "crack", "curve", "dent", "disc", "line", "polygon", "scratch", "stain", "wander", "write"]

SHIFT = 4
"""Binary places of the subpixel coordinates given to OpenCV."""
WHOLE = (CANVAS, CANVAS)


def fixed(points: Array) -> list[Array]:
    """Points as OpenCV's fixed-point polygon."""
    return [np.round(np.asarray(points) * 2**SHIFT).astype(np.int32)]


def polygon(points: Array, shape: tuple[int, int] = WHOLE) -> Array:
    """Coverage in [0, 1] of a filled polygon [n, 2] of (x, y); float32 of that shape."""
    cover = np.zeros(shape, np.uint8)
    cv2.fillPoly(cover, fixed(points), 255, cv2.LINE_AA, SHIFT)
    return cover.astype(np.float32) / 255.0


def line(points: Array, width: float, shape: tuple[int, int] = WHOLE) -> Array:
    """Coverage of a polyline through ``points`` [n, 2]."""
    cover = np.zeros(shape, np.uint8)
    cv2.polylines(cover, fixed(points), False, 255, max(1, round(width)), cv2.LINE_AA, SHIFT)
    return cover.astype(np.float32) / 255.0


def disc(x: float, y: float, radius: float, shape: tuple[int, int] = WHOLE, soft: float = 1.0) -> Array:
    """Coverage of a disc whose edge is ``soft`` pixels wide."""
    columns, rows = (plane[: shape[0], : shape[1]] for plane in grid())
    away = cv2.magnitude(columns - np.float32(x), rows - np.float32(y))
    return np.clip((np.float32(radius) - away) / np.float32(soft) + 0.5, 0, 1)


def box(x: float, y: float, width: float, height: float, angle: float = 0.0, shape: tuple[int, int] = WHOLE) -> Array:
    """Coverage of a rectangle centred on (x, y), turned by ``angle`` degrees."""
    return polygon(cv2.boxPoints(((x, y), (width, height), angle)), shape)


@lru_cache(maxsize=64)
def lettering(text: str, size: int, turn: int = 0) -> Array:
    """Coverage of a line of text, cropped to it, turned by ``turn`` quarters; float32 [h, w]."""
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(text)
    page = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
    ImageDraw.Draw(page).text((2 - left, 2 - top), text, 255, font)
    return np.rot90(np.asarray(page, np.float32) / 255.0, turn)


def write(cover: Array, text: str, x: float, y: float, size: int, turn: int = 0, left: bool = False) -> None:
    """Add text to a coverage in place, its middle (or the middle of its left edge) at (x, y)."""
    ink = lettering(text, size, turn)
    row, column = int(y - ink.shape[0] / 2), int(x - (0 if left else ink.shape[1] / 2))
    part = cover[max(row, 0) : row + ink.shape[0], max(column, 0) : column + ink.shape[1]]
    ink = ink[max(-row, 0) :, max(-column, 0) :]
    np.maximum(part, ink[: part.shape[0], : part.shape[1]], out=part)


def blob(rng: Rng, centre: Sequence[float], radius: float, rough: float = 0.3, soft: float = 3.0) -> Array:
    """Coverage of an irregular patch of about that radius; ``soft`` is the width of its edge, pixels."""
    x, y = grid()
    squash, turn = rng.uniform(0.65, 1.0), rng.uniform(0, np.pi)
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    away = cv2.magnitude(dx * cos + dy * sin, (dy * cos - dx * sin) / np.float32(squash))
    ragged = fractal(rng, max(4, round(CANVAS / (1.6 * radius))), 4)
    return np.clip((radius * (1.0 + rough * 0.5 * ragged) - away) / soft + 0.5, 0.0, 1.0).astype(np.float32)


def curve(rng: Rng, centre: Sequence[float], length: float, angle: float, bend: float) -> Array:
    """A gently bent path through ``centre`` [24, 2]."""
    along = np.linspace(-0.5, 0.5, 24)
    aside = bend * (along**2 - 0.08) * length + rng.normal(0, 0.004 * length, 24).cumsum() * 0.3
    across = np.array([-np.sin(angle), np.cos(angle)])
    ahead = np.array([np.cos(angle), np.sin(angle)])
    return np.asarray(centre) + np.outer(along * length, ahead) + np.outer(aside, across)


def wander(rng: Rng, start: Sequence[float], angle: float, steps: int, stride: float, jitter: float) -> Array:
    """A path that changes its mind at every step, as cracks do [steps, 2]."""
    headings = angle + rng.normal(0, jitter, steps).cumsum() * 0.4 + rng.normal(0, jitter, steps)
    moves = np.stack([np.cos(headings), np.sin(headings)], 1) * stride
    return np.asarray(start) + moves.cumsum(0)


def scratch(layers: Layers, rng: Rng, path: Array, width: float, color: Sequence[float], depth: float = 1.6) -> None:
    """Cut a groove along the path: it lays bare another colour and catches the light on one flank."""
    groove = line(path, width)
    patchy = np.clip(0.85 + 0.3 * fractal(rng, 24, 2), 0.3, 1.0)
    paint(layers, groove * patchy, color)
    layers.height -= cv2.GaussianBlur(groove, (0, 0), 0.8) * np.float32(depth)


def crack(layers: Layers, rng: Rng, start: Sequence[float], angle: float, steps: int = 26) -> None:
    """Break the surface along a wandering, branching line."""
    path = wander(rng, start, angle, steps, 7.0, 0.32)
    cover = line(path, 3)
    for at in rng.integers(5, steps - 4, 2):
        branch = wander(rng, path[at], angle + rng.choice([-0.9, 0.9]), 9, 6.0, 0.35)
        cover = np.maximum(cover, line(branch, 2))
    paint(layers, cover * 0.9, (0.07, 0.065, 0.06), 0.0)
    layers.height -= cv2.GaussianBlur(cover, (0, 0), 1.2) * 3.0


def dent(layers: Layers, rng: Rng, centre: Sequence[float], radius: float, depth: float) -> None:
    """Press the surface in, with a slight rim."""
    inside = cv2.GaussianBlur(blob(rng, centre, radius, 0.25, radius * 0.5), (0, 0), radius * 0.2)
    rim = cv2.GaussianBlur(inside, (0, 0), radius * 0.3)
    layers.height -= (inside * 1.25 - rim * 0.25) * np.float32(depth)


def stain(
    layers: Layers,
    rng: Rng,
    centre: Sequence[float],
    radius: float,
    tint: Sequence[float],
    gloss: float | None = None,
) -> None:
    """Soak the surface with something darker, deepest at the edge as dried drops are."""
    patch = blob(rng, centre, radius, 0.6, 6.0)
    rim = np.clip(patch * (1.0 - patch) * 3.2, 0, 1)
    uneven = np.clip(0.75 + 0.2 * fractal(rng, 24, 4), 0.3, 1.0)
    strength = np.clip(patch * uneven * 0.9 + rim * 0.25, 0, 1)
    paint(layers, strength, layers.albedo * np.asarray(tint, np.float32), gloss)
