"""The table of devices: a new backend is one module and one row here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import DeviceError
from ..formats.artifact import Artifact
from .base import Backend, Precision

__all__ = [
    "AUTO",
    "DEVICES",
    "DEVICE_CHOICES",
    "Device",
    "find_device",
    "open_backend",
    "passed_over",
    "require_precision",
]

AUTO = "auto"
_ANY: tuple[Precision, ...] = ("f32", "bf16", "f16")


@dataclass(frozen=True)
class Device:
    """One device by its ``name``.

    ``opens`` is ``module:callable`` below `regad.runtime.backends`, imported when asked for; called with an Artifact
    and ``threads``, it returns a Backend. ``present`` is such a callable without arguments: whether the machine seems
    to have the device (None: only a user can know). With ``automatic`` the name ``auto`` may choose it. ``needs`` says
    what has to be installed. ``remedy`` is a command for a device that is there and fails its self-test: ``{artifact}``
    is the artifact's folder, ``{onnxruntime}`` the command that installs ONNX Runtime here. Where it is ``required``,
    its failure is a problem, else a note. ``precisions`` are those it can be asked for; a device with more than one
    takes ``precision`` and ``force`` when it is opened.
    """

    name: str
    opens: str
    needs: str
    remedy: str
    present: str | None = None
    automatic: bool = False
    required: bool = False
    precisions: tuple[Precision, ...] = ("f32",)

    def is_present(self) -> bool:
        """Whether the machine seems to have it. Raises DeviceError where what it takes cannot even be imported."""
        return self.present is not None and bool(_resolve(self.present)())

    def open(
        self, artifact: Artifact, threads: int | None = None, precision: Precision = "f32", force: bool = False
    ) -> Backend:
        """Open an artifact. Raises DeviceError, saying what the device needs, and ArtifactError."""
        _require_one_of(self.precisions, self.name, precision)
        options = {} if len(self.precisions) == 1 else {"precision": precision, "force": force}
        try:
            backend: Backend = _resolve(self.opens)(artifact, threads=threads, **options)
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
    *(
        Device(
            name,
            opens=f"openvino.backend:open_{target}",
            needs=f"OpenVINO (pip install 'regad[openvino]') and {what}",
            remedy="pip install --upgrade 'regad[openvino]'",
            present=present and f"openvino.library:{present}",
            precisions=_ANY,
        )
        for name, target, what, present in (
            ("openvino", "cpu", "a processor that it knows", "openvino_available"),
            ("openvino:CPU", "cpu", "a processor that it knows", None),
            ("openvino:GPU", "gpu", "an Intel GPU with its driver", "gpu_available"),
            ("openvino:NPU", "npu", "an Intel NPU with its driver", "npu_available"),
            ("openvino:AUTO", "auto", "a device that it knows", None),
        )
    ),
)
"""``auto`` takes the first automatic one that is there. ``tensorrt`` runs the artifact's engines; ``ort-tensorrt`` is
ONNX Runtime's TensorRT provider. ``openvino`` is its CPU; ``openvino:AUTO`` the device that OpenVINO prefers."""

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


def require_precision(device: str, precision: Precision) -> None:
    """Raise DeviceError where the device of this name can never be asked for ``precision``; ``auto`` takes f32 alone.

    Whether the hardware has it is known only when an artifact is opened.
    """
    known = {row.name: row.precisions for row in DEVICES}
    _require_one_of(known.get(device, ("f32",)), device, precision)


def _require_one_of(known: tuple[Precision, ...], device: str, precision: Precision) -> None:
    if precision not in known:
        raise DeviceError(
            f"precision is {precision!r}, and {device} takes {', '.join(known)} only",
            remedy="bf16 and f16 are for --device openvino; for less than fp32 on other devices make an artifact with "
            "regad-export --fp16 or --int8",
        )


def passed_over() -> list[str]:
    """Names of devices that are installed here and that ``auto`` never takes: they need a choice of the user's."""
    return [
        device.name for device in DEVICES if not device.automatic and ":" not in device.name and device.is_present()
    ]


def open_backend(
    artifact: Artifact,
    device: str = "cpu",
    threads: int | None = None,
    precision: Precision = "f32",
    force: bool = False,
) -> Backend:
    """Open ``artifact`` on a device: one of `DEVICE_CHOICES`.

    ``threads`` bounds the CPU threads of one inference (default: the library's choice, the physical cores).
    ``precision`` is what the device computes in where the graph says float32: below f32 OpenVINO alone can be asked,
    and refuses what the hardware would emulate unless ``force`` is given. Raises DeviceError when the device or the
    precision asked for is not there: there is no silent fallback.
    """
    if threads is not None and threads < 1:
        raise DeviceError(f"threads is {threads}; expected 1 or more")
    return find_device(device).open(artifact, threads, precision, force)
