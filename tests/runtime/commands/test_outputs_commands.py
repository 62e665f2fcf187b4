"""Every command refuses an output that would replace or mix with something else, before it starts."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from regad.calib.cli import command as calib
from regad.export.cli import command as export
from regad.runtime.commands.bench import command as bench_command
from regad.runtime.commands.console import run_cli
from regad.runtime.commands.doctor import command as doctor
from regad.runtime.formats.category import save_category
from regad.train.evaluation.command import command as evaluate
from regad.train.run.command import command as train

from ..run_doubles import Bench, Run, category, failure


@pytest.mark.parametrize(
    ("source", "overlay", "words"),
    [
        ("in", "in", "is also --source"),
        ("in", "in/out", "lies inside --source"),
        ("in/*.png", "in", "holds images of --source"),
        ("in/*/*.png", "in/out", "lies inside --source"),
        ("in/**/*.png", "in/out", "lies inside --source"),
        ("in/**", "in/out", "lies inside --source"),
        ("in/x.png", "in", "holds images of --source"),
        ("in/x.png", "link", "holds images of --source"),
        ("in", "support", "is also --support"),
        ("in", "support/new", "lies inside --support"),
        ("in", "photos", "holds images that regad-run did not write (holiday.jpg)"),
        ("in", "model.regad/pictures", "lies inside --model"),
    ],
)
def test_overlays_never_mix_with_images_of_others(
    bench: Bench, run: Run, source: str, overlay: str, words: str
) -> None:
    before = bench.image("in/x.png", 40).read_bytes()
    (bench.root / "link").symlink_to(bench.root / "in")
    (bench.root / "model.regad").mkdir()
    bench.image("photos/2019/holiday.jpg", 40)
    count = len(list(bench.root.rglob("*")))
    assert words in failure(run("--source", bench.root / source, "--overlay", bench.root / overlay))
    assert not bench.loads, "told before the slow start"
    assert (bench.root / "in/x.png").read_bytes() == before
    assert len(list(bench.root.rglob("*"))) == count


def test_overlays_are_never_judged_or_taught_by_the_next_run(bench: Bench, run: Run) -> None:
    bench.image("in/x.png", 40)
    out = bench.root / "out"
    for _ in range(2):
        assert run("--source", bench.root / "in", "--overlay", out).code == 0
    assert len(list(out.iterdir())) == 2


@pytest.mark.parametrize("target", ["part.safetensors", "link", "in/x.png", "support/0.png", "in/new.jpg"])
def test_a_record_never_replaces_or_mixes_with_an_input(bench: Bench, run: Run, target: str) -> None:
    bench.image("in/x.png", 40)
    part = bench.root / "part.safetensors"
    save_category(category(), part)
    (bench.root / "link").symlink_to(part)
    before = part.read_bytes()
    source = ["--source", bench.root / "in"]
    taught = target.startswith("support")
    given = source if taught else [*source, "--category", part]
    line = failure(run(*given, "--json", bench.root / target, support=taught))
    assert "choose another --json" in line
    assert part.read_bytes() == before
    assert not bench.loads


def fails(capsys: pytest.CaptureFixture[str], command: object, *args: object) -> str:
    with pytest.raises(SystemExit) as stop:
        run_cli(command, [str(arg) for arg in args])  # type: ignore[arg-type]
    error = capsys.readouterr().err.splitlines()
    assert stop.value.code == 1
    assert error[-1].startswith("error: ")
    return error[-1]


def test_every_other_command_says_so_before_it_starts(
    tmp_path: Path, small_artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    cv2.imwrite(str(photos / "a.png"), np.zeros((9, 9, 3), np.uint8))
    foreign = tmp_path / "foreign"
    foreign.write_text("precious")
    run, model = tmp_path / "run", ["--model", small_artifact]
    run.mkdir()
    (run / "model.pt").write_text("weights of another program")
    tries: list[tuple[object, list[object]]] = [
        (calib, [*model, "--support", photos, "--out", foreign]),
        (calib, [*model, "--support", photos, "--out", photos / "a.png"]),
        (calib, [*model, "--support", photos, "--out", small_artifact / "part.safetensors"]),
        (evaluate, [*model, "--data", photos, "--json", foreign]),
        (evaluate, [*model, "--data", photos, "--html", foreign]),
        (evaluate, [*model, "--data", photos, "--markdown", foreign]),
        (evaluate, [*model, "--data", photos, "--json", tmp_path / "x", "--html", tmp_path / "x"]),
        (evaluate, [*model, "--data", photos, "--support-from", foreign, "--json", foreign]),
        (evaluate, ["--train-each", photos / "each", "--data", photos]),
        (export, ["--ckpt", run / "model.pt", "--out", run]),
        (export, ["--ckpt", foreign, "--out", photos]),
        (train, ["--data", photos, "--out", run]),
        (train, ["--data", photos, "--out", photos / "run"]),
        (train, ["--data", photos, "--out", run, "--weights", run / "model.pt"]),
        (bench_command, [*model, "--json", foreign]),
        (bench_command, [*model, "--json", small_artifact / "bench.json"]),
        (doctor, [*model, "--json", foreign]),
    ]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for command, args in tries:
        line = fails(capsys, command, *args)
        assert "choose another --" in line or "give each a file of its own" in line, line
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_report_of_the_doctor_does_not_go_into_the_model_that_it_finds(
    small_artifact: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGAD_MODEL", str(small_artifact))
    assert "lies inside --model" in fails(capsys, doctor, "--json", small_artifact / "report.json")


def test_reports_are_replaced_by_their_successors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "doctor.json"
    for _ in range(2):
        with pytest.raises(SystemExit):
            run_cli(doctor, ["--json", str(path)])
        assert "error: " not in capsys.readouterr().err
        assert json.loads(path.read_text())["format"] == "regad-doctor"
