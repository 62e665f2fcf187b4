"""A populated circuit board, and what goes wrong with one."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from marks import blob, box, curve, disc, line, scratch, write
from surface import CANVAS, Array, Layers, Rng, fractal, paint

__all__ = ["board"]

MIDDLE = CANVAS / 2


class Component(NamedTuple):
    """A component on the board: canvas coordinates of its middle, its size, and what is printed on it."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    text: str = ""

    def pads(self) -> list[tuple[float, float, float, float]]:
        """Its tinned pads as boxes (x, y, width, height)."""
        _, x, y, width, height, _ = self
        if self.kind == "header":
            return []
        if self.kind == "can":
            return [(x - 52, y, 22, 18), (x + 52, y, 22, 18)]
        if self.kind == "sot":
            feet = [(x + at, y + height / 2 - 4, 10, 18) for at in (-15, 0, 15)]
            return [(x, y - height / 2 + 4, 36, 18), *feet]
        if self.kind == "chip":
            along = np.arange(-width / 2 + 12, width / 2 - 8, 15.5)
            feet = [(x + at, y + side * (height / 2 + 8), 7.5, 19) for at in along for side in (-1, 1)]
            if width > 100:
                feet += [(x + side * (width / 2 + 8), y + at, 19, 7.5) for at in along for side in (-1, 1)]
            return feet
        if width > height:
            return [(x + side * width * 0.5, y, height * 0.62, height + 3) for side in (-1, 1)]
        return [(x, y + side * height * 0.5, width + 3, width * 0.62) for side in (-1, 1)]


COMPONENTS = (
    Component("chip", 178, 190, 118, 118, "RG-224"),
    Component("sot", 366, 128, 44, 70),
    Component("can", 386, 268, 92, 92, "100"),
    Component("resistor", 104, 356, 50, 26, "103"),
    Component("resistor", 104, 402, 50, 26, "103"),
    Component("resistor", 104, 448, 50, 26, "472"),
    Component("capacitor", 186, 356, 46, 28),
    Component("capacitor", 186, 402, 46, 28),
    Component("resistor", 300, 86, 50, 26, "220"),
    Component("chip", 290, 408, 84, 66, "E5"),
    Component("led", 438, 84, 40, 28),
    Component("header", 440, 408, 44, 136),
    Component("capacitor", 282, 190, 28, 46),
    Component("resistor", 286, 270, 26, 50),
)
LOOSE = (1, 3, 4, 6, 8, 10, 12, 13)
"""Components that may be missing or askew."""
FINISH = {
    "chip": ((0.075, 0.075, 0.08), 0.05, 5.0),
    "sot": ((0.08, 0.08, 0.085), 0.05, 5.0),
    "header": ((0.10, 0.10, 0.105), 0.05, 5.0),
    "resistor": ((0.05, 0.05, 0.055), 0.1, 3.0),
    "capacitor": ((0.56, 0.43, 0.30), 0.1, 3.0),
    "led": ((0.92, 0.90, 0.74), 0.2, 3.0),
}
"""Colour, gloss and height of each kind of body."""
NAMES = (("U1", 96, 128, 17), ("Q1", 366, 76, 15), ("C7", 452, 326, 15), ("R4", 52, 356, 14), ("R5", 52, 402, 14),
         ("R6", 52, 448, 14), ("D1", 438, 54, 14), ("REV C", 190, 470, 17), ("U2", 290, 352, 15))  # fmt: skip
HOLES = ((58, 58), (454, 458), (58, 262))
VIAS = ((236, 470), (330, 470), (226, 96))


def solder(part: Layers, cover: Array) -> None:
    """Tin: bright, rounded."""
    paint(part, cover, (0.74, 0.75, 0.76), 0.85)
    part.height += cv2.GaussianBlur(cover, (0, 0), 2.4) * 3.5


def traces() -> tuple[Array, Array]:
    """Coverage of the copper traces and of the vias at their ends."""
    rng = np.random.default_rng(7)
    copper = box(430, 200, 110, 70) * (1 - disc(386, 268, 50))
    vias = np.zeros_like(copper)
    for start, bends in ((60, 3), (84, 2), (320, 4), (340, 3), (470, 2), (226, 3), (250, 2), (300, 2), (150, 1)):
        x, y, points = 40.0, float(start), [(40.0, float(start))]
        for _ in range(bends):
            x += rng.uniform(60, 130)
            points.append((x, y))
            drop = rng.choice([-1, 1]) * rng.uniform(14, 46)
            x, y = x + abs(drop), float(np.clip(y + drop, 44, 468))
            points.append((x, y))
        copper = np.maximum(copper, line(np.array([*points, (470.0, y)]), int(rng.choice([4, 5, 8]))))
        vias = np.maximum(vias, disc(*points[-1], 7.5))
    return copper, vias


@lru_cache(maxsize=1)
def bare_board() -> Layers:
    """The board before its components: copper under green resist, print, tinned pads."""
    copper, tin = traces()
    ink = np.zeros_like(copper)
    for name in NAMES:
        write(ink, *name)
    for x, y, width, height in ((178, 190, 134, 134), *((104, y, 84, 36) for y in (356, 402, 448))):
        ink = np.maximum(ink, box(x, y, width, height) - box(x, y, width - 5, height - 5))
    ink = np.maximum(ink, disc(386, 268, 55) - disc(386, 268, 52))
    for x, y in HOLES + VIAS:
        tin = np.maximum(tin, disc(x, y, 11 if (x, y) in HOLES else 6))
    for component in COMPONENTS:
        for pad in component.pads():
            tin = np.maximum(tin, box(*pad))
    part = Layers.blank((0.035, 0.235, 0.12), gloss=0.06)
    paint(part, copper * 0.8, (0.06, 0.36, 0.17), 0.15)
    part.height += cv2.GaussianBlur(copper, (0, 0), 1.0) * 1.6
    paint(part, ink * 0.87, (0.86, 0.87, 0.84), 0.0)
    solder(part, tin)
    for x, y in HOLES:
        paint(part, disc(x, y, 6.0), (0.03, 0.03, 0.03), 0.0)
    part.alpha = box(MIDDLE, MIDDLE, CANVAS - 56, CANVAS - 56)
    return part


