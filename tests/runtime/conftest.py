"""Fixtures of the tests of regad-run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from regad.calib import teach as teaching
from regad.runtime import cli
from regad.runtime.artifact import Artifact
from regad.runtime.console import run_cli

from .run_doubles import ARTIFACT, Bench, Outcome


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("REGAD_MODEL", str(tmp_path / "model.regad"))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(cli.Detector, "load", made.load)
    monkeypatch.setattr(teaching, "teach_folder", made.teach)
    monkeypatch.setattr(Artifact, "open", lambda path, verify=True: ARTIFACT)
    return made


@pytest.fixture
def run(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def call(*args: object, support: bool = True) -> Outcome:
        taught = ["--support", str(bench.root / "support")] if support else []
        with pytest.raises(SystemExit) as stop:
            run_cli(cli.command, [*taught, *map(str, args)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Outcome(int(str(stop.value.code)), captured.out, captured.err)

    return call
