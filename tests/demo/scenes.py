"""Parts under conditions that the data set does not have: turned, in clutter, with spots of a size, of wood, bent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from board import board
from label import label
from machined import gear, nut
from marks import blob, box, crack, curve, line, stain
from parts import CATEGORIES, Kind, draw, streams
from surface import CANVAS, Array, Layers, Rng, cast_shadow, fractal, grid, paint, photograph, shade

__all__ = [
    "CABLE",
    "NUT_REGION",
    "SPOT_REGION",
    "TURNED_LABEL",
    "WOOD",
    "bench_ground",
    "cluttered",
    "glossy",
    "spotted",
]

Region = tuple[int, int, int, int]

NUT_REGION: Region = (144, 144, 224, 224)
"""Where `cluttered` puts the nut: x, y, width, height of its 512 x 512 pixels."""
SPOT_REGION: Region = (256, 0, 256, 256)
"""The quarter of a `spotted` picture that holds the spot."""
TURNED_LABEL = CATEGORIES["label"]._replace(angle=180.0, shift=14.0, scale=0.66)
"""A printed label that lies at any angle."""

_LAMP = -2.2
_BENCH = (0.47, 0.44, 0.40)


class Piece(NamedTuple):
    """A part on the bench: turned by degrees, shifted from the middle by canvas pixels, scaled."""

    layers: Layers
    angle: float = 0.0
    shift: Sequence[float] = (0.0, 0.0)
    scale: float = 1.0
    lathe: bool = False


def bench(pieces: Sequence[Piece], light: Rng, camera: Rng, colour: Sequence[float] = _BENCH) -> Array:
    """Photograph parts that lie on one ground; uint8 RGB [512, 512, 3]."""
    azimuth = float(light.normal(_LAMP, 0.10))
    grain = 1.0 + 0.06 * fractal(light, 60, 2) + 0.05 * fractal(light, 5, 3)
    seen = np.float32(colour) * grain[..., None]
    for piece in pieces:
        posed = piece.layers.posed(piece.angle, piece.shift, piece.scale)
        posed.height *= np.float32(piece.scale)
        centre = np.asarray(piece.shift) + CANVAS / 2 if piece.lathe else None
        alpha = posed.alpha[..., None]
        ground = cast_shadow(seen, posed.alpha, azimuth, 12.0 * piece.scale)
        seen = shade(posed, azimuth, centre) * alpha + ground * (1 - alpha)
    return photograph(seen, camera)[0]


def bench_ground(kind: Kind) -> Array:
    """What a kind of part lies on, without a part; uint8 RGB [256, 256, 3]."""

    def nothing(rng: Rng, defect: str | None, fault: Rng) -> Layers:
        part = Layers.blank()
        part.alpha = np.zeros_like(part.alpha)
        return part

    return draw(kind._replace(draw=nothing), "ground").image


def cluttered(group: str, index: int, defect: str | None = None) -> Array:
    """A nut in its place, and other parts that lie around it anyhow; uint8 RGB [512, 512, 3]."""
    piece, damage, light, camera = streams(f"clutter/{group}", index, 0, ("piece", "damage", "light", "camera"))
    around = [(x, y) for x in (-205, 0, 205) for y in (-205, 0, 205) if (x, y) != (0, 0)]
    others = []
    for x, y in light.permutation(np.array(around))[: int(light.integers(2, 6))]:
        kind = (gear, label, board, nut)[int(light.integers(4))]
        shift = (x + light.uniform(-6, 6), y + light.uniform(-6, 6))
        others.append(Piece(kind(light, None, light), light.uniform(-180, 180), shift, light.uniform(0.18, 0.25)))
    place = light.uniform(-3, 3, 2)
    return bench([*others, Piece(nut(piece, defect, damage), light.uniform(-2, 2), place, 0.5, True)], light, camera)


def spotted(surface: str, size: float, index: int, group: str = "spot") -> Array:
    """A surface with one dark spot, ``size`` pixels of 224 across (0: none); uint8 RGB [512, 512, 3]."""
    piece, damage, light, camera = streams(f"{surface}/{group}", index, 0, ("piece", "damage", "light", "camera"))
    kind = CATEGORIES[surface]
    part = kind.draw(piece, None, damage)
    if surface == "gear":
        turn = damage.uniform(-1.3, -0.3)
        spot = CANVAS / 2 + 171 * np.array([np.cos(turn), np.sin(turn)])
    else:
        spot = damage.uniform((310, 60), (450, 200))
    if size:
        paint(part, blob(damage, spot, size * CANVAS / 224 / 2, 0.2, 1.5), (0.10, 0.09, 0.09), 0.0)
    if kind.background is None:
        return photograph(shade(part, float(light.normal(_LAMP, 0.10))), camera)[0]
    posed = Piece(part, light.uniform(-kind.angle, kind.angle), light.uniform(-kind.shift, kind.shift, 2), 1.0, True)
    return bench([posed], light, camera, kind.background)


def glossy(
    group: str, index: int, turn: float = 0.0, light: float = 1.0, glare: bool = False, defect: str | None = None
) -> Array:
    """A brass nut, its lamp ``turn`` radians from where it was and as bright as ``light``; uint8 RGB [256, 256, 3].

    ``glare``: a lamp is mirrored in its face, somewhere along the ring.
    """
    kind = CATEGORIES["nut"]._replace(lamp=(_LAMP + turn, 0.10))
    photo = draw(kind, f"glossy/{group}", defect, index).image * np.float32(light)
    if glare:
        (rng,) = streams(f"glossy/{group}", index, 0, ("glare",))
        at = CANVAS / 2 + 138 * np.array([np.cos(way := rng.uniform(-np.pi, np.pi)), np.sin(way)])
        lamp = cv2.GaussianBlur(box(*at, 92, 22, np.rad2deg(way) + 90), (0, 0), 4.0)
        photo += 110 * cv2.resize(lamp, photo.shape[1::-1], interpolation=cv2.INTER_AREA)[..., None]
    return np.clip(photo + 0.5, 0, 255).astype(np.uint8)


def wood(rng: Rng, defect: str | None, fault: Rng) -> Layers:
    """A planed plank: rings, colour and knots differ from piece to piece."""
    x, y = grid()
    heart, pitch = CANVAS * rng.uniform(-1.2, 2.2), rng.uniform(16, 44)
    away = np.abs(x - np.float32(heart)) + 26 * fractal(rng, 2, 3, 2.0).T
    tone = rng.uniform(0.78, 1.15)
    for _ in range(int(rng.integers(0, 3))):
        knot, size = rng.uniform(60, CANVAS - 60, 2), rng.uniform(10, 24)
        bend = np.exp(-(((x - knot[0]) / (2.2 * size)) ** 2) - ((y - knot[1]) / (4 * size)) ** 2)
        away += (2.6 * size) * bend.astype(np.float32)
    rings = np.sin(away * np.float32(2 * np.pi / pitch)) + 0.4 * np.sin(away * np.float32(4 * np.pi / pitch))
    fibre = fractal(rng, 200, 2, 20.0).T
    part = Layers.blank((0.66, 0.47, 0.29))
    part.albedo *= (tone * (1.0 + 0.09 * rings + 0.05 * fibre))[..., None]
    spot = fault.uniform(120, CANVAS - 120, 2)
    if defect == "crack":
        crack(part, fault, spot, np.pi / 2 + fault.normal(0, 0.15), 24)
    elif defect == "ink":
        paint(part, line(curve(fault, spot, fault.uniform(70, 130), fault.uniform(0, 3), 0.4), 7), (0.13, 0.16, 0.36))
    elif defect == "faint_stain":
        stain(part, fault, spot, fault.uniform(30, 46), (0.80, 0.78, 0.74))
    return part


def cable(rng: Rng, defect: str | None, fault: Rng) -> Layers:
    """A rubber cable that lies bent otherwise each time."""
    along = np.linspace(0, 1, 60)
    waves = sum(rng.normal(0, 62 / n) * np.sin(np.pi * n * along + rng.uniform(0, np.pi)) for n in (1, 2, 3))
    path = np.stack([40 + 432 * along, CANVAS / 2 + waves - np.mean(waves)], 1)
    cover = line(path, 40)
    inside = cv2.distanceTransform((cover > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    part = Layers.blank((0.13, 0.13, 0.14), gloss=0.25)
    part.albedo *= (1.0 + 0.05 * fractal(rng, 60, 2))[..., None]
    part.height = cv2.GaussianBlur(np.sqrt(np.maximum(inside * (40 - inside), 0)), (0, 0), 2.0)
    part.alpha = cover
    if defect == "cut":
        where = path[int(fault.integers(12, 48))]
        paint(part, blob(fault, where, fault.uniform(15, 19), 0.3, 2.0), (0.74, 0.44, 0.27), 0.5)
    return part


WOOD = Kind(wood, ("crack", "ink", "faint_stain"))
CABLE = Kind(cable, ("cut",), 1.0, 1.5, (0.55, 0.54, 0.51), 12.0)
