"""Noise for tensors of any size: statistics of every position have up to 300 million values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_PRIME = 65_521


def noise(seed: int, shape: tuple[int, ...], scale: float = 1.0) -> NDArray[np.float32]:
    """Values in [0, scale), float32: a block of prime length repeated, so that no two positions have the same."""
    block = np.random.default_rng(seed).random(_PRIME, dtype=np.float32)
    return np.resize(block * np.float32(scale), shape)
