"""Counting a run: verdicts, frames per second, percentiles of the time per frame, in memory that does not grow."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable

from .verdict import Verdict

__all__ = ["Counters", "Latencies"]

_STEP = 1.01  # relative width of one latency bucket: percentiles are right to 1 %, in memory that does not grow


class Latencies:
    """A histogram of milliseconds that stays small however long the run is."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()

    def add(self, ms: float) -> None:
        """Count one measurement."""
        self._buckets[round(math.log(max(ms, 1e-3), _STEP))] += 1

    def percentile(self, percent: float) -> float:
        """Return the ``percent`` percentile in ms, right to 1 %; NaN if nothing was added."""
        wanted = math.ceil(self._buckets.total() * percent / 100)
        seen = 0
        for bucket, count in sorted(self._buckets.items()):
            seen += count
            if seen >= wanted:
                return float(_STEP**bucket)
        return math.nan


class Counters:
    """How many frames were good, anomalous, or not judged (``errors``), how fast, and how long each took."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._recent: deque[float] = deque(maxlen=60)
        self.good = self.anomalous = self.errors = self.warned = 0
        self.latencies = Latencies()
        self.start()

    def start(self) -> None:
        """Take the time from now on."""
        self._start = self._clock()
        self._recent.clear()
        self._recent.append(self._start)

    @property
    def seen(self) -> int:
        """Number of verdicts so far, those that could not be judged included."""
        return self.good + self.anomalous + self.errors

    @property
    def judged(self) -> int:
        """Number of verdicts with a result."""
        return self.good + self.anomalous

    def add(self, verdict: Verdict) -> None:
        """Count a verdict."""
        if verdict.result is None:
            self.errors += 1
        else:
            self.anomalous += verdict.result.anomalous
            self.good += not verdict.result.anomalous
            self.warned += verdict.result.warn
            self.latencies.add(verdict.result.timings.total)
        self._recent.append(self._clock())

    def rate(self) -> float:
        """Frames per second over the last 60 frames; 0 before the second one."""
        span = self._recent[-1] - self._recent[0]
        return (len(self._recent) - 1) / span if span > 0 else 0.0

    def summary(self, passed_over: int = 0, losses: str = "") -> str:
        """Return the closing line.

        ``passed_over`` is the number of frames for which a live source had a newer one; ``losses`` what else was lost.
        """
        span = self._clock() - self._start
        rate = self.seen / span if span > 0 else 0.0
        passed = f", {passed_over} older frames passed over" if passed_over else ""
        frames = f"{self.seen} frame{'s' * (self.seen != 1)}"
        lost = f"; {losses}" if losses else ""
        return f"{frames} in {span:.1f} s ({rate:.1f} fps{passed}): {self.counts()}; {self.times()}{lost}"

    def counts(self) -> str:
        """The counts in words."""
        warned = f" ({self.warned} with a warning)" if self.warned else ""
        return f"good {self.good}{warned}  anomalous {self.anomalous}  not judged {self.errors}"

    def times(self) -> str:
        """Median and 99th percentile of the time per frame, in words."""
        if self.judged == 0:
            return "p50 -  p99 -"
        return f"p50 {self.latencies.percentile(50):.1f} ms  p99 {self.latencies.percentile(99):.1f} ms"
