"""Run by torchrun in two processes: batch norm over shares of a batch, weights that come apart, the collectives.

All of it in the group in which the processes train next: they are ``python -m regad.train.cli``, with the words on
their command line.
"""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from contextlib import contextmanager

import collectives
import torch
from torch import nn

from regad.runtime.errors import RegadError
from regad.train.run import loop
from regad.train.run.distributed import Group, SyncedBatchNorm, check_equal, join, synchronise_batch_norm


def compare_batch_norm(share: slice) -> None:
    """The shares' outputs, gradients and statistics are those of torch's own layer on the whole batch."""
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn(5, 4, 3, 3, generator=generator) * 2 + 1
    weights = torch.randn(5, 4, 3, 3, generator=generator)
    plain, synced = nn.BatchNorm2d(4), nn.Sequential(nn.BatchNorm2d(4))
    synchronise_batch_norm(synced)
    assert isinstance(synced[0], SyncedBatchNorm)
    one, part = whole.clone().requires_grad_(), whole[share].clone().requires_grad_()
    for _ in range(2):
        want, got = plain(one), synced(part)
    torch.testing.assert_close(got, want[share], rtol=1e-5, atol=1e-5)
    (want * weights).sum().backward()
    (got * weights[share]).sum().backward()
    assert one.grad is not None
    torch.testing.assert_close(part.grad, one.grad[share], rtol=1e-4, atol=1e-5)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(synced[0].state_dict()[name], value)
    plain.eval(), synced.eval()
    torch.testing.assert_close(synced(whole), plain(whole))


def check(group: Group) -> None:
    """Raise where something differs."""
    assert group.world == 2
    assert group.total(group.rank + 1.0) == 3.0
    assert [group.share(5).tolist(), group.share(1).tolist()] == [[[0, 2, 4], [1, 3]][group.rank], [0]]
    compare_batch_norm([slice(0, 2), slice(2, 5)][group.rank])
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.fill_(0.0)
    check_equal(layer, group)
    with torch.no_grad():
        layer.weight[0, 0] += group.rank * 1e-7
    try:
        check_equal(layer, group)
    except RegadError as error:
        assert "weights differ" in str(error)
    else:
        raise AssertionError("weights that differ were not noticed")
    group.wait()
    collectives.check(group, 2)
    print("checked", flush=True)


@contextmanager
def checked(device: str) -> Iterator[Group]:
    """Join the group as training does, and check it first."""
    with join(device) as group:
        check(group)
        yield group


if __name__ == "__main__":
    torch.set_num_threads(1)
    loop.join = checked
    runpy.run_module("regad.train.cli", run_name="__main__", alter_sys=True)
