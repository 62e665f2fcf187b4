"""The registration loss of RegAD: symmetric negative cosine with stop-gradient, as in SimSiam."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["registration_loss"]


def registration_loss(p1: Tensor, z1: Tensor, p2: Tensor, z2: Tensor) -> Tensor:
    """Return -(cos(p1, sg(z2)) + cos(p2, sg(z1))) / 2, over channels, averaged over batch and positions.

    All [B, C, h, w] float; the result is a scalar in [-1, 1]. No gradient flows through z1 and z2 (sg).
    """
    first = F.cosine_similarity(p1, z2.detach(), dim=1).mean()
    second = F.cosine_similarity(p2, z1.detach(), dim=1).mean()
    return -(first + second) / 2
