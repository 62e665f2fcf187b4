"""The text format of Prometheus, version 0.0.4: families of counters, gauges and histograms."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence

__all__ = ["CONTENT_TYPE", "Histogram", "Labels", "family", "histogram_family", "number"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[tuple[str, str], ...]
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Histogram:
    """Counts values by ``bounds``, upper ends that belong to their bucket; the last bucket has no end."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


def family(name: str, kind: str, about: str, samples: Iterable[tuple[Labels, float]]) -> list[str]:
    """Return the lines of a family; none without samples."""
    lines = [f"{name}{_labels(labels)} {number(value)}" for labels, value in samples]
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}", *lines] if lines else []


def histogram_family(name: str, about: str, samples: Iterable[tuple[Labels, Histogram]]) -> list[str]:
    """Return the lines of a family of histograms; none without samples."""
    lines: list[str] = []
    for labels, histogram in samples:
        total = 0
        for bound, count in zip((*histogram.bounds, math.inf), histogram.counts, strict=True):
            total += count
            lines.append(f"{name}_bucket{_labels((*labels, ('le', number(bound))))} {total}")
        lines.append(f"{name}_sum{_labels(labels)} {number(histogram.sum)}")
        lines.append(f"{name}_count{_labels(labels)} {total}")
    return [f"# HELP {name} {about}", f"# TYPE {name} histogram", *lines] if lines else []


def number(value: float) -> str:
    """Return a number as Prometheus reads it."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(float(value)) if value != int(value) else str(int(value))


def _labels(labels: Labels) -> str:
    inner = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels)
    return f"{{{inner}}}" if inner else ""
