"""Two real processes under torchrun, over gloo on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from regad.runtime.errors import DeviceError, InputError
from regad.train.model.checkpoint import load_checkpoint
from regad.train.run import loop
from regad.train.run.config import TrainConfig, recipe
from regad.train.run.distributed import Group, check_batch, join

from ..helpers import make_data

HERE = Path(__file__).resolve().parent


def torchrun(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *words]
    threads = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **threads}, check=False)


def test_batch_norm_the_check_of_weights_and_the_collectives_in_two_processes() -> None:
    """The collectives are what tests/train/run/test_torch_cuda.py asks of NCCL."""
    done = torchrun(str(HERE / "ranks.py"))
    assert done.returncode == 0, done.stderr[-3000:]


OPTIONS: dict[str, Any] = {
    "weights": "none", "shot": 1, "epochs": 2, "batch_size": 4, "device": "cpu", "augment": True,
    "lr": 1e-3, "stn_lr": 0.0, "head_lr": 1e-3,
}  # fmt: skip


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """Batches of 3 (2 and 1), 4 (2 and 2) and 1 (the same for both), batch norm in train mode, augmentation.

    Without the STNs: at the identity their gradient sits on a kink of the bilinear sampler, where the last bit of a sum
    decides between two slopes, so that any two orders of summation part ways. That the processes' weights are equal bit
    for bit is checked by training itself, after every epoch.
    """
    data = make_data(tmp_path / "data", {"a": 3, "b": 5})
    one = loop.train(TrainConfig(data, tmp_path / "one", **{**recipe("released"), **OPTIONS}))
    words = ["-m", "regad.train.cli", "--recipe", "released", "--augment", "--data", str(data)]
    for name in OPTIONS.keys() - {"augment"}:
        words += [f"--{name.replace('_', '-')}", str(OPTIONS[name])]
    done = torchrun(*words, "--out", str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("next: regad-export") == 1
    logs = [
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    for mine, theirs in zip(*logs, strict=True):
        assert theirs["loss"] == pytest.approx(mine["loss"], abs=1e-6)
        assert theirs["lr"] == mine["lr"]
    first, second = load_checkpoint(one), load_checkpoint(tmp_path / "two" / "model.pt")
    assert (first.provenance["processes"], second.provenance["processes"]) == (1, 2)
    for name, value in first.stn.items():
        torch.testing.assert_close(second.stn[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_shares_of_a_batch() -> None:
    groups = [Group(rank, 3, torch.device("cpu")) for rank in range(3)]
    for count in (3, 7, 32):
        assert sorted(index for group in groups for index in group.share(count)) == list(range(count))
    assert [group.share(2).tolist() for group in groups] == [[0, 1]] * 3
    check_batch(3, groups[0])
    with pytest.raises(InputError, match="--batch-size 2 is less than the 3 processes"):
        check_batch(2, groups[0])


def test_a_missing_gpu_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="--device cuda: torch finds no CUDA device"), join("cuda"):
        pass
    with join("auto") as group:
        assert (group.device.type, group.world, group.first) == ("cpu", 1, True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, value in (("WORLD_SIZE", "4"), ("RANK", "3"), ("LOCAL_RANK", "3")):
        monkeypatch.setenv(name, value)
    with pytest.raises(DeviceError, match=r"process 3 of this machine has no GPU of its own \(2 found\)"), join("auto"):
        pass
