"""Several processes, one training: torchrun's environment, shares of a batch, and batch norm over all shares."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from regad.runtime.errors import DeviceError, InputError, RegadError

from .device import torch_device

__all__ = ["Group", "SyncedBatchNorm", "check_batch", "check_equal", "join", "synchronise_batch_norm"]


@dataclass(frozen=True)
class Group:
    """One process among those that train together."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def share(self, count: int) -> NDArray[np.int64]:
        """Return which of ``count`` queries are this process's: every ``world``-th, or all of fewer than ``world``."""
        return np.arange(self.rank, count, self.world) if count >= self.world else np.arange(count)

    def total(self, value: float) -> float:
        """Return the sum of ``value`` over all processes."""
        if self.world == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return float(tensor)

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def join(device: str) -> Iterator[Group]:
    """Yield this process's group: alone, or with those that torchrun started, NCCL on CUDA and gloo on the CPU.

    ``device`` is auto, cpu or cuda. Raises DeviceError where CUDA is asked for and missing.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    place = torch_device(device)
    if world == 1:
        yield Group(0, 1, place)
        return
    kind = place.type
    if kind == "cuda":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise DeviceError(
                f"process {local} of this machine has no GPU of its own ({torch.cuda.device_count()} found): "
                "lower --nproc-per-node"
            )
        place = torch.device("cuda", local)
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield Group(rank, world, place)
    finally:
        dist.destroy_process_group()


def check_equal(model: nn.Module, group: Group) -> None:
    """Raise RegadError when the processes' weights or statistics differ in any bit."""
    if group.world == 1:
        return
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.detach().cpu().numpy().tobytes())
    mine = torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8).to(group.device)
    all_of_them = [torch.empty_like(mine) for _ in range(group.world)]
    dist.all_gather(all_of_them, mine)
    if any(not torch.equal(mine, other) for other in all_of_them):
        raise RegadError("the processes' weights differ; the last finished epoch is kept: start again")


class SyncedBatchNorm(nn.BatchNorm2d):
    """Batch norm whose statistics are those of the whole batch, each process holding a share, of any size.

    torch's SyncBatchNorm needs CUDA; this one computes the same on any device, and gradients go through the sums.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [b, C, h, w]."""
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        count = x.new_full((1,), x.numel() / x.shape[1])
        mean, total = self._moment(x, count)
        centred = x - mean[:, None, None]
        variance, _ = self._moment(centred.square(), count)
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            momentum = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean.detach(), momentum)
            self.running_var.lerp_(variance.detach() * (total / (total - 1)), momentum)
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return centred * scale[:, None, None] + self.bias[:, None, None]

    @staticmethod
    def _moment(values: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean per channel over all processes, and how many values it is of."""
        sums: Tensor = all_reduce(torch.cat([values.sum((0, 2, 3)), count]))  # type: ignore[no-untyped-call]
        return sums[:-1] / sums[-1], sums[-1].detach()


def synchronise_batch_norm(model: nn.Module) -> None:
    """Make every `BatchNorm2d` below ``model`` a `SyncedBatchNorm`, with its own parameters and statistics."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncedBatchNorm


def check_batch(batch_size: int, group: Group) -> None:
    """Raise InputError when a batch cannot be shared out."""
    if batch_size < group.world:
        raise InputError(f"--batch-size {batch_size} is less than the {group.world} processes; give at least that")
