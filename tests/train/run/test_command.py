from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from regad.train.model.checkpoint import load_checkpoint
from regad.train.run import command as cli

from ..helpers import make_data, run_program

run = partial(run_program, cli.main)


def test_train_and_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    data = make_data(tmp_path / "data", {"a": 2, "b": 2})
    args = [
        "--data",
        str(data),
        "--out",
        str(tmp_path / "run"),
        "--weights",
        "none",
        "--recipe",
        "released",
        "--shot",
        "1",
    ]
    assert run(monkeypatch, *args, "--epochs", "1", "--hold-out", "b", "--stn-mode", "shear", "--device", "cpu") == 0
    said = capfd.readouterr().err
    assert "load images" in said
    assert "epoch 1/1  [####################] 1/1  loss" in said
    assert f"next: regad-export --ckpt {tmp_path / 'run' / 'model.pt'}" in said
    got = load_checkpoint(tmp_path / "run" / "model.pt")
    assert (got.stn_mode, got.provenance["categories"]) == ("shear", ["a"])


@pytest.mark.parametrize(
    ("args", "status", "said"),
    [
        (["--data", "absent", "--out", "run"], 1, "error: data folder absent does not exist"),
        (["--data", "d", "--out", "run", "--weights", "absent.pt"], 1, "error: weights file absent.pt is missing"),
        (["--data", "d", "--out", "run", "--shot", "9"], 1, "error: category a has 3 good image(s); --shot 9 needs 10"),
        (["--data", "d", "--out", "run", "--lr", "-1"], 1, "error: lr is -1.0"),
        (["--data", "d", "--out", "run", "--hold-out", "z"], 1, "error: --hold-out z is not in d; it holds a"),
        (["--data", "d", "--out", "run", "--weights", "none"], 1, "error: weights none are random"),
        (["--data", "d", "--out", "run", "--recipe", "best"], 2, "--recipe"),
        (["--data", "d"], 2, "Missing option '--out'"),
        (["--data", "d", "--out", "run", "--shot", "0"], 2, "--shot"),
        (["--data", "d", "--out", "run", "--stn-mode", "warp"], 2, "--stn-mode"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    args: list[str],
    status: int,
    said: str,
) -> None:
    make_data(tmp_path / "d", {"a": 3})
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *args) == status
    err = capfd.readouterr().err
    assert said in err
    assert "Traceback" not in err
    if status == 1:
        assert err.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "run" / "model.pt").exists()
