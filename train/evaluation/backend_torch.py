"""The PyTorch backend: a checkpoint behind the protocol of the deployed backends, so that teaching and scoring are one.

The encoder runs in torch, on the CPU or CUDA; scores come from the host's scorer, as on a deployed CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from regad.runtime.backends.base import Inference, StatisticsHandle
from regad.runtime.detector import Detector
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.encodings import Statistics
from regad.runtime.formats.features import Features
from regad.runtime.scoring.compiled import HostScorer, host_scorer

from ..data.episodes import to_input
from ..model.affine import compose, identity, inverse, warp
from ..model.checkpoint import build_encoder, load_checkpoint
from ..model.registration import Aligned, Encoded, RegistrationEncoder, Thetas
from ..run.device import torch_device

__all__ = ["FORWARDS", "Forward", "TorchBackend", "checkpoint_detector"]

Forward = Callable[[RegistrationEncoder, torch.Tensor], tuple[Aligned, Thetas]]
"""How images [B, 3, 224, 224] become aligned maps and transforms; ablations replace it."""


def _as_trained(encoder: RegistrationEncoder, images: torch.Tensor) -> tuple[Aligned, Thetas]:
    """Return what the encoder itself returns."""
    encoded: Encoded = encoder(images)
    return encoded.aligned, encoded.thetas


def _without_stn(encoder: RegistrationEncoder, images: torch.Tensor) -> tuple[Aligned, Thetas]:
    """Pass every map on as it is: nothing is registered, so nothing has to be aligned back."""
    f1 = encoder.layer1(encoder.stem(images))
    f2 = encoder.layer2(f1)
    same = identity(len(images)).to(images.device)
    return Aligned(f1, f2, encoder.layer3(f2)), Thetas(same, same, same)


def _unaligned(encoder: RegistrationEncoder, images: torch.Tensor) -> tuple[Aligned, Thetas]:
    """Leave the registered maps in their own frames."""
    x1, x2, x3, thetas = encoder.register(images)
    return Aligned(x1, x2, x3), thetas


def _composed(encoder: RegistrationEncoder, images: torch.Tensor) -> tuple[Aligned, Thetas]:
    """Align back with one warp a level, by the composition of the inverses, instead of a chain of warps."""
    x1, x2, x3, thetas = encoder.register(images)
    i1, i2, i3 = (inverse(theta) for theta in thetas)
    i21 = compose(i2, i1)
    return Aligned(warp(x1, i1), warp(x2, i21), warp(x3, compose(i3, i21))), thetas


FORWARDS: dict[str, Forward] = {
    "as trained": _as_trained,
    "without stn": _without_stn,
    "unaligned": _unaligned,
    "composed": _composed,
}
"""The encoder as it is, and what ablations make of it."""


class TorchBackend:
    """See `regad.runtime.backends.base.Backend`. ``encoder`` is in eval mode; ``forward`` is what is done with it."""

    def __init__(self, encoder: RegistrationEncoder, device: torch.device, forward: Forward = _as_trained) -> None:
        # Channels last: a quarter less time on a CPU, and the features come out in the order that is asked for.
        self._encoder = encoder.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device = device
        self._forward = forward

    @property
    def name(self) -> str:
        """Library and version, for people to read."""
        return f"torch {torch.__version__}"

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""
        return self._device.type

    @torch.inference_mode()
    def encode(self, images: NDArray[np.uint8]) -> Features:
        """Features on the host of uint8 RGB images [B, 224, 224, 3]."""
        batch = to_input(images).to(self._device, memory_format=torch.channels_last)
        aligned, thetas = self._forward(self._encoder, batch)
        f1, f2, f3 = (level.flatten(2).transpose(1, 2).contiguous().cpu().numpy() for level in aligned)
        return Features(f1, f2, f3, torch.stack(list(thetas), dim=1).cpu().numpy())

    def prepare(self, statistics: Statistics) -> StatisticsHandle:
        """Make a category's statistics ready for scoring on the host, in as many threads as torch takes."""
        return host_scorer(statistics, torch.get_num_threads())

    def infer(self, images: NDArray[np.uint8], statistics: StatisticsHandle) -> Inference:
        """Encode and score uint8 RGB images [B, 224, 224, 3]."""
        assert isinstance(statistics, HostScorer)
        start = time.perf_counter()
        features = self.encode(images)
        encoded = time.perf_counter()
        maps, scores = statistics.score(features)
        end = time.perf_counter()
        return Inference(maps, scores, features.theta, (encoded - start) * 1e3, (end - encoded) * 1e3)

    def close(self) -> None:
        """Do nothing: the memory goes with the object."""


def checkpoint_detector(
    path: Path, device: str = "cpu", stn_mode: str | None = None, forward: str = "as trained"
) -> Detector:
    """Open a checkpoint as a detector, in torch; its identity is the file's sha256. ``forward`` is one of `FORWARDS`.

    Raises InputError for a file that is no checkpoint, and DeviceError.
    """
    checkpoint = load_checkpoint(path, stn_mode)
    backend = TorchBackend(build_encoder(checkpoint), torch_device(device), FORWARDS[forward])
    artifact = Artifact(path=path, manifest={}, hash=checkpoint.sha256, spec=checkpoint.spec, dtype="fp32")
    return Detector(artifact, backend)
