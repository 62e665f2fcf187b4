"""Surfaces without a pose, each with its own defects: woven cloth, brushed aluminium and glazed stone tile."""

from __future__ import annotations

import cv2
import numpy as np
from marks import blob, crack, curve, dent, line, scratch, stain, wander
from surface import CANVAS, Array, Layers, Rng, fractal, grid, paint

__all__ = ["aluminium", "cloth", "tile"]


def anywhere(fault: Rng, margin: float = 110.0) -> Array:
    """A place (x, y) that far from the edge."""
    return fault.uniform(margin, CANVAS - margin, 2)


def weave(rng: Rng, pitch: float, slack: tuple[Array, Array]) -> tuple[Array, Array, Array]:
    """A plain weave: height, brightness of every thread, and 1 where a warp thread is on top."""
    x, y = grid()
    angle = np.float32(rng.normal(0, 0.015))
    u = (x + angle * y + slack[0]) / np.float32(pitch) + np.float32(rng.uniform(0, 2))
    v = (y - angle * x + slack[1]) / np.float32(pitch) + np.float32(rng.uniform(0, 2))
    across, along = u - np.floor(u) - np.float32(0.5), v - np.floor(v) - np.float32(0.5)
    column, row = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    warp_up = ((column + row) & 1).astype(np.float32)
    warp = cv2.sqrt(np.maximum(1 - (2.05 * across) ** 2, 0)) * (0.62 + 0.38 * np.cos(along * np.float32(np.pi)))
    weft = cv2.sqrt(np.maximum(1 - (2.05 * along) ** 2, 0)) * (0.62 + 0.38 * np.cos(across * np.float32(np.pi)))
    tone = rng.normal(1.0, 0.055, (2, 256)).astype(np.float32)
    threads = np.where(warp_up > 0, tone[0][column & 255], tone[1][row & 255])
    return np.where(warp_up > 0, warp, weft), threads, warp_up


def cloth(rng: Rng, defect: str | None, fault: Rng) -> Layers:
    """A plain woven technical cloth of two yarns."""
    slack = 1.6 * fractal(rng, 6, 2), 1.6 * fractal(rng, 6, 2)
    spot = anywhere(fault)
    if defect == "pulled_thread":
        x, y = grid()
        hill = np.exp(-(((y - spot[1]) / 26) ** 2) - ((x - spot[0]) / 90) ** 2).astype(np.float32)
        slack = slack[0], slack[1] + 15.0 * hill * np.sign(y - np.float32(spot[1])).astype(np.float32)
    height, threads, warp_up = weave(rng, 11.0, slack)
    part = Layers.blank()
    warp, weft = np.float32((0.46, 0.50, 0.55)), np.float32((0.60, 0.60, 0.57))
    part.albedo = weft + (warp - weft) * warp_up[..., None]
    fibre = 1.0 + 0.05 * rng.standard_normal((CANVAS, CANVAS), dtype=np.float32) + 0.03 * fractal(rng, 4, 2)
    part.albedo *= ((0.35 + 0.65 * height) * threads * fibre)[..., None]
    part.height = height * 4.0
    if defect == "foreign_thread":
        path = wander(fault, spot, fault.uniform(0, 2 * np.pi), 30, 5.5, 0.35)
        shadow = cv2.GaussianBlur(line(path + np.array([4.0, 5.0]), 7), (0, 0), 2.0)
        part.albedo *= (1 - 0.5 * shadow)[..., None]
        thread = line(path, 6)
        paint(part, thread, fault.choice(np.array([(0.72, 0.20, 0.16), (0.85, 0.74, 0.30), (0.12, 0.12, 0.14)])))
        part.height += cv2.GaussianBlur(thread, (0, 0), 2.0) * 5
    elif defect == "hole":
        gone = blob(fault, spot, fault.uniform(15, 26), 0.5, 3.0)
        part.albedo *= (1 - 0.92 * gone)[..., None]
        part.height -= cv2.GaussianBlur(gone, (0, 0), 3.0) * 8
        for _ in range(9):
            way = fault.uniform(0, 2 * np.pi)
            end = spot + 22 * np.array([np.cos(way), np.sin(way)])
            fray = wander(fault, end, way + np.pi + fault.normal(0, 0.5), 5, 4.0, 0.4)
            paint(part, line(fray, 2), (0.58, 0.59, 0.58))
    elif defect == "oil":
        stain(part, fault, spot, fault.uniform(34, 56), (0.52, 0.47, 0.40))
    return part


