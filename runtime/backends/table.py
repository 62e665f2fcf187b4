"""The table of devices, and what every backend offers: one lifecycle, one result."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError
from ..formats.artifact import Artifact
from ..formats.category import Statistics
from ..formats.features import Features

__all__ = ["Backend", "Device", "Inference", "StatisticsHandle", "open_backend"]

Device = Literal["auto", "cpu", "cuda", "tensorrt", "ort-tensorrt"]
"""``tensorrt`` runs the artifact's engines; ``ort-tensorrt`` is ONNX Runtime's TensorRT provider."""


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


def open_backend(artifact: Artifact, device: str = "cpu", threads: int | None = None) -> Backend:
    """Open ``artifact`` on a device. ``auto`` takes CUDA where ONNX Runtime offers it, else the CPU.

    ``threads`` bounds the CPU threads of one inference (default: ONNX Runtime's choice, the physical cores). Raises
    DeviceError when the device asked for is not there: there is no silent fallback.
    """
    if device not in get_args(Device):
        raise DeviceError(f"device is {device!r}; expected one of {', '.join(get_args(Device))}")
    if threads is not None and threads < 1:
        raise DeviceError(f"threads is {threads}; expected 1 or more")
    if device == "tensorrt":
        from .tensorrt.backend import TrtBackend

        return TrtBackend(artifact)
    from .onnxruntime import OrtBackend, cuda_available

    if device == "auto":
        device = "cuda" if cuda_available() else "cpu"
    return OrtBackend(artifact, device, threads)
