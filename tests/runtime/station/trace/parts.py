"""Parts to record, alarms that remember, and a machine whose clocks and disk the test moves."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np

from regad.runtime.station.trace.alarms import Host
from regad.runtime.station.trace.database import DATABASE
from regad.runtime.station.trace.inspection import Inspection, TraceAlarm, TracePolicy
from regad.runtime.station.trace.writer import Trace

ROOMY = TracePolicy(min_free_gb=0.0)


def picture(seed: int) -> np.ndarray:
    """An input of the encoder that compresses as photos do."""
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 256, (28, 28, 3)), np.ones((8, 8, 1))).astype(np.uint8)


def heat(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((224, 224), np.float32) * 3


def part(seq: int, **changes: Any) -> Inspection:
    """A part that was judged good, without pictures."""
    facts: dict[str, Any] = {
        **{"boot": 1, "seq": seq, "mono_ns": seq * 1_000_000_000, "wall": 1.8e9 + seq, "clock_ok": True},
        **{"trigger": "modbus", "verdict": 1, "output": 1, "job": 3, "category": "c" * 16, "score": 1.25},
        **{"threshold": 2.0},
    }
    return Inspection(**(facts | changes))


class Alarms(list[tuple[int, str]]):
    """What the trace told, in order."""

    def __call__(self, code: int, text: str) -> None:
        self.append((code, text))

    def codes(self) -> list[TraceAlarm]:
        return [TraceAlarm(code) for code, _ in self]


class Machine:
    """Clocks and free disk space that stand still until the test moves them."""

    def __init__(self) -> None:
        self.ns = 1_000_000_000
        self.wall = 1.8e9
        self.free = 10**15

    @property
    def host(self) -> Host:
        return Host(lambda: self.ns, lambda: self.wall, lambda folder: self.free)


def filled(folder: Path, *parts: Inspection, policy: TracePolicy = ROOMY) -> Path:
    """A closed trace of these parts, all of them on the disk."""
    trace = Trace(folder, policy)
    boot = trace.open()
    for one in parts:
        assert one.boot == boot.id
        trace.add(one)
    trace.close()
    assert trace.lag[:2] == (0, 0)
    return folder


def ask(folder: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Ask the database with a connection of one's own."""
    connection = sqlite3.connect(folder / DATABASE)
    try:
        with connection:
            return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def pictures(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in (folder / "images").rglob("*") if path.is_file())
