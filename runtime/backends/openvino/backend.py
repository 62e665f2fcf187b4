"""OpenVINO: the encoder graph on Intel's processors, graphics and NPUs, beside the host's scorer.

Left to itself OpenVINO computes in bf16 or f16 where the hardware has it, and so does a compiled graph that is read
back without its settings. Here the precision is always named, and held against what the compiled graph says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ArtifactError, DeviceError
from ...formats.artifact import Artifact
from ...formats.features import Features
from ...formats.spec import SIZE
from ...kernels import usable_cores
from ..base import Encoded, Precision
from ..failures import device_errors
from ..host import HostEncoded, HostScoring, scorer_name
from ..workspace import Workspaces
from .blobs import BlobKey, read_blob, write_blob
from .library import AUTO, DeviceInfo, devices, load_core, load_openvino, reason

__all__ = ["OpenVinoBackend", "open_auto", "open_cpu", "open_gpu", "open_npu"]


class OpenVinoBackend(HostScoring):
    """See `regad.runtime.backends.base.Backend`. The graph is compiled for one image; batches go one by one.

    ``target`` is OpenVINO's name of a device; ``precision`` what it computes in where the graph says float32. One that
    the hardware only emulates is refused unless ``force`` is given.
    """

    max_batch = 1

    def __init__(
        self,
        artifact: Artifact,
        threads: int | None = None,
        *,
        target: str = "CPU",
        precision: Precision = "f32",
        force: bool = False,
    ) -> None:
        """Compile the encoder, or read what was compiled before.

        Raises DeviceError without OpenVINO, the device or the precision, ArtifactError for a graph that it cannot read.
        """
        super().__init__(threads)
        if precision != "f32" and artifact.registers:
            raise DeviceError(
                f"{artifact.path} predicts transforms, which need float32; precision is {precision}",
                remedy="use --precision f32; faster is an int8 artifact: regad-export --int8 --activations uint8",
                code="transforms",
            )
        self.precision = precision
        self._target = target
        self._openvino = load_openvino()
        with device_errors(f"openvino {self._version}", _is_openvinos, reason):
            core = load_core()
            found = devices(core, target)
            if target != AUTO:
                _require_precision(found[0], precision, force)
            compiled = _compiled(core, artifact, found[0], self._openvino.get_version(), self._settings())
            at_work = {str(name) for name in compiled.get_property("EXECUTION_DEVICES")}
            self._hardware = [info for info in found if info.name in at_work] or found[:1]
            if target == AUTO:
                for info in self._hardware:
                    _require_precision(info, precision, force)
            _require_computed(compiled, target, precision, self.name)
        self._compiled: Any = compiled
        self._workspaces = Workspaces(partial(_bind, self._openvino, compiled))

    @property
    def name(self) -> str:
        """Library, version, hardware, precision and scorer, for people to read."""
        hardware = " and ".join(info.full_name for info in self._hardware)
        return f"openvino {self._version} on {hardware}, {self.precision}, {scorer_name()}"

    @property
    def device(self) -> str:
        """The device that was opened, like ``openvino:CPU``."""
        return f"openvino:{self._target}"

    @property
    def _version(self) -> str:
        return str(self._openvino.get_version()).partition("-")[0]

    def _settings(self) -> dict[str, Any]:
        """What the graph is compiled with, and read back with."""
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": self.precision,
            "EXECUTION_MODE_HINT": "ACCURACY" if self.precision == "f32" else "PERFORMANCE",
            "PERFORMANCE_HINT": "LATENCY",
        }
        # Threads that are bound to cores would meet there with those of another process.
        processor: dict[str, Any] = {"ENABLE_CPU_PINNING": False}
        if self._threads is not None:  # as many inferences at once as there are cores for
            streams = max(1, usable_cores() // self._threads)
            processor |= {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": streams * self._threads}
        if self._target == AUTO:  # no other device than the one that was chosen, neither at the start nor when it fails
            fallbacks = {"ENABLE_STARTUP_FALLBACK": False, "ENABLE_RUNTIME_FALLBACK": False}
            return settings | fallbacks | {"DEVICE_PROPERTIES": {"CPU": processor}}
        return settings | processor if self._target == "CPU" else settings

    def _encode(self, images: NDArray[np.uint8]) -> Encoded:
        workspace = self._workspaces.take(len(images))
        features = workspace.encode(images)
        return HostEncoded(self, features, workspace.distances, partial(self._workspaces.give, workspace))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with super()._turn(), device_errors(self.name, _is_openvinos, reason):
            yield

    def _release(self) -> None:
        self._compiled = None
        self._workspaces = Workspaces(partial(_bind, self._openvino, None))


def _bind(openvino: Any, compiled: Any, images: NDArray[np.uint8], features: Features) -> Callable[[], object]:
    request = compiled.create_infer_request()
    for name, values in {"image": images, **features._asdict()}.items():
        request.set_tensor(name, openvino.Tensor(values, shared_memory=True))
    run: Callable[[], object] = request.infer
    return run


def _is_openvinos(error: Exception) -> bool:
    return isinstance(error, RuntimeError)


def _compiled(core: Any, artifact: Artifact, info: DeviceInfo, version: str, settings: dict[str, Any]) -> Any:
    """The encoder for one image, from the cache where the device can keep it."""
    target = AUTO if "DEVICE_PROPERTIES" in settings else info.name
    keeps = target != AUTO and "EXPORT_IMPORT" in info.capabilities
    digest = str(artifact.manifest["files"][artifact.encoder_path.name]["sha256"])
    hardware = f"{info.full_name}: {' '.join(info.capabilities)}"
    key = BlobKey(digest, hardware, version, {name: str(value) for name, value in settings.items()})
    blob = read_blob(artifact, key) if keeps else None
    if blob is not None:
        try:
            return core.import_model(blob, target, settings)
        except RuntimeError:  # OpenVINO's own checks are stricter than the key: compile it again
            pass
    try:
        model = core.read_model(str(artifact.encoder_path))
        model.reshape({"image": [1, SIZE, SIZE, 3]})
    except RuntimeError as error:
        raise ArtifactError(
            f"{artifact.encoder_path} cannot be read by openvino {version}: {reason(error)}",
            remedy="try regad-doctor --model",
        ) from error
    compiled = core.compile_model(model, target, settings)
    if keeps:
        write_blob(artifact, key, compiled.export_model().getvalue())
    return compiled


def _require_precision(info: DeviceInfo, precision: Precision, force: bool) -> None:
    if force or info.computes(precision):
        return
    others = [other for other in ("f32", "bf16", "f16") if info.computes(other)]
    raise DeviceError(
        f"{info.full_name} has no {precision} arithmetic; emulated, it is slower than f32",
        remedy=f"use --precision {' or '.join(others) or 'f32'}, or --force to use it anyway",
        code="emulated",
    )


def _require_computed(compiled: Any, target: str, precision: Precision, name: str) -> None:
    """Raise DeviceError unless the compiled graph says that it computes in what was asked for."""
    hint = "INFERENCE_PRECISION_HINT"
    if target == AUTO:
        said = [properties[hint] for properties in compiled.get_property("DEVICE_PROPERTIES").values()]
    else:
        said = [compiled.get_property(hint)]
    got = {str(value.to_string() if hasattr(value, "to_string") else value) for value in said}
    if got != {precision}:
        raise DeviceError(
            f"{name} computes in {' and '.join(sorted(got))}, not in {precision}",
            remedy="choose another --precision, or another --device",
            code="precision",
        )


open_cpu = partial(OpenVinoBackend, target="CPU")
"""Open an artifact on the processor."""

open_gpu = partial(OpenVinoBackend, target="GPU")
"""Open an artifact on the first Intel GPU."""

open_npu = partial(OpenVinoBackend, target="NPU")
"""Open an artifact on the NPU."""

open_auto = partial(OpenVinoBackend, target=AUTO)
"""Open an artifact on the device that OpenVINO prefers."""
