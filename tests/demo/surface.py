"""A small renderer: layers of a surface, a light and a camera. Enough to look like a photo of a part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

__all__ = [
    "CANVAS",
    "SIZE",
    "Array",
    "Layers",
    "Rng",
    "cast_shadow",
    "develop",
    "fractal",
    "grid",
    "paint",
    "photograph",
    "shade",
]

SIZE = 256
"""Side of a finished picture, pixels."""
CANVAS = 2 * SIZE
"""Side of the canvas that is drawn on; averaging it down antialiases everything."""

Array = np.ndarray
Rng = np.random.Generator


@dataclass
class Layers:
    """What a surface is made of; every layer is float32 [h, w], the albedo [h, w, 3].

    ``albedo`` is RGB in [0, 1], ``height`` in canvas pixels towards the camera, ``gloss`` in [0, 1] (1 is
    bare metal) and ``alpha`` in [0, 1] is 1 where the part is and 0 where its background shows.
    """

    albedo: Array
    height: Array
    gloss: Array
    alpha: Array

    @classmethod
    def blank(cls, color: Sequence[float] = (0.5, 0.5, 0.5), gloss: float = 0.0) -> Layers:
        """A flat surface of one colour, as large as the canvas."""
        plane = np.ones((CANVAS, CANVAS), np.float32)
        return cls(plane[..., None] * np.float32(color), plane * 0, plane * np.float32(gloss), plane)

    def copy(self) -> Layers:
        """An independent copy."""
        return Layers(self.albedo.copy(), self.height.copy(), self.gloss.copy(), self.alpha.copy())

    def window(self, x: float, y: float, reach: float) -> tuple[Layers, float, float]:
        """A view of the square about (x, y), and where (x, y) lies in it: painting it paints the whole."""
        left, top = max(0, int(x - reach)), max(0, int(y - reach))
        cut = np.s_[top : int(y + reach), left : int(x + reach)]
        return Layers(self.albedo[cut], self.height[cut], self.gloss[cut], self.alpha[cut]), x - left, y - top

    def posed(self, angle: float, shift: Sequence[float], scale: float) -> Layers:
        """The surface turned by ``angle`` degrees about the centre, scaled, and shifted by canvas pixels."""
        matrix = cv2.getRotationMatrix2D((CANVAS / 2, CANVAS / 2), angle, scale)
        matrix[:, 2] += shift
        layers = (self.albedo, self.height, self.gloss, self.alpha)
        return Layers(*(cv2.warpAffine(layer, matrix, (CANVAS, CANVAS)) for layer in layers))


@lru_cache(maxsize=1)
def grid() -> tuple[Array, Array]:
    """Coordinates (x, y) of the canvas in pixels, float32 [CANVAS, CANVAS] each."""
    y, x = np.mgrid[:CANVAS, :CANVAS].astype(np.float32)
    return x, y


def fractal(rng: Rng, cells: int, octaves: int = 3, stretch: float = 1.0, size: int = CANVAS) -> Array:
    """Smooth noise of mean 0 and deviation about 1: ``cells`` lumps across, then finer octaves half as high.

    ``stretch`` > 1 draws the lumps out along x. float32 [size, size].
    """
    total = np.zeros((1, 1), np.float32)
    for octave in range(octaves):
        rows = min(cells * 2**octave, size)
        columns = max(2, round(rows / stretch))
        finer = rng.standard_normal((rows, columns), dtype=np.float32) * np.float32(0.5**octave)
        total = finer + cv2.resize(total, (columns, rows), interpolation=cv2.INTER_CUBIC)
    total /= np.float32(total.std() + 1e-6)
    return cv2.resize(total, (size, size), interpolation=cv2.INTER_CUBIC)


def paint(layers: Layers, cover: Array, color: Sequence[float] | Array, gloss: float | None = None) -> None:
    """Lay a colour (and gloss) over the surface in place, where ``cover`` in [0, 1] says."""
    layers.albedo += (np.asarray(color, np.float32) - layers.albedo) * cover[..., None]
    if gloss is not None:
        layers.gloss += (np.float32(gloss) - layers.gloss) * cover


def shade(layers: Layers, azimuth: float, turned: Sequence[float] | None = None) -> Array:
    """Light the surface with one soft lamp and the sky of a light tent; float32 RGB [CANVAS, CANVAS, 3].

    ``azimuth`` is the lamp's direction in radians (0 = right, pi/2 = below). ``turned`` is the centre (x, y) of
    a lathe-turned face, which gives metal the two bright fans that such faces show.
    """
    towards = np.float32(np.cos(azimuth)), np.float32(np.sin(azimuth))
    height = layers.height.astype(np.float32, copy=False)
    dx = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    dy = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    flat = 1.0 / cv2.sqrt(1.0 + dx * dx + dy * dy)
    tilt = -(dx * towards[0] + dy * towards[1]) * flat
    light = 0.3 + 0.7 * np.clip(flat + 0.87 * tilt, 0.0, 2.2)
    if not layers.gloss.any():
        return layers.albedo * light[..., None]
    glint = tilt - 0.42
    mirror = 0.8 * flat + 0.95 * cv2.exp(glint * glint * -9.0) + 0.22 * np.minimum(tilt, 0)
    if turned is not None:
        x, y = grid()
        x, y = x - np.float32(turned[0]), y - np.float32(turned[1])
        fan = (x * towards[0] + y * towards[1]) ** 2 / (x * x + y * y + 1.0)
        mirror += (0.5 * fan * fan - 0.1) * flat**4
    return layers.albedo * (light + (mirror - light) * layers.gloss)[..., None]


def cast_shadow(background: Array, alpha: Array, azimuth: float, length: float) -> Array:
    """Darken the background where a part of that outline keeps the lamp's light away (``length`` in pixels)."""
    small = cv2.resize(alpha, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    move = np.array([[1, 0, -length / 2 * np.cos(azimuth)], [0, 1, -length / 2 * np.sin(azimuth)]], np.float32)
    soft = cv2.warpAffine(cv2.GaussianBlur(small, (0, 0), length * 0.3), move, small.shape[::-1])
    cast = cv2.resize(soft, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return background * (1.0 - np.float32(0.62) * cast)[..., None]


def develop(scene: Array) -> Array:
    """Average the canvas down to the finished picture's size."""
    return cv2.resize(scene, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def photograph(scene: Array, rng: Rng, noise: float = 0.011) -> tuple[Array, Array]:
    """Take the picture: uneven light, white balance, lens blur and sensor noise.

    ``scene`` is float32 RGB [side, side, 3], no larger than the canvas. Returns the photo as uint8 and the same without
    noise as float32 in [0, 1]. What is drawn from ``rng`` does not depend on the scene, so two scenes may be
    photographed alike.
    """
    side = scene.shape[0]
    x, y = (plane[:side, :side] * np.float32(2 / side) - 1 for plane in grid())
    direction, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.02, 0.11)
    across = x * np.float32(strength * np.cos(direction)) + y * np.float32(strength * np.sin(direction))
    lamp = (1.0 + across - 0.08 * (x * x + y * y)) * np.float32(rng.uniform(0.95, 1.05))
    balance = np.float32(1.0) + rng.normal(0, 0.008, 3).astype(np.float32)
    lit = scene * (lamp[..., None] * balance)
    film = np.clip(cv2.GaussianBlur(lit, (0, 0), rng.uniform(0.45, 0.75)), 0.0, 1.25)
    film = np.minimum(film, 0.8) + 0.2 * np.tanh(np.maximum(film - 0.8, 0) * 5)
    grain = rng.standard_normal(film.shape, dtype=np.float32) * np.float32(noise) * cv2.sqrt(0.25 + film)
    return np.clip((film + grain) * 255.0 + 0.5, 0, 255).astype(np.uint8), film
