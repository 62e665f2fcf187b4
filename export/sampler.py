"""The bilinear warp as the exported graph computes it: two samplers with one interface.

Both give what `regad.train.model.affine.warp` gives (bilinear, reflection padding, align_corners=False) on square
maps. The frame and direction of ``theta`` are those of `torch.nn.functional.affine_grid`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regad.runtime.formats.spec import LEVELS

__all__ = ["SAMPLERS", "GatherSampler", "GridSampler", "Sampler", "Taps"]

GRIDS = tuple(level.grid for level in LEVELS)


class Taps(NamedTuple):
    """Where a warp reads: the four neighbours of each position and their weights, for g positions at a time.

    ``indices`` int64 [B, 1, n*n/g, 4*g] into the rows of [B*n*n, C]; ``weights`` float32 [B, 1, n*n/g, 1, 4*g]. In both
    the last axis holds the first neighbour of the g positions, then the second, third and fourth.
    """

    indices: Tensor
    weights: Tensor


class Sampler(nn.Module, ABC):
    """A way to warp square maps, in a layout of its own.

    ``enter`` takes [B, C, n, n] to that layout and ``leave`` takes it back; ``rows`` takes it to [B, n*n, C]. ``plan``
    does what depends on the transforms alone, once for all warps on one grid. The base grids are constants.
    """

    max_opset: int

    def __init__(self, sizes: Sequence[int] = GRIDS) -> None:
        super().__init__()
        for size in sizes:
            centres = (torch.arange(size, dtype=torch.float32) * 2 + 1) / size - 1
            y, x = torch.meshgrid(centres, centres, indexing="ij")
            self.register_buffer(f"grid{size}", torch.stack([x.flatten(), y.flatten()]), persistent=False)

    def coordinates(self, thetas: Sequence[Tensor], size: int) -> Tensor:
        """Return the sampled positions of T transforms [B, 2, 3]: float32 [B, T, 2, n*n], x then y, in [-1, 1].

        Sums of products instead of a MatMul: GPUs may run one in TF32, which is off by a hundredth of a pixel.
        """
        theta = torch.stack([t.float() for t in thetas], 1)
        x, y = self.get_buffer(f"grid{size}")
        positions: Tensor = theta[..., 0:1] * x + theta[..., 1:2] * y + theta[..., 2:3]
        return positions

    def enter(self, x: Tensor) -> Tensor:
        """From [B, C, n, n] to the sampler's layout."""
        return x

    def leave(self, x: Tensor) -> Tensor:
        """From the sampler's layout to [B, C, n, n]."""
        return x

    def rows(self, x: Tensor) -> Tensor:
        """From the sampler's layout to [B, n*n, C]."""
        return x.flatten(2).transpose(1, 2)

    @abstractmethod
    def plan(self, thetas: Sequence[Tensor], size: int) -> list[Any]:
        """Return one plan a transform [B, 2, 3], for `warp` on maps of side ``size``."""

    @abstractmethod
    def warp(self, x: Tensor, plan: Any) -> Tensor:
        """Sample ``x``, in the sampler's layout, as planned."""


