"""A drawn screw that lies anywhere at any angle, and its small defects: the pose of every picture is known exactly.

A body of revolution under a lamp that stays where it is, so a turned screw is not a turned picture of it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["DEFECTS", "UPRIGHT", "ScrewPose", "draw_screw", "random_pose"]

DEFECTS = ("thread", "scratch", "tip", "head", "dent")

Array = NDArray[np.float64]
Marks = NDArray[np.bool_]
_OVER = 2
_LENGTH = 0.36
_LAMP = (0.35, -0.45, 0.82)
_BACKGROUND = np.array([196.0, 199.0, 203.0])
_STEEL = np.array([150.0, 148.0, 142.0])
_OUTLINE = ([-1.0, -0.86, -0.6, -0.56, 0.82, 1.0], [0.31, 0.31, 0.135, 0.125, 0.125, 0.015])


class ScrewPose(NamedTuple):
    """``angle`` in degrees, clockwise as seen; ``dx``, ``dy``: shift of its middle in parts of the frame; ``scale``."""

    angle: float = 0.0
    dx: float = 0.0
    dy: float = 0.0
    scale: float = 1.0


UPRIGHT = ScrewPose()


def random_pose(rng: np.random.Generator, shift: float = 0.1, scale: float = 0.02) -> ScrewPose:
    """Any angle, a shift of up to ``shift`` each way, a scale of up to ``scale`` more or less."""
    dx, dy = rng.uniform(-shift, shift, 2)
    return ScrewPose(rng.uniform(-180, 180), dx, dy, 1 + rng.uniform(-scale, scale))


def draw_screw(
    rng: np.random.Generator, pose: ScrewPose = UPRIGHT, defect: str | None = None, size: int = 400
) -> tuple[NDArray[np.uint8], Marks]:
    """Return the photo, uint8 RGB [size, size, 3], and where the defect is, bool [size, size].

    Lamp, noise and the part's own spread (finish, thread) are drawn from ``rng``; ``defect`` is one of `DEFECTS`.
    """
    axis = (np.arange(size * _OVER) + 0.5) / (size * _OVER) - 0.5
    x, y = np.meshgrid(axis, axis)
    turn, unit = math.radians(pose.angle), _LENGTH * pose.scale
    u = (math.cos(turn) * (x - pose.dx) + math.sin(turn) * (y - pose.dy)) / unit
    v = (math.cos(turn) * (y - pose.dy) - math.sin(turn) * (x - pose.dx)) / unit
    height, radius, mark = _body(rng, u, v, defect)
    albedo = 1 + rng.normal(0, 0.03) + np.interp(u * 60 % 256, np.arange(257), rng.normal(0, 0.03, 257))
    if defect == "scratch":
        away = np.abs(v - rng.uniform(-0.6, 0.6) * (u + 0.45))
        albedo = np.where((away < 0.014) & (np.abs(u + 0.45) < 0.13), albedo * 0.55, albedo)
        mark = (away < 0.03) & (np.abs(u + 0.45) < 0.14)
    steel = _STEEL * (_shade(rng, height * unit, axis[1] - axis[0]) * albedo)[..., None]
    slope = rng.normal(0, 0.03, 2)
    ground = _BACKGROUND * (1 + slope[0] * x + slope[1] * y)[..., None]
    picture = np.where((np.abs(v) < radius)[..., None], steel, ground) * rng.normal(1, 0.02)
    small = picture.reshape(size, _OVER, size, _OVER, 3).mean(axis=(1, 3)) + rng.normal(0, 2.0, (size, size, 1))
    seen = mark.reshape(size, _OVER, size, _OVER).mean(axis=(1, 3)) > 0.3
    return np.clip(np.rint(small), 0, 255).astype(np.uint8), seen


def _body(rng: np.random.Generator, u: Array, v: Array, defect: str | None) -> tuple[Array, Array, Marks]:
    """Height above the axis, radius there, and where the defect is; ``u`` runs from the head's face (-1) to the tip."""
    side, place, phase = rng.choice([-1.0, 1.0]), rng.uniform(0.0, 0.6), rng.normal(0, 0.03)
    mark = np.zeros(u.shape, np.bool_)
    depth = np.full(u.shape, 0.045)
    if defect == "thread":
        mark = (np.abs(u - place) < 0.11) & (side * v > 0.0) & (np.abs(v) < 0.125)
        depth[mark] *= 0.15
    wave = np.abs(((u + 0.25 * v) / 0.118 + phase) % 1.0 - 0.5) * 2
    reach = np.clip((u + 0.3) / 0.08, 0, 1) * np.clip((0.97 - u) / 0.1, 0, 1)
    radius = np.where(np.abs(u) <= 1, np.interp(u, *_OUTLINE) - depth * wave * reach, 0.0)
    if defect == "tip":
        mark = (u > 0.86) & (np.abs(v) < radius)
        radius = np.where(mark, 0.0, radius)
    if defect == "head":
        mark = (u < -0.88) & (side * v > 0.22) & (np.abs(v) < radius)
        radius = np.where(u < -0.88, np.where(side * v > 0, np.minimum(radius, 0.22), radius), radius)
    height = np.sqrt(np.maximum(radius**2 - v**2, 0))
    if defect == "dent":
        distance = np.hypot(u - place + 0.75, v - side * 0.04)
        height = height - 0.05 * np.exp(-((distance / 0.05) ** 2))
        mark = distance < 0.07
    return height, radius, mark


def _shade(rng: np.random.Generator, height: Array, step: float) -> Array:
    """How bright the surface is: matt, and a highlight."""
    across = np.clip(np.gradient(height, step, axis=1), -3, 3)
    down = np.clip(np.gradient(height, step, axis=0), -3, 3)
    lit = np.clip((_LAMP[2] - across * _LAMP[0] - down * _LAMP[1]) / np.sqrt(across**2 + down**2 + 1), 0, 1)
    shade: Array = 0.35 + 0.6 * lit + 0.9 * lit**12 * rng.uniform(0.85, 1.15)
    return shade
