"""Augmentation of training images: each image of a pair gets a pose and a light of its own.

Kornia transforms the pixels; what it is told is drawn here, by seed, epoch and step alone, so that a run that goes on
after a kill, or on several processes, sees the same images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["DEFAULT_STRENGTH", "Draws", "Strength", "augment", "draw"]


@dataclass(frozen=True)
class Strength:
    """How far an image may change: each value is the bound of a uniform draw, in both directions.

    ``rotation`` in degrees, ``shift`` as a fraction of the side, ``scale`` as a ratio (0.1: from 1/1.1 to 1.1, each
    axis on its own), ``flip`` the probability of a mirror image, ``brightness`` added to [0, 1], ``contrast`` and
    ``saturation`` factors about 1, ``hue`` in radians.
    """

    rotation: float = 20.0
    shift: float = 0.05
    scale: float = 0.1
    flip: float = 0.0
    brightness: float = 0.1
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.05


DEFAULT_STRENGTH = Strength()


class Draws(NamedTuple):
    """What is done to each of n images: ``pose`` float32 [n, 2, 3], and four float32 [n].

    ``pose`` takes an input position to the output's, in pixels whose centres are whole numbers.
    """

    pose: NDArray[np.float32]
    brightness: NDArray[np.float32]
    contrast: NDArray[np.float32]
    saturation: NDArray[np.float32]
    hue: NDArray[np.float32]

    def take(self, index: NDArray[np.int64]) -> Draws:
        """Return the draws of some of the images."""
        return Draws(*(values[index] for values in self))


def draw(rng: np.random.Generator, count: int, size: int, strength: Strength = DEFAULT_STRENGTH) -> Draws:
    """Draw for ``count`` square images of side ``size``."""
    angle = np.deg2rad(rng.uniform(-strength.rotation, strength.rotation, count))
    zoom = np.exp(rng.uniform(-1, 1, (2, count)) * np.log1p(strength.scale))
    zoom[0] *= np.where(rng.random(count) < strength.flip, -1, 1)
    shift = rng.uniform(-strength.shift, strength.shift, (2, count)) * size
    cos, sin, centre = np.cos(angle), np.sin(angle), (size - 1) / 2
    linear = np.array([[cos * zoom[0], -sin * zoom[1]], [sin * zoom[0], cos * zoom[1]]])
    offset = centre + shift - centre * linear.sum(1)
    pose = np.concatenate([linear, offset[:, None]], 1).transpose(2, 0, 1)
    light = [
        rng.uniform(-bound, bound, count)
        for bound in (strength.brightness, strength.contrast, strength.saturation, strength.hue)
    ]
    light[1:3] = [1 + factor for factor in light[1:3]]
    return Draws(*(values.astype(np.float32) for values in (pose, *light)))


def augment(images: Tensor, draws: Draws) -> Tensor:
    """Return RGB images [n, 3, h, h] in [0, 1], posed (bilinear, reflection) and lit as drawn, in [0, 1]."""
    from kornia.enhance import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation
    from kornia.geometry.transform import warp_affine

    pose, brightness, contrast, saturation, hue = (torch.from_numpy(values).to(images.device) for values in draws)
    posed: Tensor = warp_affine(images, pose, (images.shape[-2], images.shape[-1]), padding_mode="reflection")
    lit = adjust_contrast(adjust_brightness(posed.clamp(0, 1), brightness), contrast)
    coloured: Tensor = adjust_hue(adjust_saturation(lit, saturation), hue)
    return coloured.clamp(0, 1)
