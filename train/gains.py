"""How much each level weighs in the distance: a gain on its features, folded into the weights around them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

__all__ = ["scale_levels"]

_MADE = ("downsample.1.weight", "downsample.1.bias", "bn2.weight", "bn2.bias")
"""What makes a block's output, each in proportion to it: two batch norms, then ReLU."""


def scale_levels(
    encoder: Mapping[str, Tensor], head: Mapping[str, Tensor], gains: tuple[float, float, float]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return state dicts whose maps f1, f2, f3 are ``gains`` times as large, and nothing else is different.

    Transforms and embeddings stay as they are: what reads a level is divided by its gain. Exact in bits where a gain is
    a power of two. The Gaussian adds the same 0.01 I to every level, and squares: a gain of 8 lets a level's
    deviations count 64 times.
    """
    encoder, head = dict(encoder), dict(head)
    for level, gain in enumerate(gains, 1):
        made = [f"layer{level}.{block}.{name}" for block in (0, 1) for name in _MADE]
        read = [f"layer{level}.1.conv1.weight", f"stn{level}.conv.0.weight"]
        read += [f"layer{level + 1}.0.conv1.weight", f"layer{level + 1}.0.downsample.0.weight"]
        if level == 1:
            # layer1 has no projection: its blocks add to the stem's output, which is scaled and read with them.
            made += ["bn1.weight", "bn1.bias"]
            read.append("layer1.0.conv1.weight")
        _multiply(encoder, made, gain)
        _multiply(encoder, read, 1 / gain)
    _multiply(head, ["conv1.weight"], 1 / gains[2])
    return encoder, head


def _multiply(state: dict[str, Tensor], names: list[str], factor: float) -> None:
    for name in names:
        if name in state:
            state[name] = state[name].detach() * factor
