"""A printed product label on a carton, and what goes wrong with one."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from marks import blob, box, curve, disc, line, stain, write
from surface import CANVAS, Array, Layers, Rng, fractal, paint

__all__ = ["label"]

MIDDLE = CANVAS / 2
BARS = "2112131213112123112131221121321211312112"
"""Widths of the bars and gaps of the bar code."""


@lru_cache(maxsize=2)
def label_ink(shifted: bool) -> tuple[Array, Array]:
    """Coverage of the black and of the blue print; ``shifted`` moves the blue plate out of register."""
    black, blue = np.zeros((CANVAS, CANVAS), np.float32), np.zeros((CANVAS, CANVAS), np.float32)
    dx, dy = (9, 7) if shifted else (0, 0)
    blue = np.maximum(blue, box(MIDDLE + dx, 110 + dy, 396, 76))
    cut = np.zeros_like(blue)
    write(cut, "NORDFELD", 82 + dx, 102 + dy, 44, left=True)
    write(cut, "precision bearings", 84 + dx, 134 + dy, 18, left=True)
    cut = np.maximum(cut, disc(410 + dx, 110 + dy, 26) - disc(410 + dx, 110 + dy, 15))
    cut = np.maximum(cut, disc(410 + dx, 110 + dy, 8))
    blue *= 1 - cut
    blue = np.maximum(blue, box(MIDDLE + dx, 428 + dy, 396, 10))
    for text, y, size in (("6204-2RS C3", 184, 34), ("20 x 47 x 14 mm", 220, 22), ("LOT 48213-07", 258, 20),
                          ("MADE IN EU", 282, 20), ("QTY 10", 306, 20)):  # fmt: skip
        write(black, text, 74, y, size, left=True)
    x = 74.0
    for number, wide in enumerate(BARS):
        step = 4.2 * int(wide)
        if number % 2 == 0:
            black = np.maximum(black, box(x + step / 2, 358, step, 62))
        x += step
    write(black, "4 012345 678901", 74 + (x - 74) / 2, 402, 17)
    cells = np.random.default_rng(3).integers(0, 2, (12, 12))
    cells[:, 0], cells[-1, :], cells[0, ::2], cells[::2, -1] = 1, 1, 1, 1
    square = cv2.resize(cells.astype(np.float32), (96, 96), interpolation=cv2.INTER_NEAREST)
    black[222:318, 352:448] = square
    return black, blue


def print_fault(inks: tuple[Array, Array], defect: str | None, fault: Rng, spot: Array) -> tuple[Array, Array]:
    """What can go wrong while printing: the coverage of the black and the blue ink after it."""
    black, blue = inks
    if defect == "missing_print":
        where = fault.choice(np.array([(150, 185), (140, 258), (400, 270), (170, 358), (190, 108)]))
        gone = blob(fault, where, 44, 0.5, 5)
        return black * (1 - gone), blue * (1 - gone)
    if defect == "smear":
        dragged = np.clip(cv2.GaussianBlur(black, (0, 0), 16.0, sigmaY=1.5) * 1.25, 0, 0.85)
        where = blob(fault, spot, fault.uniform(46, 66), 0.3, 16)
        return black + (dragged - black) * where, blue
    return black, blue


def label(rng: Rng, defect: str | None, fault: Rng) -> Layers:
    """A printed paper label on a carton."""
    paper = box(MIDDLE, MIDDLE, 432, 400)
    part = Layers.blank((0.84, 0.83, 0.80))
    part.albedo *= (1.0 + 0.012 * fractal(rng, 90, 2))[..., None]
    part.height = fractal(rng, 5, 2) + cv2.GaussianBlur(paper, (0, 0), 1.0) * 2.0
    wear = np.clip(0.93 + 0.03 * fractal(rng, 60, 2), 0, 1) * 0.95
    spot = fault.uniform((100, 170), (420, 400))
    black, blue = print_fault(label_ink(defect == "misregister"), defect, fault, spot)
    paint(part, blue * wear, (0.05, 0.17, 0.42))
    paint(part, black * wear, (0.06, 0.06, 0.07))
    part.alpha = paper
    if defect == "stain":
        stain(part, fault, spot, fault.uniform(28, 48), (0.72, 0.58, 0.38))
    elif defect == "tear":
        corner = MIDDLE + np.array([fault.choice([-206, 206]), fault.choice([-190, 190])])
        torn = blob(fault, corner, fault.uniform(44, 62), 0.6, 1.5) * paper
        fibre = np.clip(cv2.GaussianBlur(torn, (0, 0), 4.0) * 1.6, 0, 1) * (1 - torn)
        paint(part, fibre, (0.88, 0.87, 0.85))
        part.alpha = paper * (1 - torn)
    elif defect == "crease":
        path = curve(fault, spot, fault.uniform(160, 260), fault.uniform(0, np.pi), 0.3)
        ridge = line(path, 5)
        part.height += cv2.GaussianBlur(ridge, (0, 0), 3.5) * 6.5
        paint(part, cv2.GaussianBlur(ridge, (0, 0), 0.8) * 0.5, (0.9, 0.9, 0.89))
    return part
