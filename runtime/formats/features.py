"""The encoder's output, as every module passes it on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Features"]


class Features(NamedTuple):
    """Registered features of a batch, aligned back to the input image; float32, positions row-major.

    ``f1`` [B, 3136, 64] on the 56x56 grid, ``f2`` [B, 784, 128] on 28x28, ``f3`` [B, 196, 256] on 14x14;
    ``theta`` [B, 3, 2, 3] the three STN transforms (output -> input, as `affine_grid`).
    """

    f1: NDArray[np.float32]
    f2: NDArray[np.float32]
    f3: NDArray[np.float32]
    theta: NDArray[np.float32]
