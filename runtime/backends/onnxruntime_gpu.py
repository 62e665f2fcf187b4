"""ONNX Runtime's CUDA and TensorRT providers: both graphs run on the device, and features and statistics stay there."""

from __future__ import annotations

import contextlib
import io
import math
import os
import threading
import warnings
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError
from ..formats.artifact import Artifact
from ..formats.encodings import StatisticsGroups, form_of
from ..formats.features import Features
from ..formats.scoring import Calibration, Scoring
from ..formats.spec import SIZE, Dtype
from ..scoring.reference import graph_tensors
from .base import Encoded, Maps, StatisticsHandle, require_own
from .ort import OrtTurns, load_onnxruntime, open_session, reason, runs_nowhere

__all__ = ["OrtGpuBackend", "cuda_available", "open_cuda", "open_ort_tensorrt"]

_PROVIDERS = {"cuda": "CUDAExecutionProvider", "ort-tensorrt": "TensorrtExecutionProvider"}

_DTYPE_OPTIONS: Mapping[tuple[str, Dtype], Mapping[str, str]] = {
    # The provider builds float32 engines unless told otherwise, whatever the graph says.
    ("ort-tensorrt", "fp16"): {"trt_fp16_enable": "1"},
    ("ort-tensorrt", "int8"): {"trt_int8_enable": "1"},
}
_preloading = threading.Lock()


def _provider_options(device: str, dtype: Dtype, registers: bool = True) -> Mapping[str, str]:
    """Return the execution provider's options for a graph of ``dtype``, with STNs or without.

    CUDA computes convolutions and products of float32 in TF32 unless told not to, and distances are off by a percent.
    An fp16 encoder without STNs has none; there the option would only keep its convolutions from being fused.
    """
    if device == "cuda" and (dtype != "fp16" or registers):
        return {"use_tf32": "0"}
    return _DTYPE_OPTIONS.get((device, dtype), {})


def cuda_available() -> bool:
    """Whether the installed ONNX Runtime offers the CUDA provider. Raises DeviceError without ONNX Runtime."""
    return _PROVIDERS["cuda"] in load_onnxruntime().get_available_providers()


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


class _DeviceStatistics:
    """A category's statistics as device values, for the scorer graph at ``path``."""

    def __init__(self, backend: OrtGpuBackend, levels: Sequence[str], path: Path, values: Mapping[str, Any]) -> None:
        self.backend = backend
        self.levels = levels
        self.path = path
        self.values = values


class _DeviceEncoded(Encoded):
    """Features as device values; theta on the host. ``cut`` are the images that it is a view of; None: all."""

    def __init__(self, backend: OrtGpuBackend, values: Mapping[str, Any], cut: slice | None = None) -> None:
        super().__init__(backend)
        self.values = values
        self.cut = cut
        self._maker = backend

    @property
    def theta(self) -> NDArray[np.float32]:
        return self._maker.fetch(self.values, ("theta",))[0][self.cut or slice(None)]

    def features(self) -> Features:
        levels = self._maker.fetch(self.values, Features._fields)
        return Features(*(level[self.cut or slice(None)] for level in levels))

    def rows(self, start: int, stop: int) -> _DeviceEncoded:
        first = 0 if self.cut is None else self.cut.start
        return _DeviceEncoded(self._maker, self.values, slice(first + start, first + stop))

    def bind(self, binding: Any, name: str) -> None:
        """Let a binding read a level where it lies."""
        value = self.values[name]
        if self.cut is None:
            binding.bind_ortvalue_input(name, value)
            return
        _, *image = value.shape()
        shape = (self.cut.stop - self.cut.start, *image)
        start = value.data_ptr() + self.cut.start * math.prod(image) * np.dtype(np.float32).itemsize
        binding.bind_input(name, "cuda", 0, np.float32, shape, start)


