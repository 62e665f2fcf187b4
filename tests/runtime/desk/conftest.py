"""What many tests of the desk begin with. A module with a ``desk`` of its own has its users all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .learning_doubles import Recorded
from .web_desk import desk_of_four_parts
from .web_doubles import Client, Desk


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    """The trace of a station, to be filled with parts."""
    return Recorded(tmp_path)


@pytest.fixture
def first_part(recorded: Recorded) -> None:
    """A good part is in the trace."""
    recorded.part(90)
    assert recorded.trace.flushed(1, 20)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A page with four parts in its trace."""
    with desk_of_four_parts(tmp_path_factory.mktemp("desk")) as desk:
        yield desk


@pytest.fixture(scope="module")
def engineer(desk: Desk) -> Client:
    """An engineer who is logged in at the module's desk."""
    return desk.client("engineer")


@pytest.fixture(scope="module")
def operator(desk: Desk) -> Client:
    """An operator who is logged in at the module's desk."""
    return desk.client("operator")
