"""The bilinear warp as the encoder's graph computes it: two samplers with one interface.

Both give what `regad.train.model.affine.warp` gives (bilinear, reflection padding, align_corners=False) on square
maps. The frame and direction of ``theta`` are those of `torch.nn.functional.affine_grid`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx

from .graph import Graph

__all__ = ["SAMPLERS", "GatherSampler", "GridSampler", "Sampler", "Taps"]


class Taps(NamedTuple):
    """Where a warp reads: the four neighbours of each position and their weights, for g positions at a time.

    ``indices`` int64 [B, 1, n*n/g, 4*g] into the rows of [B*n*n, C]; ``weights`` float32 [B, 1, n*n/g, 1, 4*g]. In both
    the last axis holds the first neighbour of the g positions, then the second, third and fourth.
    """

    indices: str
    weights: str


class Sampler(ABC):
    """A way to warp square maps of ``channels`` and side ``size``, in a layout of its own, in ``graph``.

    ``batched`` names a value whose first axis is the batch's. With ``half`` maps are float16. ``enter`` takes
    [B, C, n, n] to the sampler's layout and ``leave`` takes it back; ``rows`` takes it to [B, n*n, C]. ``plan`` does
    what depends on the transforms alone, once for all warps on one grid.
    """

    max_opset: int

    def __init__(self, graph: Graph, batched: str, size: int, channels: int, half: bool = False) -> None:
        self.graph, self.batched, self.size, self.channels, self.half = graph, batched, size, channels, half

    def coordinates(self, thetas: Sequence[str]) -> str:
        """Add the sampled positions of T transforms [B, 1, 2, 3]: float32 [B, T, 2, n*n], x then y, in [-1, 1].

        Sums of products instead of a MatMul: GPUs may run one in TF32, which is off by a hundredth of a pixel.
        """
        g = self.graph
        centres = (np.arange(self.size, dtype=np.float32) * 2 + 1) / np.float32(self.size) - 1
        y, x = (axis.ravel() for axis in np.meshgrid(centres, centres, indexing="ij"))
        along_x, along_y, shift = g.split(g("Concat", *thetas, axis=1), 3, [1, 1, 1])
        return g("Add", g("Add", g("Mul", along_x, x), g("Mul", along_y, y)), shift)

    def enter(self, x: str) -> str:
        """From [B, C, n, n] to the sampler's layout."""
        return x

    def leave(self, x: str) -> str:
        """From the sampler's layout to [B, C, n, n]."""
        return x

    @abstractmethod
    def rows(self, x: str) -> str:
        """From the sampler's layout to [B, n*n, C]."""

    @abstractmethod
    def plan(self, thetas: Sequence[str]) -> list[Any]:
        """Return one plan a transform float32 [B, 1, 2, 3], for `warp`."""

    @abstractmethod
    def warp(self, x: str, plan: Any) -> str:
        """Sample ``x``, in the sampler's layout, as planned."""


