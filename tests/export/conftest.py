"""Randomly initialised models whose STNs do something, and one of them as the artifact that all tests share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from regad.runtime.formats.artifact import Artifact
from regad.train.model.checkpoint import build_encoder, load_checkpoint
from regad.train.model.registration import RegistrationEncoder


def random_encoder(stn_mode: str = "rotation_scale", seed: int = 0, **normalization: object) -> RegistrationEncoder:
    """An encoder in eval mode with random batch norms, and transforms that differ from image to image."""
    torch.manual_seed(seed)
    encoder = RegistrationEncoder(stn_mode, **normalization).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for module in encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
        for stn in (encoder.stn1, encoder.stn2, encoder.stn3):
            stn.fc[-1].weight.normal_(0, 0.05)
            stn.fc[-1].bias.add_(torch.empty_like(stn.fc[-1].bias).uniform_(-0.3, 0.3))
    return encoder


def identity_encoder(mode: str = "rotation_scale") -> RegistrationEncoder:
    """Random weights and batch norms, STNs as they are before training."""
    encoder, fresh = random_encoder(mode), RegistrationEncoder(mode)
    with torch.no_grad():
        for name in ("stn1", "stn2", "stn3"):
            getattr(encoder, name).load_state_dict(getattr(fresh, name).state_dict())
    return encoder


@dataclass(frozen=True)
class Exported:
    """A checkpoint, its encoder, and the artifact that ``regad-export`` made of it."""

    encoder: RegistrationEncoder
    checkpoint: Path
    artifact: Artifact

    def model(self) -> onnx.ModelProto:
        return onnx.load(self.artifact.encoder_path)


@pytest.fixture(scope="session")
def exported(artifact_dir: Path) -> Exported:
    checkpoint = artifact_dir.parent / "model.pt"
    return Exported(build_encoder(load_checkpoint(checkpoint)), checkpoint, Artifact.open(artifact_dir))
