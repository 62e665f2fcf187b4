"""The siamese heads on the registered feature (Huang et al., ECCV 2022); training only.

Module names follow the released checkpoints (keys ENC and PRED).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Predictor", "SiameseEncoder"]

CHANNELS = 256


def _conv1x1() -> nn.Conv2d:
    return nn.Conv2d(CHANNELS, CHANNELS, kernel_size=1, bias=False)


class SiameseEncoder(nn.Module):
    """Three 1x1 convolutions with batch norm and ReLU between them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _conv1x1()
        self.bn1 = nn.BatchNorm2d(CHANNELS)
        self.conv2 = _conv1x1()
        self.bn2 = nn.BatchNorm2d(CHANNELS)
        self.conv3 = _conv1x1()
        # The reference declares this one without using it, and its checkpoints hold its weights.
        self.bn3 = nn.BatchNorm2d(CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        """Take registered features [B, 256, h, w] to embeddings z of the same shape."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        z: Tensor = self.conv3(x)
        return z


class Predictor(nn.Module):
    """Two 1x1 convolutions that predict one branch's embedding from the other's."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _conv1x1()
        self.bn1 = nn.BatchNorm2d(CHANNELS)
        self.conv2 = _conv1x1()

    def forward(self, z: Tensor) -> Tensor:
        """Take embeddings [B, 256, h, w] to predictions p of the same shape."""
        p: Tensor = self.conv2(F.relu(self.bn1(self.conv1(z))))
        return p
