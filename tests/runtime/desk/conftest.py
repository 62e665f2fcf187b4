"""What the tests of learning begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from .learning_doubles import Recorded


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    """The trace of a station, to be filled with parts."""
    return Recorded(tmp_path)
