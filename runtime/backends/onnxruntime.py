"""The ONNX Runtime backend: CPU, CUDA and TensorRT execution providers.

On the CPU the compiled scorer runs beside the encoder graph, or the NumPy scorer where the installation has none: the
backend's name says which. On a GPU both graphs run on the device: features and statistics stay there, and the
statistics are uploaded once per category.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..errors import ArtifactError, DeviceError
from ..formats.artifact import Artifact
from ..formats.encodings import Encoding, Statistics
from ..formats.features import Features
from ..formats.spec import SIZE, Dtype
from ..scoring.compiled import CompiledScorer, HostScorer, host_scorer
from ..scoring.reference import graph_tensors
from .base import Inference, StatisticsHandle
from .workspace import Workspaces

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["OrtBackend", "cuda_available"]

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "ort-tensorrt": "TensorrtExecutionProvider",
}

_DTYPE_OPTIONS: Mapping[tuple[str, Dtype], Mapping[str, str]] = {
    # The provider builds float32 engines unless told otherwise, whatever the graph says.
    ("ort-tensorrt", "fp16"): {"trt_fp16_enable": "1"},
    ("ort-tensorrt", "int8"): {"trt_int8_enable": "1"},
}


def _provider_options(device: str, dtype: Dtype, registers: bool = True) -> dict[str, str]:
    """Return the execution provider's options for a graph of ``dtype``, with STNs or without.

    CUDA computes convolutions and products of float32 in TF32 unless told not to, and distances are off by a percent.
    An fp16 encoder without STNs has none; there the option would only keep its convolutions from being fused.
    """
    if device == "cuda" and (dtype != "fp16" or registers):
        return {"use_tf32": "0"}
    return dict(_DTYPE_OPTIONS.get((device, dtype), {}))


_NEEDS = {
    "cuda": "NVIDIA's driver, CUDA and cuDNN (pip install 'onnxruntime-gpu[cuda,cudnn]', 1.21 or newer, brings both)",
    "ort-tensorrt": "NVIDIA's driver, CUDA, cuDNN and TensorRT",
}
_MEMORY_FAILURE = re.compile(r"memory|alloc", re.IGNORECASE)
_preloading = threading.Lock()


def _ort() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise DeviceError(
            f"ONNX Runtime cannot be imported ({error}); install it: pip install 'regad[cpu]' (or 'regad[gpu]')"
        ) from error
    return onnxruntime


def cuda_available() -> bool:
    """Whether the installed ONNX Runtime offers the CUDA provider."""
    return _PROVIDERS["cuda"] in _ort().get_available_providers()


@cache
def _preload(ort: Any) -> None:
    """Load CUDA and cuDNN from pip's packages of NVIDIA or the system's paths, without a word if they are not there.

    ONNX Runtime's provider then finds them loaded; alone it looks in the system's paths only. Once in a process: what
    it prints is kept from stdout, where records may go.
    """
    if hasattr(ort, "preload_dlls"):  # ONNX Runtime 1.21
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            ort.preload_dlls()


def _reason(error: Exception) -> str:
    """ONNX Runtime's words in one line; of CUDA's errors only what failed, without its functions, files and lines."""
    words = str(error).strip() or type(error).__name__
    found = re.search(r"\bCU\w+ failure \d+: [^;\n]+", words)
    return found.group().strip() if found else words.splitlines()[0]


class _DeviceStatistics:
    """A category's statistics as device values, for the scorer graph of its encoding."""

    def __init__(self, encoding: Encoding, values: Mapping[str, Any]) -> None:
        self.encoding = encoding
        self.values = values


