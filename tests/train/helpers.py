"""Drawn pictures and small model files for the tests of regad.train."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from regad.runtime.formats.spec import InputSpec
from regad.train.model.checkpoint import Checkpoint, save_checkpoint
from regad.train.model.heads import Predictor, SiameseEncoder
from regad.train.model.registration import RegistrationEncoder
from regad.train.run.config import EDGE_FEATURES


def draw(path: Path, seed: int, size: tuple[int, int] = (48, 40)) -> None:
    """Write a small picture: a bright square at a place chosen by ``seed``, on noise."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 60, (size[1], size[0], 3), dtype=np.uint8)
    x, y = rng.integers(2, 20, 2)
    image[y : y + 12, x : x + 12] = (200, 40 + 10 * (seed % 15), 90)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def make_data(root: Path, good: dict[str, int]) -> Path:
    """Make ``train/good`` of several categories; ``good`` is the number of images by name."""
    for number, (name, count) in enumerate(good.items()):
        for index in range(count):
            draw(root / name / "train" / "good" / f"{index:03}.png", 100 * number + index)
    return root


def run_program(main: Callable[[], None], monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    """Run a command's entry point with arguments; its exit status."""
    monkeypatch.setattr(sys, "argv", ["program", *args])
    with pytest.raises(SystemExit) as stop:
        main()
    assert isinstance(stop.value.code, int)
    return stop.value.code


def released(mode: str, seed: int = 0) -> dict[str, dict[str, torch.Tensor]]:
    """Return what the released code saves for a model of ``mode``, with every STN away from the identity."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = RegistrationEncoder(mode)
        perturb(encoder)
        return {"STN": encoder.state_dict(), "ENC": SiameseEncoder().state_dict(), "PRED": Predictor().state_dict()}


def save_edge(path: Path, seed: int = 0) -> None:
    """Write a checkpoint whose features are normalised as the default recipe does it: f2 and f3 are scored."""
    states = released("rotation_scale", seed)
    parts = (states["STN"], states["ENC"], states["PRED"])
    save_checkpoint(path, Checkpoint(*parts, "rotation_scale", InputSpec(), normalization=EDGE_FEATURES))


def perturb(encoder: RegistrationEncoder, scale: float = 0.02) -> None:
    """Let the three STNs predict transforms that depend on the image."""
    for stn in (encoder.stn1, encoder.stn2, encoder.stn3):
        last = stn.fc[2]
        assert isinstance(last, torch.nn.Linear)
        torch.nn.init.normal_(last.weight, std=scale)
        with torch.no_grad():
            last.bias.add_(torch.linspace(0.05, 0.15, len(last.bias)))
