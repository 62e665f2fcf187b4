"""The spatial transformer (Jaderberg et al., 2015) as RegAD uses it: localisation network, modes, warp."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .affine import warp
from .modes import DEFAULT_MODE, check_mode

__all__ = ["DEFAULT_MODE", "STN_MODES", "SpatialTransformer", "StnMode", "stn_mode"]


@dataclass(frozen=True)
class StnMode:
    """One family of transforms.

    ``identity`` holds the parameters of the identity (the last layer's first bias); ``build`` takes the
    columns of the parameters, each [B, 1], to ``theta`` [B, 2, 3].
    """

    identity: tuple[float, ...]
    build: Callable[[tuple[Tensor, ...]], Tensor]

    @property
    def parameters(self) -> int:
        """Number of values the localisation network predicts."""
        return len(self.identity)

    def theta(self, values: Tensor) -> Tensor:
        """Build transforms [B, 2, 3] from predicted values [B, parameters]."""
        return self.build(torch.split(values, 1, dim=1))


def _matrix(xx: Tensor, xy: Tensor, tx: Tensor, yx: Tensor, yy: Tensor, ty: Tensor) -> Tensor:
    return torch.cat([xx, xy, tx, yx, yy, ty], 1).reshape(-1, 2, 3)


def _affine(p: tuple[Tensor, ...]) -> Tensor:
    return _matrix(*p)


def _axes(p: tuple[Tensor, ...]) -> Tensor:
    """(sx, sy, tx, ty) without rotation."""
    sx, sy, tx, ty = p
    zero = torch.zeros_like(sx)
    return _matrix(sx, zero, tx, zero, sy, ty)


def _translation(p: tuple[Tensor, ...]) -> Tensor:
    one = torch.ones_like(p[0])
    return _axes((one, one, *p))


def _scale(p: tuple[Tensor, ...]) -> Tensor:
    zero = torch.zeros_like(p[0])
    return _axes((*p, zero, zero))


def _translation_scale(p: tuple[Tensor, ...]) -> Tensor:
    tx, ty, sx, sy = p
    return _axes((sx, sy, tx, ty))


def _shear(p: tuple[Tensor, ...]) -> Tensor:
    one, zero = torch.ones_like(p[0]), torch.zeros_like(p[0])
    return _matrix(one, p[0], zero, p[1], one, zero)


def _rotation_translation_scale(p: tuple[Tensor, ...]) -> Tensor:
    """Only the diagonal is scaled: the reference's definition, not the product of a rotation and a scale."""
    angle, tx, ty, sx, sy = p
    cos, sin = torch.cos(angle), torch.sin(angle)
    return _matrix(cos * sx, -sin, tx, sin, cos * sy, ty)


def _rotation_scale(p: tuple[Tensor, ...]) -> Tensor:
    zero = torch.zeros_like(p[0])
    return _rotation_translation_scale((p[0], zero, zero, p[1], p[2]))


def _rotation_translation(p: tuple[Tensor, ...]) -> Tensor:
    one = torch.ones_like(p[0])
    return _rotation_translation_scale((*p, one, one))


def _rotation(p: tuple[Tensor, ...]) -> Tensor:
    one, zero = torch.ones_like(p[0]), torch.zeros_like(p[0])
    return _rotation_translation_scale((p[0], zero, zero, one, one))


STN_MODES: dict[str, StnMode] = {
    "affine": StnMode((1, 0, 0, 0, 1, 0), _affine),
    "translation": StnMode((0, 0), _translation),
    "rotation": StnMode((0,), _rotation),
    "scale": StnMode((1, 1), _scale),
    "shear": StnMode((0, 0), _shear),
    "rotation_scale": StnMode((0, 1, 1), _rotation_scale),
    "translation_scale": StnMode((0, 0, 1, 1), _translation_scale),
    "rotation_translation": StnMode((0, 0, 0), _rotation_translation),
    "rotation_translation_scale": StnMode((0, 0, 0, 1, 1), _rotation_translation_scale),
}
"""The nine modes. Parameters stand in the order angle, shift (x, y), scale or shear (x, y)."""


def stn_mode(name: str) -> StnMode:
    """Look a mode up. Raises InputError naming the nine modes."""
    check_mode(name)
    return STN_MODES[name]


def _conv3x3(channels: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, kernel_size=3, padding=1, bias=False)


class SpatialTransformer(nn.Module):
    """Predict a transform from a feature map and warp the map with it.

    ``channels`` and ``size`` (side) are those of the map; the two poolings leave ``ceil(size / 4)``.
    Module names follow the released checkpoints.
    """

    def __init__(self, channels: int, size: int, mode: str = DEFAULT_MODE) -> None:
        super().__init__()
        self.mode = stn_mode(mode)
        pooled = -(-size // 4)
        self.conv = nn.Sequential(
            _conv3x3(channels, 64),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
            _conv3x3(64, 16),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        )
        last = nn.Linear(1024, self.mode.parameters)
        nn.init.zeros_(last.weight)
        with torch.no_grad():
            last.bias.copy_(torch.tensor(self.mode.identity, dtype=torch.float32))
        self.fc = nn.Sequential(nn.Linear(16 * pooled * pooled, 1024), nn.ReLU(), last)

    def theta(self, x: Tensor) -> Tensor:
        """Predict the transforms [B, 2, 3] (output -> input) for ``x`` [B, C, size, size]."""
        values: Tensor = self.fc(self.conv(x).flatten(1))
        return self.mode.theta(values)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Take ``x`` [B, C, size, size] to the registered map, same shape, and its ``theta`` [B, 2, 3]."""
        theta = self.theta(x)
        return warp(x, theta), theta
