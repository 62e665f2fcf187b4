"""The table of devices: a new backend is one module and one row here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import DeviceError
from ..formats.artifact import Artifact
from .base import Backend

__all__ = ["AUTO", "DEVICES", "DEVICE_CHOICES", "Device", "find_device", "open_backend"]

AUTO = "auto"


@dataclass(frozen=True)
class Device:
    """One device by its ``name``.

    ``opens`` is ``module:callable`` below `regad.runtime.backends`, imported when asked for; called with an Artifact
    and ``threads``, it returns a Backend. ``present`` is such a callable without arguments: whether the machine seems
    to have the device (None: only a user can know). With ``automatic`` the name ``auto`` may choose it. ``needs`` says
    what has to be installed. ``remedy`` is a command for a device that is there and fails its self-test: ``{artifact}``
    is the artifact's folder, ``{onnxruntime}`` the command that installs ONNX Runtime here. Where it is ``required``,
    its failure is a problem, else a note.
    """

    name: str
    opens: str
    needs: str
    remedy: str
    present: str | None = None
    automatic: bool = False
    required: bool = False

    def is_present(self) -> bool:
        """Whether the machine seems to have it. Raises DeviceError where what it takes cannot even be imported."""
        return self.present is not None and bool(_resolve(self.present)())

    def open(self, artifact: Artifact, threads: int | None = None) -> Backend:
        """Open an artifact. Raises DeviceError, saying what the device needs, and ArtifactError."""
        try:
            backend: Backend = _resolve(self.opens)(artifact, threads=threads)
        except DeviceError as error:
            if error.remedy or self.required:
                raise
            remedy = f"the device needs {self.needs}; where they are missing, install them or use --device cpu"
            raise DeviceError(error.message, remedy=remedy, code=error.code) from error
        return backend


DEVICES: tuple[Device, ...] = (
    Device(
        "cuda",
        opens="onnxruntime_gpu:open_cuda",
        needs="NVIDIA's driver, CUDA and cuDNN (pip install 'onnxruntime-gpu[cuda,cudnn]', 1.21 or newer, brings both)",
        remedy="{onnxruntime}",
        present="onnxruntime_gpu:cuda_available",
        automatic=True,
    ),
    Device(
        "cpu",
        opens="onnxruntime_cpu:OrtCpuBackend",
        needs="ONNX Runtime (pip install 'regad[cpu]')",
        remedy="regad-export --ckpt model.pt --out {artifact}",
        present="onnxruntime_cpu:cpu_available",
        automatic=True,
        required=True,
    ),
    Device(
        "tensorrt",
        opens="tensorrt.backend:open_engines",
        needs="NVIDIA's driver, TensorRT, cuda-python, and the artifact's engines for this GPU",
        remedy="regad-export --engine --artifact {artifact}",
        present="tensorrt.library:tensorrt_available",
    ),
    Device(
        "ort-tensorrt",
        opens="onnxruntime_gpu:open_ort_tensorrt",
        needs="NVIDIA's driver, CUDA, cuDNN and TensorRT",
        remedy="{onnxruntime}",
    ),
)
"""``auto`` takes the first automatic one that is there. ``tensorrt`` runs the artifact's engines; ``ort-tensorrt`` is
ONNX Runtime's TensorRT provider."""

DEVICE_CHOICES: tuple[str, ...] = (AUTO, *(device.name for device in DEVICES))
"""What ``--device`` takes."""


def _resolve(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(f"{__package__}.{module}"), name)
    return found


def find_device(name: str) -> Device:
    """Return a device by its name; for ``auto`` the first automatic one that is there. Raises DeviceError."""
    if name == AUTO:
        return next(device for device in DEVICES if device.automatic and (device.required or device.is_present()))
    for device in DEVICES:
        if device.name == name:
            return device
    raise DeviceError(f"device is {name!r}; expected one of {', '.join(DEVICE_CHOICES)}")


def open_backend(artifact: Artifact, device: str = "cpu", threads: int | None = None) -> Backend:
    """Open ``artifact`` on a device: one of `DEVICE_CHOICES`.

    ``threads`` bounds the CPU threads of one inference (default: ONNX Runtime's choice, the physical cores). Raises
    DeviceError when the device asked for is not there: there is no silent fallback.
    """
    if threads is not None and threads < 1:
        raise DeviceError(f"threads is {threads}; expected 1 or more")
    return find_device(device).open(artifact, threads)
