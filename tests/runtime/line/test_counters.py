"""Counts, rates and percentiles in bounded memory, and the line that shows them."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest

from regad.runtime.detector import Result, Timings
from regad.runtime.formats.spec import InputSpec
from regad.runtime.line.counters import Counters, Latencies
from regad.runtime.line.live_line import LiveLine
from regad.runtime.line.verdict import Verdict
from regad.runtime.sources.frame import Frame


def verdict(score: float | None, ms: float = 10.0) -> Verdict:
    frame = Frame("x", 0, 0.0, np.zeros((2, 2, 3), np.uint8))
    if score is None:
        return Verdict(frame, error="broken")
    heat, thetas = np.zeros((224, 224), np.float32), np.zeros((3, 2, 3), np.float32)
    return Verdict(frame, Result(score, 5.0, score > 5.0, heat, thetas, Timings(1, 2, 3, ms), InputSpec()))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_percentiles_are_right_to_one_percent() -> None:
    values = np.random.default_rng(0).lognormal(3, 1, 5000)
    latencies = Latencies()
    for value in values:
        latencies.add(float(value))
    for percent in (1, 50, 99):
        assert latencies.percentile(percent) == pytest.approx(np.percentile(values, percent), rel=0.02)
    assert math.isnan(Latencies().percentile(50))


def test_counts_and_summary() -> None:
    now = [0.0]
    counters = Counters(clock=lambda: now[0])
    line = LiveLine(counters, io.StringIO(), total=10)
    for score in (1.0, 2.0, 9.0, None):
        now[0] += 0.5
        counters.add(verdict(score))
    assert (counters.good, counters.anomalous, counters.errors, counters.seen, counters.judged) == (2, 1, 1, 4, 3)
    assert line.line() == "4/10  2.0 fps  p50 10.0 ms  p99 10.0 ms  good 2  anomalous 1  not judged 1"
    assert counters.summary(7, "3 pictures left out") == (
        "4 frames in 2.0 s (2.0 fps, 7 older frames passed over): good 2  anomalous 1  not judged 1; "
        "p50 10.0 ms  p99 10.0 ms; 3 pictures left out"
    )


def test_the_time_counts_from_the_start_of_the_run_not_of_the_program() -> None:
    now = [0.0]
    counters = Counters(clock=lambda: now[0])
    now[0] = 100.0
    counters.start()
    now[0] = 101.0
    counters.add(verdict(1.0))
    assert counters.summary().startswith("1 frame in 1.0 s (1.0 fps)")


def test_a_log_gets_a_line_now_and_then_and_never_a_carriage_return() -> None:
    now, stream = [0.0], io.StringIO()
    counters = Counters()
    line = LiveLine(counters, stream, clock=lambda: now[0])
    for _ in range(250):
        now[0] += 0.1
        counters.add(verdict(1.0))
        line.update()
    line.clear()
    assert len(stream.getvalue().splitlines()) == 2
    assert "\r" not in stream.getvalue()


def test_a_terminal_has_one_live_line_that_other_lines_do_not_tear() -> None:
    now, stream = [0.0], Terminal()
    counters = Counters()
    line = LiveLine(counters, stream, clock=lambda: now[0])
    now[0] = 1.0
    counters.add(verdict(1.0))
    line.update()
    shown = stream.getvalue()
    assert shown.startswith("\r1  ")
    assert "\n" not in shown
    line.say("hello")
    assert stream.getvalue().endswith(f"\r{' ' * len(shown[1:])}\rhello\n")
    line.clear()
    assert stream.getvalue().endswith("hello\n")


def test_nothing_judged_has_no_times() -> None:
    counters = Counters()
    counters.add(verdict(None))
    assert "p50 -" in counters.summary()
