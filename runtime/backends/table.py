"""The table of devices."""

from __future__ import annotations

from typing import Literal, get_args

from ..errors import DeviceError
from ..formats.artifact import Artifact
from .base import Backend

__all__ = ["Device", "open_backend"]

Device = Literal["auto", "cpu", "cuda", "tensorrt", "ort-tensorrt"]
"""``tensorrt`` runs the artifact's engines; ``ort-tensorrt`` is ONNX Runtime's TensorRT provider."""


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
