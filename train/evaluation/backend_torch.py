"""The PyTorch backend: a checkpoint behind the protocol of the deployed backends, so that teaching and scoring are one.

The encoder runs in torch, on the CPU or CUDA; scores come from the host's scorer, as on a deployed CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from regad.runtime.backends.base import Encoded
from regad.runtime.backends.host import HostEncoded, HostScoring
from regad.runtime.detector import Detector
from regad.runtime.formats.encodings import StatisticsDtype
from regad.runtime.formats.features import Features
from regad.runtime.formats.prior import Priors
from regad.runtime.formats.scoring import Scoring
from regad.runtime.formats.spec import Dtype, InputSpec
from regad.runtime.model import Model

from ..data.episodes import to_input
from ..model import registration
from ..model.affine import compose, identity, inverse, warp
from ..model.checkpoint import build_encoder, load_checkpoint
from ..model.registration import Aligned, RegistrationEncoder, Thetas
from ..run.device import torch_device

__all__ = ["FORWARDS", "CheckpointInfo", "Forward", "TorchBackend", "checkpoint_detector"]

Forward = Callable[[RegistrationEncoder, torch.Tensor], tuple[Aligned, Thetas]]
"""How images [B, 3, 224, 224] become aligned maps and transforms; ablations replace it."""


def _as_trained(encoder: RegistrationEncoder, images: torch.Tensor) -> tuple[Aligned, Thetas]:
    """Return what the encoder itself returns."""
    encoded: registration.EncoderOutput = encoder(images)
    return encoded.aligned, encoded.thetas


def _without_stn(encoder: RegistrationEncoder, images: torch.Tensor) -> tuple[Aligned, Thetas]:
    """Pass every map on as it is: nothing is registered, so nothing has to be aligned back."""
    f1 = encoder.layer1(encoder.stem(images))
    f2 = encoder.layer2(f1)
    same = identity(len(images)).to(images.device)
    return encoder.normalize(Aligned(f1, f2, encoder.layer3(f2))), Thetas(same, same, same)


def _unaligned(encoder: RegistrationEncoder, images: torch.Tensor) -> tuple[Aligned, Thetas]:
    """Leave the registered maps in their own frames."""
    x1, x2, x3, thetas = encoder.register(images)
    return encoder.normalize(Aligned(x1, x2, x3)), thetas


def _composed(encoder: RegistrationEncoder, images: torch.Tensor) -> tuple[Aligned, Thetas]:
    """Align back with one warp a level, by the composition of the inverses, instead of a chain of warps."""
    x1, x2, x3, thetas = encoder.register(images)
    i1, i2, i3 = (inverse(theta) for theta in thetas)
    i21 = compose(i2, i1)
    return encoder.normalize(Aligned(warp(x1, i1), warp(x2, i21), warp(x3, compose(i3, i21)))), thetas


FORWARDS: dict[str, Forward] = {
    "as trained": _as_trained,
    "without stn": _without_stn,
    "unaligned": _unaligned,
    "composed": _composed,
}
"""The encoder as it is, and what ablations make of it."""


class TorchBackend(HostScoring):
    """See `regad.runtime.backends.base.Backend`. ``encoder`` is in eval mode; ``forward`` is what is done with it."""

    def __init__(self, encoder: RegistrationEncoder, device: torch.device, forward: Forward = _as_trained) -> None:
        super().__init__(torch.get_num_threads())
        # Channels last: a quarter less time on a CPU, and the features come out in the order that is asked for.
        encoder = encoder.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._encoder: RegistrationEncoder | None = encoder
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
    def _encode(self, images: NDArray[np.uint8]) -> Encoded:
        assert self._encoder is not None, "a turn ends before the backend is released"
        batch = to_input(images).to(self._device, memory_format=torch.channels_last)
        aligned, thetas = self._forward(self._encoder, batch)
        f1, f2, f3 = (level.flatten(2).transpose(1, 2).contiguous().cpu().numpy() for level in aligned)
        return HostEncoded(self, Features(f1, f2, f3, torch.stack(list(thetas), dim=1).cpu().numpy()))

    def _release(self) -> None:
        self._encoder = None


@dataclass(frozen=True)
class CheckpointInfo:
    """What is known of a checkpoint, as `regad.runtime.model.ModelInfo` has it; its identity is the file's sha256."""

    path: Path
    hash: str
    spec: InputSpec
    dtype: Dtype = "fp32"
    statistics_dtype: StatisticsDtype = "fp32"
    scoring: Scoring = field(default_factory=Scoring)
    prior: Priors | None = None


def checkpoint_detector(
    path: Path, device: str = "cpu", stn_mode: str | None = None, forward: str = "as trained"
) -> Detector:
    """Open a checkpoint as a detector, in torch. ``forward`` is one of `FORWARDS`.

    Raises InputError for a file that is no checkpoint, and DeviceError.
    """
    checkpoint = load_checkpoint(path, stn_mode)
    backend = TorchBackend(build_encoder(checkpoint), torch_device(device), FORWARDS[forward])
    return Detector(Model(CheckpointInfo(path, checkpoint.sha256, checkpoint.spec), backend), owns_model=True)
