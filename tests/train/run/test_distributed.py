"""Two real processes under torchrun, over gloo on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from regad.runtime.errors import DeviceError, InputError
from regad.train.model.checkpoint import load_checkpoint
from regad.train.run import loop
from regad.train.run.config import TrainConfig, recipe
from regad.train.run.distributed import Group, check_batch, join

from ..helpers import make_data

HERE = Path(__file__).resolve().parent


OPTIONS: dict[str, Any] = {
    "weights": "none", "shot": 1, "epochs": 1, "batch_size": 3, "device": "cpu", "augment": True, "decay": "step",
    "lr": 1e-3, "stn_lr": 0.0, "head_lr": 1e-3,
}  # fmt: skip


class Pair(NamedTuple):
    """What two processes said, and where they and a single one have trained on the same ``data``."""

    done: subprocess.CompletedProcess[str]
    folder: Path
    data: Path


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Two processes that torchrun started: `regad.train.cli`, after the checks of ranks.py."""
    folder = tmp_path_factory.mktemp("pair")
    data = make_data(folder / "data", {"a": 4, "b": 2})
    words = ["--recipe", "released", "--augment", "--data", str(data), "--out", str(folder / "two")]
    for name in OPTIONS.keys() - {"augment"}:
        words += [f"--{name.replace('_', '-')}", str(OPTIONS[name])]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    threads = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [*command, str(HERE / "ranks.py"), *words],
        capture_output=True,
        text=True,
        env={**os.environ, **threads},
        check=False,
    )
    return Pair(done, folder, data)


def test_batch_norm_the_check_of_weights_and_the_collectives_in_two_processes(pair: Pair) -> None:
    """The collectives are what tests/train/run/test_torch_cuda.py asks of NCCL."""
    assert pair.done.stdout.count("checked") == 2, pair.done.stderr[-3000:]


def test_two_processes_train_as_one(pair: Pair) -> None:
    """Batches of 3 (2 and 1), 2 (1 and 1) and 1 (the same for both), batch norm in train mode, augmentation.

    Without the STNs: at the identity their gradient sits on a kink of the bilinear sampler, where the last bit of a sum
    decides between two slopes, so that any two orders of summation part ways. That the processes' weights are equal bit
    for bit is checked by training itself, after every epoch.
    """
    done, folder, data = pair
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("next: regad-export") == 1
    one = loop.train(TrainConfig(data, folder / "one", **{**recipe("released"), **OPTIONS}))
    logs = [
        [json.loads(line) for line in (folder / name / "log.jsonl").read_text().splitlines()] for name in ("one", "two")
    ]
    for mine, theirs in zip(*logs, strict=True):
        assert theirs["loss"] == pytest.approx(mine["loss"], abs=1e-6)
        assert theirs["lr"] == mine["lr"]
    first, second = load_checkpoint(one), load_checkpoint(folder / "two" / "model.pt")
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
