"""ONNX Runtime's CPU provider: the encoder graph beside the host's scorer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArtifactError
from ..formats.artifact import Artifact
from ..formats.features import Features
from .base import Encoded
from .host import HostEncoded, HostScoring, scorer_name
from .ort import OrtTurns, load_onnxruntime, open_session, reason
from .workspace import Workspaces

__all__ = ["OrtCpuBackend", "cpu_available"]

_PROVIDER = "CPUExecutionProvider"


def cpu_available() -> bool:
    """Whether ONNX Runtime is there; its CPU provider always is. Raises DeviceError, naming what to install."""
    load_onnxruntime()
    return True


class OrtCpuBackend(OrtTurns, HostScoring):
    """See `regad.runtime.backends.base.Backend`; its name says which scorer runs beside the encoder."""

    def __init__(self, artifact: Artifact, threads: int | None = None) -> None:
        """Open the encoder. Raises DeviceError without ONNX Runtime, ArtifactError for a graph that it cannot open."""
        super().__init__(threads)
        ort = load_onnxruntime()
        self._library = f"onnxruntime {ort.__version__} {_PROVIDER}"
        try:
            session = open_session(ort, artifact.encoder_path, _PROVIDER, {}, threads)
        except Exception as error:
            raise ArtifactError(
                f"{artifact.encoder_path} cannot be opened by {self.name}: {reason(error)}",
                remedy="try regad-doctor --model",
            ) from error
        self._session: Any = session
        self._workspaces = Workspaces(partial(_bind, session))

    @property
    def name(self) -> str:
        """Library, version, execution provider and scorer, for people to read."""
        return f"{self._library}, {scorer_name()}"

    @property
    def device(self) -> str:
        """Always ``cpu``."""
        return "cpu"

    def _encode(self, images: NDArray[np.uint8]) -> Encoded:
        workspace = self._workspaces.take(len(images))
        features = workspace.encode(images)
        return HostEncoded(self, features, workspace.distances, partial(self._workspaces.give, workspace))

    def _release(self) -> None:
        self._session = None
        self._workspaces = Workspaces(partial(_bind, None))


def _bind(session: Any, images: NDArray[np.uint8], features: Features) -> Callable[[], object]:
    binding = session.io_binding()
    binding.bind_input("image", "cpu", 0, np.uint8, images.shape, images.ctypes.data)
    for name, out in features._asdict().items():
        binding.bind_output(name, "cpu", 0, np.float32, out.shape, out.ctypes.data)
    return partial(session.run_with_iobinding, binding)
