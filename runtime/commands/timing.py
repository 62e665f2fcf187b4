"""Measuring: two things in turn in one run, medians, and the rows of a benchmark with their targets."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..formats.atomic import atomic_write

__all__ = ["FORMAT", "Row", "hardware", "medians", "table", "write_rows"]

FORMAT = "regad-bench"


@dataclass(frozen=True)
class Row:
    """One comparison: ``ours`` against a ``rival`` or a floor of the same run, in ``unit``; less is better.

    ``target`` is the largest ratio that is good enough; None where a row only states a fact.
    """

    what: str
    ours: float
    rival: float
    unit: str = "ms"
    target: float | None = None

    @property
    def ratio(self) -> float:
        """Ours divided by the rival's."""
        return self.ours / self.rival

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without one."""
        return None if self.target is None else self.ratio <= self.target

    def to_json(self) -> dict[str, Any]:
        """The row as plain data."""
        return {
            "what": self.what,
            "ours": round(self.ours, 3),
            "rival": round(self.rival, 3),
            "unit": self.unit,
            "ratio": round(self.ratio, 4),
            "target": self.target,
            "met": self.met,
        }


def medians(calls: Sequence[Callable[[], object]], runs: int, warm: int = 2) -> list[float]:
    """Median milliseconds of each call: they run in turn (A B A B ...), after ``warm`` rounds that do not count."""
    times: list[list[float]] = [[] for _ in calls]
    for number in range(warm + runs):
        for call, into in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            spent = (time.perf_counter() - start) * 1e3
            if number >= warm:
                into.append(spent)
    return [statistics.median(values) for values in times]


def hardware() -> str:
    """The processor, its usable cores, and the software that decides its speed."""
    from ..kernels import usable_cores

    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        name = found.get("model name") or found.get("Model") or name
    except OSError:
        pass
    python = f"Python {platform.python_version()}, NumPy {np.__version__}"
    return f"{name}, {usable_cores()} cores, {platform.machine()}, {python}"


def table(rows: Sequence[Row]) -> str:
    """Lay rows out in columns."""
    width = max((len(row.what) for row in rows), default=0)
    lines = [f"{'':<{width}}{'ours':>11}{'other':>11}  unit{'ratio':>9}{'target':>9}"]
    for row in rows:
        target = "" if row.target is None else f"{row.target:9.3g}  {'met' if row.met else 'MISSED'}"
        lines.append(f"{row.what:<{width}}{row.ours:11.2f}{row.rival:11.2f}  {row.unit:<4}{row.ratio:9.3f}{target}")
    return "\n".join(lines)


def write_rows(
    rows: Sequence[Row],
    path: Path,
    on: str,
    curves: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    pick: Mapping[str, Any] | None = None,
) -> None:
    """Write rows, and ``curves`` and a ``pick`` if there are any, as JSON, atomically. Raises OutputError."""
    data: dict[str, Any] = {"format": FORMAT, "hardware": on, "rows": [row.to_json() for row in rows]}
    if curves:
        data["curves"] = {name: [list(point) for point in points] for name, points in curves.items()}
    if pick is not None:
        data["pick"] = dict(pick)
    atomic_write(path, (json.dumps(data, indent=2) + "\n").encode())
