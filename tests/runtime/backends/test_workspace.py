"""Buffers are used again whatever sizes take turns, and those that lie ready are bounded in bytes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from regad.runtime.backends.workspace import Workspace, Workspaces
from regad.runtime.formats.features import Features


def bind(images: NDArray[np.uint8], features: Features) -> Callable[[], object]:
    """Binds nothing."""
    return lambda: None


ONE = Workspace(bind, 1).nbytes


def test_batches_of_several_sizes_in_turn_use_the_same_buffers() -> None:
    spaces = Workspaces(bind)
    first = {batch: spaces.take(batch) for batch in (1, 4, 2)}
    for workspace in first.values():
        spaces.give(workspace)
    for batch in (4, 1, 2, 1, 4):
        workspace = spaces.take(batch)
        assert workspace is first[batch]
        spaces.give(workspace)


def test_those_not_used_for_longest_go_first() -> None:
    spaces = Workspaces(bind, limit=3 * ONE)
    one, two = spaces.take(1), spaces.take(2)
    spaces.give(one)
    spaces.give(two)
    spaces.give(spaces.take(1))
    other = Workspace(bind, 1)
    spaces.give(other)  # no room: the two go
    assert spaces.take(2) is not two
    assert spaces.take(1) is other
    assert spaces.take(1) is one


def test_what_is_larger_than_the_bound_is_not_kept() -> None:
    spaces = Workspaces(bind, limit=ONE)
    spaces.give(spaces.take(2))
    assert spaces.nbytes == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4)), max_size=30))
def test_no_workspace_is_given_to_two_and_the_bound_holds(steps: list[tuple[bool, int]]) -> None:
    spaces = Workspaces(bind, limit=5 * ONE)
    out: list[Workspace] = []
    for take, number in steps:
        if take or not out:
            workspace = spaces.take(number)
            assert workspace.batch == number
            assert all(workspace is not other for other in out)
            out.append(workspace)
        else:
            spaces.give(out.pop(number % len(out)))
        assert spaces.nbytes <= 5 * ONE