class GatherSampler(Sampler):
    """One Gather of four rows a position from [B*n*n, C], and one small product that mixes them.

    The reflection is folded into the index. Mixing is a product with a [g, 4*g] matrix of diagonals for every g = 7
    positions, because seven passes over the gathered rows (four products, three sums) cost more than its zeros. Small
    operators cost more than their arithmetic, too: what depends on the transforms is computed for all of them at once.
    The layout is n*n rows of C values an image, in any shape.
    """

    max_opset = 20

    @property
    def group(self) -> int:
        """How many positions are mixed at a time: 7 on the encoder's grids."""
        return math.gcd(self.size * self.size, 7)

    def enter(self, x: str) -> str:
        """Transpose to [B, n, n, C]: in this form ONNX Runtime fuses it with leaving its own blocked layout."""
        return self.graph("Transpose", x, perm=[0, 2, 3, 1])

    def leave(self, x: str) -> str:
        """Transpose rows back to a map."""
        square = self.graph("Reshape", x, [-1, self.size, self.size, self.channels])
        return self.graph("Transpose", square, perm=[0, 3, 1, 2])

    def rows(self, x: str) -> str:
        """They are, in some shape."""
        return self.graph("Reshape", x, [-1, self.size * self.size, self.channels])

    def plan(self, thetas: Sequence[str]) -> list[Taps]:
        """Indices and weights, computed in float32: whole numbers are exact in it up to batches of 5000."""
        g, last = self.graph, float(self.size - 1)
        pixel = g("Unsqueeze", self._reflect(self.coordinates(thetas)), [3])
        low = g("Floor", pixel)
        # [B, T, axis, end, n*n]: the two neighbours along an axis, and how far the position is from the other one.
        ends = g("Min", g("Add", low, np.array([[0], [1]], np.float32)), last)
        shares = g("Abs", g("Sub", g("Sub", pixel, low), np.array([[1], [0]], np.float32)))
        x, y = g.split(ends, 2, [1, 1])
        y = g("Add", g("Mul", y, float(self.size)), self._image_offsets())
        wx, wy = g.split(shares, 2, [1, 1])
        read = g("Add", g("Transpose", y, perm=[0, 1, 3, 2, 4]), x)
        indices = self._by_group(g("Cast", read, to=onnx.TensorProto.INT64), len(thetas))
        shares = self._by_group(g("Mul", g("Transpose", wy, perm=[0, 1, 3, 2, 4]), wx), len(thetas))
        alone = [1] * len(thetas)
        apart = zip(g.split(indices, 1, alone), g.split(g("Unsqueeze", shares, [3]), 1, alone), strict=True)
        return [Taps(*taps) for taps in apart]

    def _image_offsets(self) -> str:
        """The first row of each image, float32 [B, 1, 1, 1, 1]."""
        g = self.graph
        count = g("Squeeze", g("Shape", self.batched, start=0, end=1))
        images = g("Range", np.array(0), count, np.array(1))
        images = g("Reshape", g("Cast", images, to=onnx.TensorProto.FLOAT), [-1, 1, 1, 1, 1])
        return g("Mul", images, float(self.size * self.size))

    def _reflect(self, positions: str) -> str:
        """Fold positions in [-1, 1] from edge to edge into the map, and return pixel centres' coordinates.

        That is reflection about -0.5 and size - 0.5, then clipping: padding_mode="reflection". Measured from the edge
        and folded, a coordinate is its distance from the nearest multiple of two maps.
        """
        g, period = self.graph, 2.0 * self.size
        edge = g("Mul", g("Add", positions, 1.0), self.size / 2)
        whole = g("Mul", g("Round", g("Div", edge, period)), period)
        return g("Clip", g("Sub", g("Abs", g("Sub", edge, whole)), 0.5), 0.0, float(self.size - 1))

    def _by_group(self, values: str, count: int) -> str:
        """From [B, T, 2, 2, n*n], neighbours by neighbours, to [B, T, n*n/g, 4*g]."""
        groups = self.size * self.size // self.group
        apart = self.graph("Reshape", values, [-1, count, 4, groups, self.group])
        apart = self.graph("Transpose", apart, perm=[0, 1, 3, 2, 4])
        return self.graph("Reshape", apart, [-1, count, groups, 4 * self.group])

    def warp(self, x: str, plan: Taps) -> str:
        """Sample n*n rows an image, to rows [B, 1, n*n/g, g, C]."""
        g = self.graph
        diagonals = np.tile(np.eye(self.group, dtype=np.float32), 4)
        read = g("Gather", g("Reshape", x, [-1, self.channels]), plan.indices, axis=0)
        mixing = g("Mul", plan.weights, diagonals)
        if self.half:
            mixing = g("Cast", mixing, to=onnx.TensorProto.FLOAT16)
        return g("MatMul", mixing, read)


class GridSampler(Sampler):
    """The GridSample operator on maps [B, C, n, n].

    From opset 20 on its mode is spelled "linear", which TensorRT's parser reads as nearest: hence the limit.
    """

    max_opset = 19

    def rows(self, x: str) -> str:
        """Flatten and transpose the map."""
        flat = self.graph("Reshape", x, [-1, self.channels, self.size * self.size])
        return self.graph("Transpose", flat, perm=[0, 2, 1])

    def plan(self, thetas: Sequence[str]) -> list[str]:
        """Sampling grids, each [B, n, n, 2]."""
        g = self.graph
        grids = g.split(g("Transpose", self.coordinates(thetas), perm=[0, 1, 3, 2]), 1, [1] * len(thetas))
        return [g("Reshape", grid, [-1, self.size, self.size, 2]) for grid in grids]

    def warp(self, x: str, plan: str) -> str:
        """Sample maps [B, C, n, n]."""
        grid = self.graph("Cast", plan, to=onnx.TensorProto.FLOAT16) if self.half else plan
        return self.graph("GridSample", x, grid, mode="bilinear", padding_mode="reflection", align_corners=0)


SAMPLERS: Mapping[str, type[Sampler]] = {"gather": GatherSampler, "gridsample": GridSampler}
"""By the name that ``--sampler`` takes and the manifest records."""
