"""Noise for tensors of any size: statistics of every position have up to 300 million values."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from regad.runtime.formats.encodings import ENCODINGS, Encoding, Statistics, StatisticsDtype, cast_statistics

_PRIME = 65_521


def noise(seed: int, shape: tuple[int, ...], scale: float = 1.0) -> NDArray[np.float32]:
    """Values in [0, scale), float32: a block of prime length repeated, so that no two positions have the same."""
    block = np.random.default_rng(seed).random(_PRIME, dtype=np.float32)
    block *= np.float32(scale)
    values = np.empty(math.prod(shape), np.float32)
    whole = values.size // _PRIME * _PRIME
    values[:whole].reshape(-1, _PRIME)[:] = block
    values[whole:] = block[: values.size - whole]
    return values.reshape(shape)


def noisy_statistics(encoding: Encoding = "gram", rank: int = 2, dtype: StatisticsDtype = "fp32") -> Statistics:
    """Statistics of that form whose tensors are noise."""
    tensors = {name: noise(seed, shape) for seed, (name, shape) in enumerate(ENCODINGS[encoding](rank).items())}
    return cast_statistics(Statistics(encoding, rank, rank + 1, tensors), dtype)
