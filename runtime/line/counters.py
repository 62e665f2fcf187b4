"""The live line of a run, and its summary: counts, frames per second, p50 and p99 of the time per frame."""

from __future__ import annotations

import math
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import TextIO

from .verdict import Verdict

__all__ = ["Latencies", "Progress"]

_STEP = 1.01  # relative width of one latency bucket: percentiles are right to 1 %, in memory that does not grow
_REDRAW, _REPORT, _REPORT_LIVE = 0.1, 10.0, 60.0  # seconds: on a terminal; in a log; in the log of an endless run


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


class Progress:
    """Counts verdicts and tells of them on ``stream``: a line that is redrawn on a terminal, else one now and then."""

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        total: int | None = None,
        live: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._total = total
        self._every = _REDRAW if self._terminal else (_REPORT_LIVE if live else _REPORT)
        self._clock = clock
        self._start = self._told = clock()
        self._recent: deque[float] = deque([self._start], maxlen=60)
        self._width = 0
        self.good = self.anomalous = self.errors = 0
        self.latencies = Latencies()

    @property
    def seen(self) -> int:
        """Number of verdicts so far, those that could not be judged included."""
        return self.good + self.anomalous + self.errors

    def add(self, verdict: Verdict) -> None:
        """Count a verdict, and tell if it is time to."""
        if verdict.result is None:
            self.errors += 1
        else:
            self.anomalous += verdict.result.anomalous
            self.good += not verdict.result.anomalous
            self.latencies.add(verdict.result.timings.total)
        now = self._clock()
        self._recent.append(now)
        if now - self._told >= self._every:
            self._told = now
            self._draw(self.line())

    def line(self) -> str:
        """Return the state in one line."""
        seen = f"{self.seen}/{self._total}" if self._total else f"{self.seen}"
        span = self._recent[-1] - self._recent[0]
        rate = (len(self._recent) - 1) / span if span > 0 else 0.0
        return f"{seen}  {rate:.1f} fps  {self._times()}  {self._counts()}"

    def say(self, text: str) -> None:
        """Print a line of text without tearing the live line."""
        self.clear()
        print(text, file=self._stream, flush=True)

    def summary(self, dropped: int = 0) -> str:
        """Return the closing line; ``dropped`` is the number of frames a live source passed over."""
        span = self._clock() - self._start
        rate = self.seen / span if span > 0 else 0.0
        passed = f", {dropped} older frames passed over" if dropped else ""
        frames = f"{self.seen} frame{'s' * (self.seen != 1)}"
        return f"{frames} in {span:.1f} s ({rate:.1f} fps{passed}): {self._counts()}; {self._times()}"

    def clear(self) -> None:
        """Remove the live line; the next verdict draws it again when it is time to."""
        if self._width:
            self._stream.write(f"\r{' ' * self._width}\r")
            self._stream.flush()
            self._width = 0

    def _counts(self) -> str:
        return f"good {self.good}  anomalous {self.anomalous}  not judged {self.errors}"

    def _times(self) -> str:
        if self.good + self.anomalous == 0:
            return "p50 -  p99 -"
        return f"p50 {self.latencies.percentile(50):.1f} ms  p99 {self.latencies.percentile(99):.1f} ms"

    def _draw(self, text: str) -> None:
        if not self._terminal:
            print(text, file=self._stream, flush=True)
            return
        self._stream.write(f"\r{text.ljust(self._width)}")
        self._stream.flush()
        self._width = len(text)