class OrtBackend:
    """See `regad.runtime.backends.base.Backend`. Raises DeviceError if the provider or the device is not there."""

    def __init__(self, artifact: Artifact, device: str, threads: int | None = None) -> None:
        """Create the encoder session on ``device`` (``cpu``, ``cuda`` or ``ort-tensorrt``)."""
        self._ort = _ort()
        self._artifact = artifact
        self._device = device
        self._threads = threads
        provider = _PROVIDERS[device]
        offered = self._ort.get_available_providers()
        if provider not in offered:
            raise DeviceError(
                f"device {device} needs ONNX Runtime's {provider}, but this one offers {', '.join(offered)}; "
                "install the GPU build (pip uninstall onnxruntime, then pip install 'regad[gpu]') or use --device cpu"
            )
        if device == "ort-tensorrt" and os.environ.get("NVIDIA_TF32_OVERRIDE") != "0":
            raise DeviceError(
                "device ort-tensorrt computes float32 in TF32, and ONNX Runtime has no option against it: start with "
                "NVIDIA_TF32_OVERRIDE=0 in the environment, or use --device tensorrt or cuda"
            )
        if device != "cpu":
            with _preloading:
                _preload(self._ort)
        self._encoder = self._session(
            artifact.encoder_path, _provider_options(device, artifact.dtype, artifact.registers)
        )
        self._workspaces = Workspaces(self._encoder)
        self._scorers: dict[Encoding, onnxruntime.InferenceSession] = {}

    @property
    def name(self) -> str:
        """Library, version, execution provider, and on the CPU the scorer, for people to read."""
        library = f"onnxruntime {self._ort.__version__} {_PROVIDERS[self._device]}"
        if self._device != "cpu":
            return library
        return f"{library}, {f'{kernels.kernels()} scorer' if kernels.available() else 'NumPy scorer'}"

    @property
    def device(self) -> str:
        """The device that was opened."""
        return self._device

    def _session(self, path: Path, provider_options: dict[str, str]) -> Any:
        options = self._ort.SessionOptions()
        options.log_severity_level = 3
        # Threads that spin after a run would keep the scorer's from the cores.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if self._threads is not None:
            options.intra_op_num_threads = self._threads
        wanted = _PROVIDERS[self._device]
        try:
            # Left to itself ONNX Runtime goes on on the CPU, when a session is made or later when a run fails.
            session = self._ort.InferenceSession(
                str(path), options, providers=[(wanted, provider_options)], enable_fallback=0
            )
            session.disable_fallback()  # its early versions do not know the argument
        except Exception as error:
            line = _reason(error)
            if self._device != "cpu":
                raise DeviceError(f"{self.name} cannot run {path.name}: {line}; {self._remedy}") from error
            raise ArtifactError(f"{path} cannot be opened by {self.name}: {line}; try regad-doctor --model") from error
        if session.get_providers()[0] != wanted:
            raise DeviceError(
                f"ONNX Runtime offers {wanted} but could not start it (it fell back to {session.get_providers()[0]}); "
                f"{self._remedy}"
            )
        return session

    @property
    def _remedy(self) -> str:
        return f"the device needs {_NEEDS[self._device]}; where they are missing, install them or use --device cpu"

    @contextlib.contextmanager
    def _as_device_error(self) -> Iterator[None]:
        """Turn what ONNX Runtime raises while it works into a DeviceError."""
        try:
            yield
        except Exception as error:
            if not isinstance(error, RuntimeError) and not type(error).__module__.startswith("onnxruntime"):
                raise
            reason = _reason(error)
            memory = _MEMORY_FAILURE.search(reason)
            remedy = "close other programs or judge fewer images at once" if memory else "check it with regad-doctor"
            raise DeviceError(f"{self.name} failed: {reason}; {remedy}") from error

    def encode(self, images: NDArray[np.uint8]) -> Features:
        """Features on the host of uint8 RGB images [B, 224, 224, 3]."""
        with self._as_device_error():
            return Features(*self._encoder.run(list(Features._fields), {"image": images}))

    def prepare(self, statistics: Statistics) -> StatisticsHandle:
        """Hand a category's statistics to the scorer (CPU) or upload them (GPU), once."""
        if self._device == "cpu":
            return host_scorer(statistics, self._threads)
        tensors = graph_tensors(statistics, self._artifact.statistics_dtype)
        if statistics.encoding not in self._scorers:
            self._scorers[statistics.encoding] = self._session(
                self._artifact.scorer_path(statistics.encoding), _provider_options(self._device, "fp32")
            )
        upload = self._ort.OrtValue.ortvalue_from_numpy
        with self._as_device_error():
            values = {name: upload(value, "cuda", 0) for name, value in tensors.items()}
            ready = _DeviceStatistics(statistics.encoding, values)
            # The first run of one image chooses kernels, which takes a third of a second: not with the first frame.
            self._infer_on_device(np.zeros((1, SIZE, SIZE, 3), np.uint8), ready)
        return ready

    def infer(self, images: NDArray[np.uint8], statistics: StatisticsHandle) -> Inference:
        """Encode and score uint8 RGB images [B, 224, 224, 3]."""
        with self._as_device_error():
            if isinstance(statistics, HostScorer):
                return self._infer_on_host(images, statistics)
            assert isinstance(statistics, _DeviceStatistics)
            return self._infer_on_device(images, statistics)

    def _infer_on_device(self, images: NDArray[np.uint8], statistics: _DeviceStatistics) -> Inference:
        start = time.perf_counter()
        values = self._encode_on_device(images)
        encoded = time.perf_counter()
        maps, scores = self._score_on_device(values, statistics)
        theta = values["theta"].numpy()
        end = time.perf_counter()
        return Inference(maps, scores, theta, (encoded - start) * 1e3, (end - encoded) * 1e3)

    def _infer_on_host(self, images: NDArray[np.uint8], scorer: HostScorer) -> Inference:
        start = time.perf_counter()
        workspace = self._workspaces.take(len(images))
        features = workspace.encode(images)
        encoded = time.perf_counter()
        if isinstance(scorer, CompiledScorer):
            maps, scores = scorer.score(features, workspace.distances)
        else:
            maps, scores = scorer.score(features)
        theta = features.theta.copy()
        self._workspaces.give(workspace)
        end = time.perf_counter()
        return Inference(maps, scores, theta, (encoded - start) * 1e3, (end - encoded) * 1e3)

    def _encode_on_device(self, images: NDArray[np.uint8]) -> dict[str, Any]:
        binding = self._encoder.io_binding()
        binding.bind_cpu_input("image", images)
        for name in Features._fields:
            binding.bind_output(name, "cpu" if name == "theta" else "cuda")
        self._encoder.run_with_iobinding(binding)
        return dict(zip(Features._fields, binding.get_outputs(), strict=True))

    def _score_on_device(
        self, features: Mapping[str, Any], statistics: _DeviceStatistics
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        scorer = self._scorers[statistics.encoding]
        binding = scorer.io_binding()
        for name in ("f1", "f2", "f3"):
            binding.bind_ortvalue_input(name, features[name])
        for name, value in statistics.values.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_output("anomaly_map", "cpu")
        binding.bind_output("anomaly_score", "cpu")
        scorer.run_with_iobinding(binding)
        maps, scores = binding.copy_outputs_to_cpu()
        return maps, scores

    def close(self) -> None:
        """Release the sessions and their device memory."""
        self._scorers.clear()
        self._encoder = None
