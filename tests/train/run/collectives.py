"""Run by torchrun with a backend and a device type: what training asks of a group of any number of processes."""

from __future__ import annotations

import os
import sys

import torch
import torch.distributed as dist

from regad.train.run.distributed import Group, SyncedBatchNorm, check_equal, synchronise_batch_norm


def check(group: Group, world: int) -> None:
    """Raise where something differs; ``world`` is the number of processes."""
    assert group.total(1.0) == world
    group.wait()
    torch.manual_seed(0)
    synced = torch.nn.Sequential(torch.nn.BatchNorm2d(4)).to(group.device)
    synchronise_batch_norm(synced)
    assert isinstance(synced[0], SyncedBatchNorm)
    x = torch.randn(5, 4, 3, 3).to(group.device).requires_grad_()
    # Every process has the same images, so the whole batch's mean and variance are those of each share.
    torch.testing.assert_close(synced(x), torch.nn.BatchNorm2d(4).to(group.device)(x), rtol=1e-5, atol=1e-5)
    synced(x).square().sum().backward()
    assert x.grad is not None
    if world > 1:
        check_equal(torch.nn.Linear(2, 2).to(group.device), group)


def main(backend: str, kind: str) -> None:
    """Join the group, and check it."""
    rank = int(os.environ["RANK"])
    if kind == "cuda":
        torch.cuda.set_device(rank)
    place = torch.device(kind, rank) if kind == "cuda" else torch.device(kind)
    dist.init_process_group(backend)
    world = dist.get_world_size()
    # A group of one asks for nothing; as one of two even a single process calls the collectives.
    check(Group(rank, max(world, 2), place), world)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