class GatherSampler(Sampler):
    """One Gather of four rows a position from [B*n*n, C], and one small product that mixes them.

    The reflection is folded into the index. Mixing is a product with a [g, 4*g] matrix of diagonals for every g = 7
    positions, because seven passes over the gathered rows (four products, three sums) cost more than its zeros. Small
    operators cost more than their arithmetic, too: what depends on the transforms is computed for all of them at once.
    """

    max_opset = 20

    def __init__(self, sizes: Sequence[int] = GRIDS) -> None:
        super().__init__(sizes)
        for size in sizes:
            group = _group(size)
            self.register_buffer(f"diagonals{group}", torch.eye(group).repeat(1, 4), persistent=False)
        self.ends: Tensor
        self.register_buffer("ends", torch.tensor([[0.0], [1.0]]), persistent=False)

    def enter(self, x: Tensor) -> Tensor:
        """Transpose to [B, n, n, C]: in this form ONNX Runtime fuses it with leaving its own blocked layout."""
        return x.permute(0, 2, 3, 1)

    def leave(self, x: Tensor) -> Tensor:
        """Transpose rows back to a map."""
        side = math.isqrt(x.shape[1])
        return x.reshape(-1, side, side, x.shape[2]).permute(0, 3, 1, 2)

    def rows(self, x: Tensor) -> Tensor:
        """They are."""
        return x

    def plan(self, thetas: Sequence[Tensor], size: int) -> list[Taps]:
        """Indices and weights, computed in float32: whole numbers are exact in it up to batches of 5000."""
        pixel = _reflect((self.coordinates(thetas, size) + 1) * (size / 2), size).unsqueeze(3)
        low = torch.floor(pixel)
        # [B, T, axis, end, n*n]: the two neighbours along an axis, and how far the position is from the other one.
        ends = torch.clamp(low + self.ends, max=size - 1)
        shares = torch.abs(pixel - low - (1 - self.ends))
        x, y = torch.split(ends, 1, 2)
        image = torch.arange(pixel.shape[0], device=pixel.device).float() * (size * size)
        y = y * size + image.reshape(-1, 1, 1, 1, 1)
        wx, wy = torch.split(shares, 1, 2)
        indices = _by_group((y.transpose(2, 3) + x).long(), size)
        weights = _by_group(wy.transpose(2, 3) * wx, size).unsqueeze(3)
        return [Taps(i, w) for i, w in zip(torch.split(indices, 1, 1), torch.split(weights, 1, 1), strict=True)]

    def warp(self, x: Tensor, plan: Taps) -> Tensor:
        """Sample [B, ..., C], n*n rows an image, to rows [B, n*n, C]."""
        channels = x.shape[-1]
        group = plan.indices.shape[-1] // 4
        # F.embedding is exported as Gather; plain indexing would become GatherND.
        read = F.embedding(plan.indices, x.reshape(-1, channels))
        mixed = (plan.weights * self.get_buffer(f"diagonals{group}")).to(x.dtype) @ read
        return mixed.reshape(-1, plan.indices.shape[2] * group, channels)


def _by_group(values: Tensor, size: int) -> Tensor:
    """From [B, T, 2, 2, n*n], neighbours by neighbours, to [B, T, n*n/g, 4*g]."""
    group = _group(size)
    count = size * size // group
    apart = values.reshape(-1, values.shape[1], 4, count, group).transpose(2, 3)
    return apart.reshape(-1, values.shape[1], count, 4 * group)


def _group(size: int) -> int:
    """How many positions are mixed at a time: 7 on the encoder's grids."""
    return math.gcd(size * size, 7)


def _reflect(edge: Tensor, size: int) -> Tensor:
    """Fold coordinates measured from the map's edge, in pixels, into [0, size], and return pixel centres' coordinates.

    That is reflection about -0.5 and size - 0.5, then clipping: padding_mode="reflection". Folded, a coordinate is its
    distance from the nearest multiple of two maps.
    """
    folded = torch.abs(edge - torch.round(edge / (2 * size)) * (2 * size))
    return torch.clamp(folded - 0.5, 0, size - 1)


class GridSampler(Sampler):
    """The GridSample operator on maps [B, C, n, n].

    From opset 20 on its mode is spelled "linear", which TensorRT's parser reads as nearest: hence the limit.
    """

    max_opset = 19

    def plan(self, thetas: Sequence[Tensor], size: int) -> list[Tensor]:
        """Sampling grids, each [B, n, n, 2]."""
        grid = self.coordinates(thetas, size).transpose(2, 3).reshape(-1, len(thetas), size, size, 2)
        return [grid[:, number] for number in range(len(thetas))]

    def warp(self, x: Tensor, plan: Tensor) -> Tensor:
        """Sample maps [B, C, n, n]."""
        grid = plan.to(x.dtype)
        return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


SAMPLERS: Mapping[str, type[Sampler]] = {"gather": GatherSampler, "gridsample": GridSampler}
"""By the name that ``--sampler`` takes and the manifest records."""
