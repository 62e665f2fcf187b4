"""Machined parts, each with its own defects: a steel spur gear and a brass hexagon nut."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from marks import blob, box, crack, curve, dent, disc, polygon, scratch, stain
from surface import CANVAS, Array, Layers, Rng, fractal, grid

__all__ = ["gear", "nut"]

MIDDLE = CANVAS / 2
TEETH = 26
NUT_CORNER = 196.0


def polar(radius: float | Array, angle: float | Array) -> Array:
    """Points (x, y) about the middle of the canvas, [2] or [n, 2]."""
    return MIDDLE + np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)


def chamfer(cover: Array, width: float, drop: float) -> Array:
    """Height of a plate of that outline whose edge falls by ``drop`` over ``width`` pixels."""
    inside = cv2.distanceTransform((cover > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    slope = np.clip(inside / np.float32(width), 0, 1)
    return cv2.GaussianBlur((slope - 1.0) * np.float32(drop), (0, 0), 1.0)


def turned(rng: Rng, strength: float) -> Array:
    """Brightness of a lathe-turned face: fine concentric grooves."""
    x, y = grid()
    fine = cv2.GaussianBlur(rng.standard_normal((1, CANVAS), dtype=np.float32), (0, 0), 0.9)
    broad = cv2.GaussianBlur(rng.standard_normal((1, CANVAS), dtype=np.float32), (0, 0), 5.0)
    away = cv2.magnitude(x - MIDDLE, y - MIDDLE)
    return 1.0 + np.float32(strength) * cv2.remap(fine + 1.5 * broad, away, away * 0, cv2.INTER_LINEAR)


@lru_cache(maxsize=TEETH + 1)
def gear_outline(broken: int | None) -> Array:
    """Coverage of the gear with its bore and holes; the tooth ``broken`` ends a quarter of the way up."""
    root, tip, pitch = 186.0, 214.0, 2 * np.pi / TEETH
    flank = np.array([-0.30, -0.26, -0.155, -0.12, 0.12, 0.155, 0.26, 0.30]) * pitch
    teeth = []
    for tooth in range(TEETH):
        top = root + 0.25 * (tip - root) if tooth == broken else tip
        radii = np.array([root, root + 1.5, top - 2.5, top, top, top - 2.5, root + 1.5, root])
        teeth.append(polar(radii, flank + tooth * pitch))
    solid = polygon(np.concatenate(teeth))
    solid *= 1 - np.maximum(disc(MIDDLE, MIDDLE, 42), box(MIDDLE, MIDDLE - 44, 22, 26))
    for turn in np.arange(6) * np.pi / 3 + np.pi / 6:
        solid *= 1 - disc(*polar(118.0, turn), 27)
    return solid


@lru_cache(maxsize=TEETH + 1)
def bare_gear(broken: int | None) -> Layers:
    """The gear before any of a piece's own texture."""
    solid = gear_outline(broken)
    web = (1 - disc(MIDDLE, MIDDLE, 76)) * disc(MIDDLE, MIDDLE, 158)
    part = Layers.blank((0.66, 0.66, 0.67), gloss=0.85)
    part.height = chamfer(solid, 6, 7) - cv2.GaussianBlur(web, (0, 0), 2.2) * 9.0
    part.albedo *= (1 - 0.17 * web)[..., None]
    part.alpha = solid
    return part


def gear(rng: Rng, defect: str | None, fault: Rng) -> Layers:
    """A steel spur gear with a hub, a keyed bore and six lightening holes."""
    part = bare_gear(int(fault.integers(TEETH)) if defect == "broken_tooth" else None).copy()
    part.albedo *= (turned(rng, 0.035) * (1.0 + 0.02 * fractal(rng, 9, 4)))[..., None]
    turn = fault.uniform(0, 2 * np.pi)
    if defect == "scratch":
        path = curve(fault, polar(fault.uniform(135, 170), turn), fault.uniform(80, 150), turn + 1.2, 0.25)
        scratch(part, fault, path, 4, (0.97, 0.97, 0.98), 2.4)
    elif defect == "dent":
        dent(part, fault, polar(fault.uniform(164, 182), turn), fault.uniform(13, 19), 13.0)
    elif defect == "rust":
        for _ in range(4):
            at = polar(fault.uniform(85, 175), turn + fault.normal(0, 0.16))
            stain(part, fault, at, fault.uniform(11, 24), (0.70, 0.40, 0.23), 0.06)
    return part


@lru_cache(maxsize=1)
def bare_nut() -> Layers:
    """The nut before any of a piece's own texture."""
    x, y = grid()
    away = cv2.magnitude(x - MIDDLE, y - MIDDLE)
    angle = np.arctan2(y - MIDDLE, x - MIDDLE)
    outline = polygon(polar(np.full(6, NUT_CORNER), np.arange(6) * np.pi / 3))
    hole = disc(MIDDLE, MIDDLE, 88)
    bore = disc(MIDDLE, MIDDLE, 108, soft=2.0) * (1 - hole)
    thread = np.sin(away * np.float32(2 * np.pi / 9.0) - angle)
    part = Layers.blank((0.80, 0.65, 0.36), gloss=0.8)
    part.height = chamfer(outline, 4, 4) - np.clip(away - 172, 0, 60) * 0.32 - np.clip(110 - away, 0, 24) * 0.8
    part.albedo *= ((1 - bore * (0.22 + 0.2 * thread)) * (1 - 0.07 * (away > 175)))[..., None]
    dark = np.clip(cv2.GaussianBlur(hole, (0, 0), 3.0) * 1.2 - 0.15, 0, 1) * hole
    part.albedo += (np.float32((0.05, 0.045, 0.04)) - part.albedo) * dark[..., None]
    part.gloss *= 1 - dark
    part.alpha = outline
    return part


def nut(rng: Rng, defect: str | None, fault: Rng) -> Layers:
    """A brass hexagon nut with a chamfered, threaded hole."""
    part = bare_nut().copy()
    part.albedo *= (turned(rng, 0.03) * (1.0 + 0.03 * fractal(rng, 8, 4)))[..., None]
    turn = fault.uniform(0, 2 * np.pi)
    spot = polar(fault.uniform(128, 155), turn)
    if defect == "scratch":
        path = curve(fault, spot, fault.uniform(80, 140), turn + fault.uniform(0.7, 2.4), 0.3)
        scratch(part, fault, path, 4, (0.97, 0.92, 0.78), 2.4)
    elif defect == "crack":
        crack(part, fault, polar(104.0, turn), turn, 12)
    elif defect == "chipped_corner":
        at = polar(NUT_CORNER - 4, float(fault.integers(6)) * np.pi / 3)
        gone = blob(fault, at, fault.uniform(22, 32), 0.55, 2.0)
        edge = cv2.GaussianBlur(gone, (0, 0), 4.0)
        part.alpha *= 1 - gone
        part.albedo *= (1 - 0.5 * edge)[..., None]
        part.height -= edge * 9 * (1 + 0.3 * fractal(fault, 40, 2))
    elif defect == "tarnish":
        for _ in range(3):
            at = spot + fault.normal(0, 14, 2)
            stain(part, fault, at, fault.uniform(14, 30), (0.46, 0.40, 0.36), 0.2)
    return part
