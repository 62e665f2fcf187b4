"""A trace that is open, and the alarms that it gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from regad.runtime.station.trace.writer import Trace

from .parts import ROOMY, Alarms


@pytest.fixture
def alarms() -> Alarms:
    return Alarms()


@pytest.fixture
def trace(tmp_path: Path, alarms: Alarms) -> Iterator[Trace]:
    trace = Trace(tmp_path, ROOMY, alarm=alarms)
    trace.open(artifact="a" * 64)
    yield trace
    trace.close()
