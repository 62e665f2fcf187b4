"""Training and evaluation on a real GPU, against the CPU; skipped, with the reason, where there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regad.train.evaluation.backend_torch import TorchBackend
from regad.train.model.checkpoint import load_checkpoint
from regad.train.model.registration import RegistrationEncoder
from regad.train.run import loop
from regad.train.run.config import TrainConfig, recipe
from regad.train.run.device import torch_device

from ..helpers import make_data, perturb

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU and torch with CUDA"),
]
HERE = Path(__file__).resolve().parent
OPTIONS: dict[str, Any] = {"weights": "none", "shot": 1, "epochs": 2, "batch_size": 4, "lr": 1e-3, "head_lr": 1e-3}


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_features_are_those_of_the_cpu() -> None:
    """TF32 would be off by 1e-2."""
    torch.manual_seed(0)
    encoder = RegistrationEncoder()
    perturb(encoder)
    images = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), np.uint8)
    wanted = TorchBackend(encoder.eval(), torch_device("cpu")).features(images)
    device = torch_device("auto")
    assert device.type == "cuda"
    for name, got, want in zip(wanted._fields, TorchBackend(encoder, device).features(images), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-3 * np.abs(want).max(), err_msg=name)


@pytest.mark.parametrize("augment", [False, True])
def test_training_goes_as_on_the_cpu(tmp_path: Path, augment: bool) -> None:
    data = make_data(tmp_path / "data", {"a": 3, "b": 5})
    options = {**recipe("released"), **OPTIONS, "augment": augment, "stn_lr": 0.0}
    for device in ("cpu", "cuda"):
        loop.train(TrainConfig(data, tmp_path / device, **{**options, "device": device}))
    assert losses(tmp_path / "cuda") == pytest.approx(losses(tmp_path / "cpu"), abs=2e-3)
    first, second = (load_checkpoint(tmp_path / device / "model.pt") for device in ("cpu", "cuda"))
    for name, value in first.stn.items():
        assert second.stn[name].device.type == "cpu"
        torch.testing.assert_close(second.stn[name], value, rtol=1e-2, atol=2e-3, msg=name)


def test_training_with_transforms_and_amp(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data", {"a": 3, "b": 5})
    options = {**recipe("released"), **OPTIONS, "stn_lr": 1e-3, "device": "cuda", "amp": True}
    loop.train(TrainConfig(data, tmp_path / "out", **options))
    assert all(np.isfinite(losses(tmp_path / "out")))
    states = load_checkpoint(tmp_path / "out" / "model.pt").stn
    assert {value.dtype for value in states.values() if value.is_floating_point()} == {torch.float32}


def test_nccl(tmp_path: Path) -> None:
    """As many processes as there are GPUs; with one GPU NCCL's collectives are called all the same."""
    count = torch.cuda.device_count()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    script = [str(HERE / "collectives.py"), "nccl", "cuda"]
    done = subprocess.run([*command, *script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    if count > 1:
        data = make_data(tmp_path / "data", {"a": 3, "b": 5})
        words = ["-m", "regad.train.cli", "--recipe", "released", "--data", str(data), "--out", str(tmp_path / "out")]
        for name, value in {**OPTIONS, "stn_lr": 0.0}.items():
            words += [f"--{name.replace('_', '-')}", str(value)]
        done = subprocess.run([*command, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