def aluminium(rng: Rng, defect: str | None, fault: Rng) -> Layers:
    """A brushed aluminium sheet under a strip light."""
    x, y = grid()
    fine = cv2.GaussianBlur(rng.standard_normal((CANVAS, CANVAS), dtype=np.float32), (0, 0), 34.0, sigmaY=0.6)
    coarse = fractal(rng, 128, 2, stretch=24.0)
    grain = 0.05 * fine / np.float32(fine.std()) + 0.035 * coarse
    band = np.exp(-(((x + 0.15 * y - np.float32(256 + rng.normal(0, 14))) / 190) ** 2)).astype(np.float32)
    part = Layers.blank((0.60, 0.61, 0.63), gloss=0.35)
    part.albedo *= ((0.82 + 0.30 * band) * (1.0 + grain + 0.02 * fractal(rng, 3, 2)))[..., None]
    spot = anywhere(fault)
    if defect == "scratch":
        path = curve(fault, spot, fault.uniform(110, 240), fault.uniform(0.35, 2.8), 0.25)
        scratch(part, fault, path, 3, (0.93, 0.94, 0.95), 2.2)
    elif defect == "dent":
        dent(part, fault, spot, fault.uniform(16, 30), 12.0)
    elif defect == "fingerprint":
        patch = blob(fault, spot, fault.uniform(34, 44), 0.2, 14)
        bent = np.hypot(x - spot[0], (y - spot[1] - 14) * 0.72) + 4 * fractal(fault, 9, 2)
        ridges = 0.5 + 0.5 * np.sin(bent * np.float32(2 * np.pi / 8.5))
        part.albedo *= (1 - 0.26 * patch * (0.35 + 0.65 * ridges))[..., None]
    elif defect == "corrosion":
        for _ in range(9):
            at = spot + fault.normal(0, 20, 2)
            pit = blob(fault, at, fault.uniform(3, 9), 0.6, 3.0)
            paint(part, pit * 0.85, (0.30, 0.27, 0.24), 0.0)
            part.height -= pit * 2
    return part


def tile(rng: Rng, defect: str | None, fault: Rng) -> Layers:
    """A glazed stoneware tile with speckles of three minerals."""
    base = fractal(rng, 48, 4)
    part = Layers.blank((0.60, 0.57, 0.52))
    part.albedo *= (1.0 + 0.05 * base + 0.03 * fractal(rng, 5, 3))[..., None]
    for level, color in ((1.15, (0.26, 0.24, 0.23)), (1.25, (0.80, 0.78, 0.74)), (1.5, (0.50, 0.36, 0.28))):
        speck = np.clip((fractal(rng, 56, 3) - np.float32(level)) * 2.5, 0, 1)
        paint(part, speck * 0.8, color)
    part.height = 0.25 * base
    spot = anywhere(fault)
    if defect == "crack":
        crack(part, fault, spot, fault.uniform(0, 2 * np.pi), 24)
    elif defect == "chip":
        gone = blob(fault, spot, fault.uniform(20, 32), 0.6, 2.5)
        paint(part, gone * 0.9, (0.74, 0.68, 0.60))
        facets = fractal(fault, 30, 3)
        part.height -= cv2.GaussianBlur(gone, (0, 0), 4.0) * (9 + 3 * facets)
    elif defect == "glue":
        patch = blob(fault, spot, fault.uniform(30, 46), 0.45, 4.0)
        paint(part, patch * 0.6, (0.86, 0.84, 0.74))
        part.height += cv2.GaussianBlur(patch, (0, 0), 5.0) * 9
    elif defect == "pen_mark":
        loops = np.linspace(0, 5 * np.pi, 60)
        drift = np.stack([loops * 9 + 22 * np.cos(loops), 22 * np.sin(loops)], 1)
        turn = fault.uniform(0, np.pi)
        spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        paint(part, line(spot + (drift - drift.mean(0)) @ spin, 5) * 0.8, (0.13, 0.16, 0.36))
    return part
