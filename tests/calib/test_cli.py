"""regad-calib: where it finds the artifact, what it writes, and what it refuses before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from regad.calib.cli import command
from regad.runtime.commands.console import run_cli
from regad.runtime.formats.category import load_category


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


class Calib:
    """The program and a folder of two photos."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.support = root / "support"
        self.out = root / "part.safetensors"
        self._capsys = capsys
        self.support.mkdir()
        for number in range(2):
            noise = np.random.default_rng(number).integers(0, 256, (30, 40), np.uint8)
            Image.fromarray(noise).save(self.support / f"{number}.png")

    def __call__(self, *args: object) -> Outcome:
        words = ["--support", self.support, "--out", self.out, *args]
        with pytest.raises(SystemExit) as stop:
            run_cli(command, [str(word) for word in words])
        captured = self._capsys.readouterr()
        return Outcome(int(str(stop.value.code)), captured.out, captured.err)


@pytest.fixture
def calib(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Calib:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REGAD_MODEL", raising=False)
    return Calib(tmp_path, capsys)


def test_the_artifact_is_looked_for_where_the_other_commands_look(
    calib: Calib, artifact_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = calib()
    assert missing.code == 1
    assert "REGAD_MODEL" in missing.err
    monkeypatch.setenv("REGAD_MODEL", str(artifact_dir))
    done = calib("--threshold", 5, "--roi", "1,2,20,20", "--threads", 1)
    assert done.code == 0, done.err
    category = load_category(calib.out)
    assert (category.shot, category.threshold.value, category.spec.roi) == (2, 5.0, (1, 2, 20, 20))


@pytest.mark.parametrize("options", [("--target-frr", 0.7), ("--target-frr", 0), ("--threshold", -1)])
def test_what_cannot_be_is_wrong_usage_at_once(calib: Calib, options: tuple[object, ...]) -> None:
    done = calib("--model", "absent.regad", *options)
    assert done.code == 2
    assert f"Invalid value for '{options[0]}'" in done.err
    assert not calib.out.exists()
