"""Feature normalisation in PyTorch, on maps and on rows."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from regad.runtime.formats.normalization import FLOOR, FeatureNormalization

__all__ = ["normalize_cells"]


def normalize_cells(maps: Sequence[Tensor], normalization: FeatureNormalization, channels: int) -> list[Tensor]:
    """Normalise the float32 maps f1, f2, f3 cell by cell, over the dimension ``channels``: see `FeatureNormalization`.

    A level whose exponent is 0 and gain 1 comes back as the same tensor: nothing is computed for it.
    """
    return [_normalized(f, *level, channels) for f, level in zip(maps, normalization.levels, strict=True)]


def _normalized(f: Tensor, exponent: float, gain: float, channels: int) -> Tensor:
    if exponent == 0:
        return f if gain == 1 else f * gain
    # Not vector_norm: ONNX's version converter takes no ReduceL2 below opset 18.
    length = (f * f).sum(channels, keepdim=True).sqrt() + FLOOR
    return f * (gain * length**-exponent)