def raise_body(part: Layers, cover: Array, height: float, soft: float = 1.3) -> None:
    """Put a body on the board: its height, and the shade around its foot."""
    around = cv2.GaussianBlur(cover, (0, 0), 5.0) * (1 - cover)
    part.albedo *= (1 - 0.6 * around)[..., None]
    part.height += cv2.GaussianBlur(cover, (0, 0), soft) * np.float32(height)


def place_can(part: Layers, x: float, y: float, width: float, angle: float, text: str) -> None:
    """An aluminium electrolytic capacitor on its black foot."""
    shape = part.height.shape
    foot = box(x, y, width, width, angle, shape) * (1 - box(x - width / 2, y - width / 2, 18, 18, 45, shape))
    raise_body(part, foot, 4)
    paint(part, foot, (0.06, 0.06, 0.065), 0.05)
    top = disc(x, y, width * 0.46, shape)
    raise_body(part, top, 8, 2.5)
    paint(part, top, (0.66, 0.66, 0.67), 0.75)
    stripe = box(x - width * 0.46, y, width * 0.45, width, angle, shape) * disc(x, y, width * 0.42, shape)
    paint(part, stripe, (0.05, 0.05, 0.06), 0.05)
    mark = np.zeros_like(top)
    write(mark, text, x + 14, y, 19, 3)
    paint(part, mark, (0.1, 0.1, 0.11), 0.1)


def place_pin(whole: Layers, x: float, y: float) -> None:
    """A gilt pin in its well."""
    part, x, y = whole.window(x, y, 26)
    shape = part.height.shape
    paint(part, box(x, y, 24, 19, 0, shape), (0.03, 0.03, 0.03), 0.0)
    pin = box(x, y, 10, 10, 0, shape)
    raise_body(part, pin, 4)
    paint(part, pin, (0.85, 0.72, 0.36), 0.9)


def place(whole: Layers, component: Component, dx: float, dy: float, angle: float) -> None:
    """Mount a component, ``dx``, ``dy`` pixels and ``angle`` degrees off where it belongs."""
    kind, x, y, width, height, text = component
    part, x, y = whole.window(x + dx, y + dy, 0.62 * max(width, height) + 14)
    if kind == "can":
        place_can(part, x, y, width, angle, text)
        return
    shape = part.height.shape
    color, gloss, rise = FINISH[kind]
    cover = box(x, y, width, height, angle, shape)
    raise_body(part, cover, rise)
    paint(part, cover, color, gloss)
    if kind in ("resistor", "capacitor", "led"):
        turn = np.deg2rad(angle if width > height else angle + 90)
        long, short = max(width, height), min(width, height)
        for side in (-0.42, 0.42):
            at = x + side * long * np.cos(turn), y + side * long * np.sin(turn)
            paint(part, box(*at, long * 0.17, short, np.rad2deg(turn), shape), (0.8, 0.8, 0.8), 0.8)
    for row in np.linspace(-height / 2 + 17, height / 2 - 17, 5) if kind == "header" else ():
        place_pin(part, x, y + row)
    mark = np.zeros(shape, np.float32)
    if kind == "chip":
        mark = disc(x - width / 2 + 14, y - height / 2 + 14, 5, shape) * 0.5
        if width > 100:
            write(mark, "2614 K", x, y + 24, 15)
    if text:
        write(mark, text, x, y, 20 if width > 100 else 14)
    paint(part, mark * 0.8, (0.75, 0.75, 0.74), 0.0)


def board(rng: Rng, defect: str | None, fault: Rng) -> Layers:
    """A populated circuit board: chips, resistors, capacitors, a connector, traces and printing."""
    part = bare_board().copy()
    part.albedo *= (1.0 + 0.03 * fractal(rng, 40, 2) + 0.03 * fractal(rng, 4, 2))[..., None]
    hit = int(fault.choice(LOOSE))
    for number, component in enumerate(COMPONENTS):
        dx, dy, angle = (float(value) for value in rng.normal(0, 0.9, 3))
        if number == hit and defect == "missing_part":
            continue
        if number == hit and defect == "skewed_part":
            angle += float(fault.choice([-1, 1])) * fault.uniform(24, 40)
            dx += fault.uniform(-6, 6)
        place(part, component, dx, dy, angle)
    if defect == "solder_bridge":
        side, gap = int(fault.choice([-1, 1])), float(fault.integers(6))
        x, y = 178 - 47 + 15.5 * (gap + 0.5), 190 + side * 71
        solder(part, blob(fault, (x, y), fault.uniform(11, 14), 0.5, 2.0))
    elif defect == "scratch":
        path = curve(fault, fault.uniform(150, 360, 2), fault.uniform(130, 230), fault.uniform(0, np.pi), 0.25)
        scratch(part, fault, path, 4, (0.80, 0.58, 0.38), 2.0)
    return part
