"""What every backend offers: one lifecycle, one result."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..formats.encodings import Statistics
from ..formats.features import Features

__all__ = ["Backend", "Inference", "StatisticsHandle"]


class StatisticsHandle(Protocol):
    """Statistics of one category, made ready by a backend (unpacked, uploaded). Shared by threads, never changed."""


class Inference(NamedTuple):
    """Outcome of a batch: maps float32 [B, 224, 224], scores float32 [B], thetas [B, 3, 2, 3]; stage times in ms."""

    anomaly_map: NDArray[np.float32]
    anomaly_score: NDArray[np.float32]
    theta: NDArray[np.float32]
    encode_ms: float
    score_ms: float


class Backend(Protocol):
    """What `Detector` needs of a device. Every method may be called from several threads at once."""

    @property
    def name(self) -> str:
        """Library, version and execution provider, for people to read."""

    @property
    def device(self) -> str:
        """The device that was opened: any of `Device` but ``auto``."""

    def encode(self, images: NDArray[np.uint8]) -> Features:
        """Features on the host of uint8 RGB images [B, 224, 224, 3]."""

    def prepare(self, statistics: Statistics) -> StatisticsHandle:
        """Make a category's statistics ready, once."""

    def infer(self, images: NDArray[np.uint8], statistics: StatisticsHandle) -> Inference:
        """Encode and score uint8 RGB images [B, 224, 224, 3]."""

    def close(self) -> None:
        """Release the device's memory."""
