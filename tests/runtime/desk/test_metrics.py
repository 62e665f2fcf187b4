"""What Prometheus reads: held against its own parser, and against promtool where that is installed."""

from __future__ import annotations

import math
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regad.runtime.desk.service import Health
from regad.runtime.desk.sinks.exposition import Histogram, family, histogram_family
from regad.runtime.desk.sinks.metrics import Metrics, PartCounts, metrics_text
from regad.runtime.desk.watch import Heard
from regad.runtime.station.config import TraceConfig
from regad.runtime.station.secret import Secret

from .sink_doubles import Books, Line, around

parser = pytest.importorskip("prometheus_client.parser", reason="needs prometheus_client: pip install 'regad[dev]'")
SERVICES = {"mqtt": Health(False, "no broker", 12), "page": Health(True, "well")}
ROOT = Path(__file__).resolve().parents[3]


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for found in parser.text_string_to_metric_families(text)
        for sample in found.samples
    }


def a_row(**changes: Any) -> dict[str, Any]:
    names = ("id", "boot", "seq", "wall", "clock_ok", "part_id", "warn", "late", "shadow", "simulated")
    row: dict[str, Any] = dict.fromkeys(names, 1) | dict.fromkeys(("reason", "error", "serial", "trigger"), "")
    row |= dict.fromkeys(("ms_acquire", "ms_judge", "deadline_ms", "spot_x", "spot_y", "category"))
    return row | {"job": 3, "verdict": 1, "output": 1, "score": 0.5, "threshold": 2.0, "ms_total": 60.0} | changes


def whole() -> str:
    counts = PartCounts()
    counts.add(a_row())
    counts.add(a_row())
    counts.add(a_row(verdict=2, output=5, score=3.0, ms_total=1500.0))
    counts.add(a_row(verdict=7, output=0, score=None, ms_total=None, job=None))
    return metrics_text(counts, Heard(1, Line().handle({"command": "status"}), ""), SERVICES)


def test_everything_is_read_by_prometheus_own_parser() -> None:
    found = samples(whole())
    assert found["regad_up", ()] == 1
    assert found["regad_parts_total", (("job", "3"), ("output", "PASS"), ("verdict", "PASS"))] == 2
    assert found["regad_parts_total", (("job", "3"), ("output", "LATE"), ("verdict", "REJECT"))] == 1
    assert found["regad_parts_total", (("job", "0"), ("output", "NONE"), ("verdict", "MISSED"))] == 1
    assert found["regad_score_percent_bucket", (("job", "3"), ("le", "25"))] == 2
    assert found["regad_score_percent_bucket", (("job", "3"), ("le", "125"))] == 2
    assert found["regad_score_percent_bucket", (("job", "3"), ("le", "150"))] == 3
    assert found["regad_score_percent_sum", (("job", "3"),)] == 200
    assert found["regad_latency_seconds_count", (("job", "3"),)] == 3
    assert found["regad_latency_seconds_sum", (("job", "3"),)] == pytest.approx(1.62)
    assert found["regad_state", (("state", "READY"),)] == 1
    assert found["regad_state", (("state", "FAULT"),)] == 0
    assert found["regad_service_behind", (("service", "mqtt"),)] == 12
    assert ("regad_service_behind", (("service", "page"),)) not in found
    assert found["regad_service_ok", (("service", "mqtt"),)] == 0
    assert found["regad_trace_lost_rows_total", ()] == 0


def test_promtool_finds_nothing_to_blame() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool: apt install prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=whole(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_line_that_does_not_answer_is_down_and_nothing_old_is_told_of_it() -> None:
    found = samples(metrics_text(PartCounts(), Heard(9, None, "gone"), {}))
    assert found == {("regad_up", ()): 0}


PASSED = ("regad_parts_total", (("job", "3"), ("output", "PASS"), ("verdict", "PASS")))
LATE = ("regad_parts_total", (("job", "3"), ("output", "LATE"), ("verdict", "PASS")))


def test_what_came_since_the_first_call_is_counted(tmp_path: Path) -> None:
    metrics = Metrics(around(tmp_path))
    assert samples(metrics.text())["regad_up", ()] == 1  # there is no trace yet
    with Books(tmp_path / "trace") as books:
        books.add(5)
        assert PASSED not in samples(metrics.text())
        books.add(3, ms_total=50.0)
        assert samples(metrics.text())[PASSED] == 3
        books.add()
        assert samples(metrics.text())[PASSED] == 4


def test_a_row_that_may_yet_be_corrected_is_counted_at_the_next_call(tmp_path: Path) -> None:
    metrics = Metrics(around(tmp_path, trace=TraceConfig(folder=tmp_path / "trace", before_result=True)))
    with Books(tmp_path / "trace") as books:
        books.add()
        metrics.text()
        books.add()
        assert PASSED not in samples(metrics.text())
        books.trace.correct(2, 5, True)
        books.add()
        found = samples(metrics.text())
        assert (found[LATE], PASSED in found) == (1, False)


def test_a_client_without_a_login_needs_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_SECRET", "open sesame")
    metrics = Metrics(around(tmp_path), Secret(env="METRICS_SECRET"))
    assert metrics.lets_in("Bearer open sesame")
    for wrong in ("", "Bearer ", "Bearer open", "Basic open sesame", "Bearer open s\udcffsame"):
        assert not metrics.lets_in(wrong)
    assert not Metrics(around(tmp_path)).lets_in("Bearer ")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), max_size=30), st.text(max_size=10))
def test_a_histogram_is_what_the_parser_counts_whatever_its_labels_say(values: list[float], label: str) -> None:
    label = label.replace("\r", "")  # the parser splits lines there, the format does not
    histogram = Histogram((0.0, 10.0))
    for value in values:
        histogram.add(value)
    found = samples("\n".join(histogram_family("h", "about", [((("l", label),), histogram)])) + "\n")
    for bound, text in ((0.0, "0"), (10.0, "10"), (math.inf, "+Inf")):
        assert found["h_bucket", (("l", label), ("le", text))] == sum(value <= bound for value in values)
    assert found["h_sum", (("l", label),)] == pytest.approx(sum(values))


@given(st.floats())
def test_any_number_is_read_as_it_was(value: float) -> None:
    (found,) = samples("\n".join(family("g", "gauge", "about", [((), value)])) + "\n").values()
    assert found == value or (math.isnan(found) and math.isnan(value))
