"""The spatial transformer (Jaderberg et al., 2015) as RegAD uses it: localisation network, modes, warp."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .affine import warp
from .modes import DEFAULT_MODE, MATRIX, StnMode, stn_mode

__all__ = ["SpatialTransformer", "build_theta"]


def build_theta(mode: StnMode, values: Tensor) -> Tensor:
    """Build transforms [B, 2, 3] from predicted values [B, parameters]."""
    given = dict(zip(mode.predicted, torch.split(values, 1, dim=1), strict=True))
    entries = {name: torch.full_like(values[:, :1], rest) for name, rest in MATRIX.items()} | given
    if "angle" in given:
        cos, sin = torch.cos(entries.pop("angle")), torch.sin(given["angle"])
        entries |= {"xx": cos * entries["xx"], "xy": -sin, "yx": sin, "yy": cos * entries["yy"]}
    return torch.cat(list(entries.values()), 1).reshape(-1, 2, 3)


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
        return build_theta(self.mode, values)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Take ``x`` [B, C, size, size] to the registered map, same shape, and its ``theta`` [B, 2, 3]."""
        theta = self.theta(x)
        return warp(x, theta), theta
