"""The bilinear warp as the exported graph computes it: two samplers with one interface.

Both give what `regad.train.affine.warp` gives (bilinear, reflection padding, align_corners=False) on square maps. The
frame and direction of ``theta`` are those of `torch.nn.functional.affine_grid`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regad.runtime.spec import LEVELS

__all__ = ["SAMPLERS", "GatherSampler", "GridSampler", "Sampler", "Taps"]

GRIDS = tuple(level.grid for level in LEVELS)


class Taps(NamedTuple):
    """Where a warp reads: four neighbours of each position and their weights.

    ``indices`` four int64 [B, n*n] into the rows of [B*n*n, C]; ``weights`` four float32 [B, n*n, 1].
    """

    indices: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]


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
    """Four Gathers on rows [B*n*n, C] and four weights; the reflection is folded into the index."""

    max_opset = 20

    def enter(self, x: Tensor) -> Tensor:
        """Transpose to rows [B, n*n, C]."""
        return x.flatten(2).transpose(1, 2)

    def leave(self, x: Tensor) -> Tensor:
        """Transpose rows back to a map."""
        side = math.isqrt(x.shape[1])
        return x.transpose(1, 2).reshape(-1, x.shape[2], side, side)

    def rows(self, x: Tensor) -> Tensor:
        """They are."""
        return x

    def plan(self, thetas: Sequence[Tensor], size: int) -> list[Taps]:
        """Indices and weights, all in float32 and int64."""
        pixel = _reflect((self.coordinates(thetas, size) + 1) * (size / 2), size)
        low = torch.floor(pixel)
        upper = pixel - low
        lower = 1 - upper
        first = low.long()
        second = torch.clamp(first + 1, max=size - 1)
        image = (torch.arange(pixel.shape[0], device=pixel.device) * (size * size)).reshape(-1, 1, 1)
        x = ((first[:, :, 0], lower[:, :, 0]), (second[:, :, 0], upper[:, :, 0]))
        y = ((first[:, :, 1] * size + image, lower[:, :, 1]), (second[:, :, 1] * size + image, upper[:, :, 1]))
        indices = [iy + ix for iy, _ in y for ix, _ in x]
        weights = [(wy * wx).unsqueeze(-1) for _, wy in y for _, wx in x]
        return [
            Taps(tuple(i[:, number] for i in indices), tuple(w[:, number] for w in weights))
            for number in range(len(thetas))
        ]

    def warp(self, x: Tensor, plan: Taps) -> Tensor:
        """Sample rows [B, n*n, C]."""
        flat = x.reshape(-1, x.shape[2])
        # F.embedding is exported as Gather; plain indexing would become GatherND.
        a, b, c, d = (F.embedding(i, flat) * w.to(x.dtype) for i, w in zip(plan.indices, plan.weights, strict=True))
        return (a + b) + (c + d)


def _reflect(edge: Tensor, size: int) -> Tensor:
    """Fold coordinates measured from the map's edge, in pixels, into [0, size], and return pixel centres' coordinates.

    That is reflection about -0.5 and size - 0.5, then clipping: padding_mode="reflection".
    """
    edge = torch.abs(edge)
    edge = edge - torch.floor(edge / (2 * size)) * (2 * size)
    return torch.clamp(size - torch.abs(edge - size) - 0.5, 0, size - 1)


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
