"""Randomly initialised models whose STNs do something, and one of them as the artifact that all tests share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from regad.export import golden, parity, reference
from regad.export.writer import encoder_model
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.normalization import FeatureNormalization
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


def affine_encoder() -> RegistrationEncoder:
    """Another mode, and pixels that are normalised."""
    return random_encoder("affine", seed=7, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


MIXED = FeatureNormalization((0.0, 0.5, 1.0), (2.0, 3.0, 12.5))


def normalized(encoder: RegistrationEncoder, normalization: FeatureNormalization = MIXED) -> RegistrationEncoder:
    encoder.normalization = normalization
    return encoder


def fingerprint(encoder: RegistrationEncoder) -> bytes:
    """Equal for encoders of equal weights and configuration."""
    digest = hashlib.sha256(repr((encoder.normalization, encoder.stn1.mode, encoder.training)).encode())
    for tensor in (*encoder.parameters(), *encoder.buffers()):
        digest.update(tensor.detach().numpy().tobytes())
    return digest.digest()


expected: dict[tuple[bytes, ...], Any] = {}
"""What PyTorch and the float64 scores give, by the function and its arguments."""


def digest(value: RegistrationEncoder | Iterable[NDArray[Any]]) -> bytes:
    if isinstance(value, RegistrationEncoder):
        return fingerprint(value)
    arrays = [value] if isinstance(value, np.ndarray) else value
    return b"".join(hashlib.sha256(np.ascontiguousarray(array)).digest() for array in arrays)


@pytest.fixture(scope="module", autouse=True)
def computed_once() -> Iterator[None]:
    """Compute what graphs are compared with once for all tests of this folder; the graphs always run."""

    def remembered(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            key = (function.__name__.encode(), *map(digest, arguments))
            if key not in expected:
                expected[key] = function(*arguments)
            return expected[key]

        return call

    with pytest.MonkeyPatch.context() as patch:
        for module in (parity, golden):
            for name in ("torch_features", "scores"):
                patch.setattr(module, name, remembered(getattr(reference, name)))
        yield


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


@pytest.fixture(scope="module")
def half(exported: Exported) -> onnx.ModelProto:
    """Its encoder in fp16; not to be changed."""
    return encoder_model(exported.encoder, half=True)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two drawn categories in MVTec layout: stripes with noise, and a blot on the bad ones."""
    root = tmp_path_factory.mktemp("parts")
    for category, period in (("wide", 16), ("narrow", 7)):
        for folder, count in (("train/good", 4), ("test/good", 3), ("test/blot", 3)):
            (root / category / folder).mkdir(parents=True)
            for number in range(count):
                rng = np.random.default_rng([period, count, number, len(folder)])
                image = np.full((96, 96, 3), 90, np.uint8)
                image[:, np.arange(96) // period % 2 == 0] = 160
                if "blot" in folder:
                    image[40:60, 30:50] = 250
                noisy = np.clip(image + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8)
                Image.fromarray(noisy).save(root / category / folder / f"{number}.png")
    return root
