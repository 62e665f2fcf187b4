"""RegAD's registration encoder: ResNet-18 to layer3 with a spatial transformer after each layer."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regad.runtime.formats.normalization import PLAIN, FeatureNormalization
from regad.runtime.formats.spec import LEVELS

from .affine import inverse, warp
from .backbone import residual_layer
from .cells import normalize_cells
from .modes import DEFAULT_MODE
from .stn import SpatialTransformer

__all__ = ["Aligned", "EncoderOutput", "Registered", "RegistrationEncoder", "Thetas", "align"]


class Thetas(NamedTuple):
    """The transforms of the three STNs, each [B, 2, 3], output -> input."""

    t1: Tensor
    t2: Tensor
    t3: Tensor


class Registered(NamedTuple):
    """The STNs' outputs x1 [B, 64, 56, 56], x2 [B, 128, 28, 28], x3 [B, 256, 14, 14] and their transforms."""

    x1: Tensor
    x2: Tensor
    x3: Tensor
    thetas: Thetas


class Aligned(NamedTuple):
    """Registered maps brought back to the frame of the image; shapes as in `Registered`."""

    f1: Tensor
    f2: Tensor
    f3: Tensor


class EncoderOutput(NamedTuple):
    """The encoder's result: the registered feature [B, 256, 14, 14], the normalised aligned maps, the transforms."""

    feature: Tensor
    aligned: Aligned
    thetas: Thetas


def align(registered: Registered) -> Aligned:
    """Undo each level's transforms one warp at a time, the latest first.

    f1 = W(x1, t1^-1); f2 = W(W(x2, t2^-1), t1^-1); f3 = W(W(W(x3, t3^-1), t2^-1), t1^-1). The chain is part
    of the reference's definition: one warp by the composed inverse gives other numbers.
    """
    i1, i2, i3 = (inverse(theta) for theta in registered.thetas)
    f1 = warp(registered.x1, i1)
    f2 = warp(warp(registered.x2, i2), i1)
    f3 = warp(warp(warp(registered.x3, i3), i2), i1)
    return Aligned(f1, f2, f3)


class RegistrationEncoder(nn.Module):
    """The encoder, with the module names of the released checkpoints.

    ``mean`` and ``std`` normalise RGB in [0, 1] before the first convolution; the reference uses none. They
    are configuration, not weights, and stay out of the state dict; so is ``normalization``, which changes the aligned
    maps alone: training does not see it.
    """

    def __init__(
        self,
        stn_mode: str = DEFAULT_MODE,
        mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
        std: tuple[float, float, float] = (1.0, 1.0, 1.0),
        normalization: FeatureNormalization = PLAIN,
    ) -> None:
        super().__init__()
        self.normalization = normalization
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(1, 3, 1, 1), persistent=False)
        c1, c2, c3 = (level.channels for level in LEVELS)
        self.conv1 = nn.Conv2d(3, c1, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(c1)
        self.layer1 = residual_layer(c1, c1, stride=1)
        self.layer2 = residual_layer(c1, c2, stride=2)
        self.layer3 = residual_layer(c2, c3, stride=2)
        self.stn1, self.stn2, self.stn3 = (SpatialTransformer(level.channels, level.grid, stn_mode) for level in LEVELS)

    def stem(self, images: Tensor) -> Tensor:
        """Normalise RGB images [B, 3, 224, 224] in [0, 1] and take them to layer1's input [B, 64, 56, 56]."""
        x = F.relu(self.bn1(self.conv1((images - self.mean) / self.std)))
        return F.max_pool2d(x, kernel_size=3, stride=2, padding=1)

    def register(self, images: Tensor) -> Registered:
        """Register images [B, 3, 224, 224] in [0, 1] without aligning back: all that training needs."""
        x1, t1 = self.stn1(self.layer1(self.stem(images)))
        x2, t2 = self.stn2(self.layer2(x1))
        x3, t3 = self.stn3(self.layer3(x2))
        return Registered(x1, x2, x3, Thetas(t1, t2, t3))

    def normalize(self, aligned: Aligned) -> Aligned:
        """Normalise aligned maps cell by cell, as the encoder's own ``normalization`` says."""
        return Aligned(*normalize_cells(aligned, self.normalization, channels=1))

    def forward(self, images: Tensor) -> EncoderOutput:
        """Encode RGB images [B, 3, 224, 224] in [0, 1]: registered feature, normalised aligned maps, transforms."""
        registered = self.register(images)
        return EncoderOutput(registered.x3, self.normalize(align(registered)), registered.thetas)
