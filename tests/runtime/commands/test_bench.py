"""regad-bench: its arithmetic, its rows in small, and its command line."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from regad.runtime.commands import bench_rows as benches
from regad.runtime.commands.bench import command
from regad.runtime.commands.bench_rows import ROWS, one_pass, reference_fit, scoring_rows
from regad.runtime.commands.timing import Row, medians, table, write_rows
from regad.runtime.formats.category import Category, InputSpec, Threshold
from regad.runtime.formats.encodings import ENCODINGS, Statistics, statistics_bytes
from regad.runtime.formats.features import Features
from regad.runtime.formats.spec import LEVELS


def test_a_row_knows_its_ratio_and_whether_it_is_met() -> None:
    assert Row("a", 1.5, 1.0, target=1.5).met is True
    assert Row("a", 1.6, 1.0, target=1.5).met is False
    assert Row("a", 1.6, 1.0).met is None
    assert Row("a", 3.0, 2.0, "MB", 1.0).to_json() == {
        "what": "a",
        "ours": 3.0,
        "rival": 2.0,
        "unit": "MB",
        "ratio": 1.5,
        "target": 1.0,
        "met": False,
    }


def test_calls_run_in_turn_and_warm_rounds_do_not_count() -> None:
    order: list[str] = []
    spent = medians([lambda: order.append("a"), lambda: order.append("b")], runs=3, warm=2)
    assert order == ["a", "b"] * 5
    assert len(spent) == 2
    assert all(value >= 0 for value in spent)


def test_the_table_shows_losses_and_the_file_holds_everything(tmp_path: Path) -> None:
    rows = [Row("won", 1.0, 2.0, target=1.0), Row("lost", 3.0, 2.0, target=1.0), Row("stated", 1.0, 1.0)]
    lines = table(rows).splitlines()
    assert lines[1].endswith("met")
    assert lines[2].endswith("MISSED")
    write_rows(rows, tmp_path / "b.json", "a machine", {"shot": [(2.0, 1.5)]})
    data = json.loads((tmp_path / "b.json").read_text())
    assert data["hardware"] == "a machine"
    assert [row["met"] for row in data["rows"]] == [True, False, None]
    assert data["curves"] == {"shot": [[2.0, 1.5]]}


def test_one_pass_reads_every_value() -> None:
    """A not-a-number anywhere would show in a maximum; here: every element lies in exactly one share."""
    tensors = [np.zeros(1001, np.float32), np.zeros((3, 7), np.float16)]
    one_pass(tensors)()
    one_pass(tensors, threads=1)()


def test_the_reference_fit_takes_the_right_cells() -> None:
    rng = np.random.default_rng(0)
    levels = [rng.random((5, level.positions, level.channels), dtype=np.float32) for level in LEVELS]
    reference_fit(Features(*levels, np.zeros((5, 3, 2, 3), np.float32)))()


class DrawnBench(benches.BenchSetup):
    """A bench whose parts and query are drawn: no artifact is opened."""

    def category(self, shot: int) -> Category:
        rng = np.random.default_rng(shot)
        tensors = {name: rng.random(shape, dtype=np.float32) for name, shape in ENCODINGS["gram"](shot).items()}
        return Category(
            "ab" * 32, (Statistics("gram", shot, shot + 1, tensors),), Threshold(1, "manual"), InputSpec(), shot
        )

    @property
    def features(self) -> Features:  # type: ignore[override]
        levels = [np.ones((1, level.positions, level.channels), np.float32) for level in LEVELS]
        return Features(*levels, np.zeros((1, 3, 2, 3), np.float32))


def test_scoring_rows_name_what_they_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benches, "reference_loop", lambda: lambda: None)
    rows = list(scoring_rows(DrawnBench(Path("none"), (3,), runs=3)))
    assert [row.unit for row in rows] == ["ms", "ms", "ms"]
    assert "k = 3, gram fp32" in rows[0].what
    rows = list(scoring_rows(DrawnBench(Path("none"), (2,), runs=3)))
    size = next(row for row in rows if row.unit == "MB")
    assert size.ours == pytest.approx(statistics_bytes("gram", 2) / 1e6)
    assert size.met is True


def test_a_bench_closes_the_detector_that_it_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    loaded = SimpleNamespace(close=lambda: closed.append("detector"))
    monkeypatch.setattr(benches.Detector, "load", lambda path: loaded)
    with DrawnBench(Path("none")):
        pass
    assert closed == []
    with pytest.raises(KeyError), DrawnBench(Path("none")) as bench:
        assert bench.detector is loaded
        raise KeyError
    assert closed == ["detector"]


def test_usage() -> None:
    runner = CliRunner()
    for shots in ("1,2", "two", ""):
        done = runner.invoke(command, ["--shot", shots])
        assert done.exit_code == 2
        assert "is not a list of numbers from 2 on" in done.output
    assert set(ROWS) == {"encoder", "scoring", "frame", "throughput", "teach", "cold"}
