"""The spatial transformer (Jaderberg et al., 2015) as RegAD uses it: localisation network, modes, warp."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .affine import warp
from .modes import DEFAULT_MODE, check_mode

__all__ = ["DEFAULT_MODE", "MATRIX", "STN_MODES", "SpatialTransformer", "StnMode", "stn_mode"]


MATRIX: dict[str, float] = {"xx": 1, "xy": 0, "tx": 0, "yx": 0, "yy": 1, "ty": 0}
"""The entries of ``theta``, row by row, and what they are where a mode does not predict them: the identity."""


@dataclass(frozen=True)
class StnMode:
    """One family of transforms: ``predicted`` names entries of the matrix, or "angle", in the order of the parameters.

    An angle multiplies the diagonal by its cosine and sets the other two entries to -sin and sin. Only the diagonal is
    scaled: the reference's definition, not the product of a rotation and a scale.
    """

    predicted: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """Number of values the localisation network predicts."""
        return len(self.predicted)

    @property
    def identity(self) -> tuple[float, ...]:
        """The parameters of the identity: the last layer's first bias."""
        return tuple(MATRIX.get(name, 0) for name in self.predicted)

    def theta(self, values: Tensor) -> Tensor:
        """Build transforms [B, 2, 3] from predicted values [B, parameters]."""
        given = dict(zip(self.predicted, torch.split(values, 1, dim=1), strict=True))
        entries = {name: torch.full_like(values[:, :1], rest) for name, rest in MATRIX.items()} | given
        if "angle" in given:
            cos, sin = torch.cos(entries.pop("angle")), torch.sin(given["angle"])
            entries |= {"xx": cos * entries["xx"], "xy": -sin, "yx": sin, "yy": cos * entries["yy"]}
        return torch.cat(list(entries.values()), 1).reshape(-1, 2, 3)


STN_MODES: dict[str, StnMode] = {
    "affine": StnMode(tuple(MATRIX)),
    "translation": StnMode(("tx", "ty")),
    "rotation": StnMode(("angle",)),
    "scale": StnMode(("xx", "yy")),
    "shear": StnMode(("xy", "yx")),
    "rotation_scale": StnMode(("angle", "xx", "yy")),
    "translation_scale": StnMode(("tx", "ty", "xx", "yy")),
    "rotation_translation": StnMode(("angle", "tx", "ty")),
    "rotation_translation_scale": StnMode(("angle", "tx", "ty", "xx", "yy")),
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