class OrtGpuBackend(OrtTurns):
    """See `regad.runtime.backends.base.Backend`. Raises DeviceError if the provider or the device is not there.

    ``threads`` bounds what is left to the CPU.
    """

    def __init__(self, artifact: Artifact, device: str, threads: int | None = None) -> None:
        """Create the encoder session on ``device``: ``cuda`` or ``ort-tensorrt``."""
        super().__init__()
        self._ort = load_onnxruntime()
        self._artifact = artifact
        self._device = device
        self._threads = threads
        provider = _PROVIDERS[device]
        offered = self._ort.get_available_providers()
        if provider not in offered:
            raise DeviceError(
                f"device {device} needs ONNX Runtime's {provider}, but this one offers {', '.join(offered)}",
                remedy="install the GPU build (pip uninstall onnxruntime, then pip install 'regad[gpu]') "
                "or use --device cpu",
                code="missing",
            )
        if device == "ort-tensorrt" and os.environ.get("NVIDIA_TF32_OVERRIDE") != "0":
            raise DeviceError(
                "device ort-tensorrt computes float32 in TF32, and ONNX Runtime has no option to switch it off",
                remedy="start with NVIDIA_TF32_OVERRIDE=0 in the environment, or use --device tensorrt or cuda",
                code="tf32",
            )
        with _preloading:
            _preload(self._ort)
        self._encoder: Any = self._open_encoder()
        self._batch_encoder: Any = None
        self._scorers: dict[Path, Any] = {}
        self._opening = threading.Lock()

    @property
    def name(self) -> str:
        """Library, version and execution provider, for people to read."""
        return f"onnxruntime {self._ort.__version__} {_PROVIDERS[self._device]}"

    @property
    def device(self) -> str:
        """The device that was opened."""
        return self._device

    def _session(self, path: Path, provider_options: Mapping[str, str]) -> Any:
        wanted = _PROVIDERS[self._device]
        try:
            session = open_session(self._ort, path, wanted, provider_options, self._threads)
        except Exception as error:
            raise DeviceError(f"{self.name} cannot run {path.name}: {reason(error)}") from error
        if session.get_providers()[0] != wanted:
            raise DeviceError(
                f"ONNX Runtime offers {wanted} but could not start it (it fell back to {session.get_providers()[0]})"
            )
        if runs_nowhere(session, wanted):
            # The providers are one library for all copies of ONNX Runtime in a process, and lose their kernels with
            # the environment of one of them.
            raise DeviceError(
                f"ONNX Runtime runs nothing of {path.name} on its {wanted}: another copy of it in this process, the C "
                "library's perhaps, was closed and took the provider's kernels along",
                remedy="use the GPU from Python or from the C library in a process, not from both",
            )
        return session

    def _open_encoder(self) -> Any:
        artifact = self._artifact
        return self._session(artifact.encoder_path, _provider_options(self._device, artifact.dtype, artifact.registers))

    def _encoder_for(self, count: int) -> Any:
        """The encoder's session for so many images: on CUDA one image has a session of its own.

        Whenever their number changes, the CUDA provider plans every convolution anew, for 40 ms and more. A line's
        frames must not pay for the batches that teaching encodes between them.
        """
        if count == 1 or self._device != "cuda":
            return self._encoder
        with self._opening:
            if self._batch_encoder is None:
                self._batch_encoder = self._open_encoder()
            return self._batch_encoder

    def _encode(self, images: NDArray[np.uint8]) -> Encoded:
        encoder = self._encoder_for(len(images))
        binding = encoder.io_binding()
        binding.bind_cpu_input("image", images)
        for name in Features._fields:
            binding.bind_output(name, "cpu" if name == "theta" else "cuda")
        encoder.run_with_iobinding(binding)
        return _DeviceEncoded(self, dict(zip(Features._fields, binding.get_outputs(), strict=True)))

    def _prepare(
        self, statistics: StatisticsGroups, scoring: Scoring, calibration: Calibration | None
    ) -> StatisticsHandle:
        tensors = graph_tensors(statistics, self._artifact.statistics_dtype, scoring, calibration)
        upload = self._ort.OrtValue.ortvalue_from_numpy
        path = self._artifact.scorer_path(form_of(statistics))
        self._scorer(path)
        values = {name: upload(value, "cuda", 0) for name, value in tensors.items()}
        ready = _DeviceStatistics(self, sum(scoring.groups, ()), path, values)
        # The first run of one image chooses kernels, which takes a third of a second: not with the first frame.
        self._infer(np.zeros((1, SIZE, SIZE, 3), np.uint8), ready)
        return ready

    def _scorer(self, path: Path) -> Any:
        """The session of a scorer graph, opened once, whoever asks first."""
        with self._opening:
            if path not in self._scorers:
                self._scorers[path] = self._session(path, _provider_options(self._device, "fp32"))
            return self._scorers[path]

    def _score(self, encoded: Encoded, statistics: StatisticsHandle) -> Maps:
        batch = require_own(encoded, _DeviceEncoded, "the features", self)
        ready = require_own(statistics, _DeviceStatistics, "the statistics", self)
        scorer = self._scorer(ready.path)
        binding = scorer.io_binding()
        for name in ready.levels:
            batch.bind(binding, name)
        for name, value in ready.values.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_output("anomaly_map", "cpu")
        binding.bind_output("anomaly_score", "cpu")
        scorer.run_with_iobinding(binding)
        maps, scores = binding.copy_outputs_to_cpu()
        return Maps(maps, scores)

    def fetch(self, values: Mapping[str, Any], names: Sequence[str]) -> list[NDArray[np.float32]]:
        """Bring some of a batch's device values to the host, in a turn of its own."""
        with self._turn():
            return [values[name].numpy() for name in names]

    def _release(self) -> None:
        self._encoder = self._batch_encoder = None
        self._scorers.clear()


open_cuda = partial(OrtGpuBackend, device="cuda")
"""Open an artifact on the CUDA provider."""

open_ort_tensorrt = partial(OrtGpuBackend, device="ort-tensorrt")
"""Open an artifact on the TensorRT provider; TF32 must be switched off for the process."""
