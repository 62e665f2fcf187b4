"""Affine transforms and the bilinear warp, as pure functions on tensors.

A transform ``theta`` is [B, 2, 3] in the frame of `torch.nn.functional.affine_grid`: it takes an output
position (x, y, 1), in [-1, 1] from edge to edge, to the input position that is sampled (output -> input).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["MIN_DETERMINANT", "base_grid", "compose", "identity", "inverse", "warp"]

MIN_DETERMINANT = 1e-6
"""Smallest absolute determinant that `inverse` divides by."""


def identity(batch: int) -> Tensor:
    """Return ``batch`` identity transforms, [B, 2, 3] float32."""
    return torch.eye(2, 3).repeat(batch, 1, 1)


def inverse(theta: Tensor) -> Tensor:
    """Invert [B, 2, 3] transforms in closed form.

    A determinant nearer to zero than `MIN_DETERMINANT` is replaced by it, its sign kept, so that a collapsed
    transform gives large but finite numbers.
    """
    a, b, tx, c, d, ty = torch.split(theta.reshape(-1, 6), 1, dim=1)
    det = a * d - b * c
    floor = torch.where(det < 0, -MIN_DETERMINANT, MIN_DETERMINANT).to(det.dtype)
    det = torch.where(det.abs() < MIN_DETERMINANT, floor, det)
    ia, ib, ic, id_ = d / det, -b / det, -c / det, a / det
    return torch.cat([ia, ib, -(ia * tx + ib * ty), ic, id_, -(ic * tx + id_ * ty)], 1).reshape(-1, 2, 3)


def compose(a: Tensor, b: Tensor) -> Tensor:
    """Return the transform that takes p to a(b(p)); both [B, 2, 3].

    ``warp(x, compose(a, b))`` samples where ``warp(warp(x, a), b)`` does, but resamples once: other numbers.
    """
    linear = a[:, :, :2] @ b[:, :, :2]
    shift = a[:, :, :2] @ b[:, :, 2:] + a[:, :, 2:]
    return torch.cat([linear, shift], -1)


def base_grid(height: int, width: int) -> Tensor:
    """Return the pixel centres of a ``height`` x ``width`` map, row-major: [h*w, 3] float32 rows (x, y, 1).

    ``base_grid(h, w) @ theta.transpose(1, 2)`` is `affine_grid` with align_corners=False.
    """
    ys = (torch.arange(height, dtype=torch.float32) * 2 + 1) / height - 1
    xs = (torch.arange(width, dtype=torch.float32) * 2 + 1) / width - 1
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)], -1).reshape(height * width, 3)


def warp(x: Tensor, theta: Tensor) -> Tensor:
    """Sample ``x`` [B, C, h, w] through ``theta`` [B, 2, 3]; returns [B, C, h, w].

    Bilinear, reflection padding, align_corners=False: the reference's sampler.
    """
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
