"""How much each level weighs in the distance: a gain on its features, folded into the weights around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

__all__ = ["scale_levels"]


class _Around(NamedTuple):
    """What stands around a level's features: the batch norms that make them, the convolutions that read them."""

    norms: tuple[str, ...]
    readers: tuple[str, ...]


_LEVELS = (
    # layer1 has no projection: its blocks add to the stem's output, which is made and read with theirs.
    _Around(
        ("bn1", "layer1.0.bn2", "layer1.1.bn2"),
        ("layer1.0.conv1", "layer1.1.conv1", "stn1.conv.0", "layer2.0.conv1", "layer2.0.downsample.0"),
    ),
    _Around(
        ("layer2.0.downsample.1", "layer2.0.bn2", "layer2.1.bn2"),
        ("layer2.1.conv1", "stn2.conv.0", "layer3.0.conv1", "layer3.0.downsample.0"),
    ),
    _Around(("layer3.0.downsample.1", "layer3.0.bn2", "layer3.1.bn2"), ("layer3.1.conv1", "stn3.conv.0")),
)


def scale_levels(
    encoder: Mapping[str, Tensor], head: Mapping[str, Tensor], gains: tuple[float, float, float]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return state dicts whose maps f1, f2, f3 are ``gains`` (above 0) times as large, and nothing else is different.

    Transforms and embeddings stay as they are: what reads a level is divided by its gain. Exact in bits where a gain is
    a power of two. The Gaussian adds the same 0.01 I to every level, and squares: a gain of 8 lets a level's
    deviations count 64 times.
    """
    encoder, head = dict(encoder), dict(head)
    for (norms, readers), gain in zip(_LEVELS, gains, strict=True):
        for name in norms:
            encoder[f"{name}.weight"] = encoder[f"{name}.weight"] * gain
            encoder[f"{name}.bias"] = encoder[f"{name}.bias"] * gain
        for name in readers:
            encoder[f"{name}.weight"] = encoder[f"{name}.weight"] / gain
    head["conv1.weight"] = head["conv1.weight"] / gains[2]
    return encoder, head
