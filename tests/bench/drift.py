"""Measures the drift charts: ``python tests/bench/drift.py [--lines N]``.

Prints after how many parts a line on which nothing happens sees its first false alarm, and after how many a shift is
seen, for independent normal values and several sizes of the reference. All lines run side by side in NumPy; a few are
held against `ShiftChart` itself first.
"""

from __future__ import annotations

import argparse
import math
import sys

import numpy as np
from numpy.typing import NDArray

from regad.runtime.desk.learning import control_charts
from regad.runtime.desk.learning.control_charts import DECISION, SLACK, WEIGHT, WIDTH, Reference, ShiftChart

MOST = 300_000


def references(random: np.random.Generator, lines: int, parts: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation as each line measures them of its own parts."""
    made = [Reference.of(random.standard_normal(parts).tolist()) for _ in range(lines)]
    return np.array([one.mean for one in made]), np.array([one.spread for one in made])


def first_alarms(lines: int, parts: int, shift: float, most: int, seed: int = 0) -> NDArray[np.int64]:
    """After how many parts each line sees an alarm; ``most`` where it sees none."""
    random = np.random.default_rng(seed)
    mean, spread = references(random, lines, parts)
    ewma, above, below = np.zeros(lines), np.zeros(lines), np.zeros(lines)
    limit = WIDTH * math.sqrt(WEIGHT / (2 - WEIGHT) + 1 / parts)
    slack = SLACK + control_charts._DOUBT / math.sqrt(parts)
    found, quiet = np.full(lines, most), np.ones(lines, bool)
    for number in range(1, most + 1):
        outlier = control_charts._OUTLIER
        far = np.clip((random.standard_normal(lines) + shift - mean) / spread, -outlier, outlier)
        ewma += WEIGHT * (far - ewma)
        above, below = np.maximum(0, above + far - slack), np.maximum(0, below - far - slack)
        alarm = quiet & ((np.abs(ewma) > limit) | (above > DECISION) | (below > DECISION))
        found[alarm] = number
        quiet &= ~alarm
        if not quiet.any():
            break
    return found


def agrees(lines: int = 20, parts: int = 200, shift: float = 1.0) -> bool:
    """Whether the lines side by side are those of the chart."""
    random = np.random.default_rng(0)
    mean, spread = references(random, lines, parts)
    charts = [ShiftChart(Reference(*pair, parts)) for pair in zip(mean.tolist(), spread.tolist(), strict=True)]
    alone = np.zeros(lines, int)
    for number in range(1, 2000):
        values = random.standard_normal(lines) + shift
        for place, chart in enumerate(charts):
            chart.add(float(values[place]))
            if chart.direction and not alone[place]:
                alone[place] = number
    return bool((alone == first_alarms(lines, parts, shift, 2000)).all())


def main() -> int:
    """Measure and print a table; 1 where the chart and its copy differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=400)
    lines = parser.parse_args().lines
    if not agrees():
        print("the lines side by side are not those of the chart")
        return 1
    print("reference   first false alarm: 1 line in 10, the middle one   shift by 0.5, 1, 2, 3 seen after")
    for parts in (20, 50, 200, 500):
        quiet = np.quantile(first_alarms(lines, parts, 0.0, MOST), [0.1, 0.5])
        seen = [int(np.median(first_alarms(lines, parts, shift, 20_000))) for shift in (0.5, 1, 2, 3)]
        middle = f"over {MOST}" if quiet[1] >= MOST else f"{quiet[1]:.0f}"
        print(f"{parts:9}   {quiet[0]:.0f}, {middle}   {', '.join(map(str, seen))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
