"""Fixtures of the tests of regad-run, and TensorRT and CUDA as stand-ins."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from regad.calib import folder as teaching
from regad.runtime.commands import run as cli
from regad.runtime.commands.console import run_cli
from regad.runtime.formats.artifact import Artifact

from .doubles import FakeCuda, FakeTensorRT, write_engines
from .ort_double import FakeOrt
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


@pytest.fixture
def ort(monkeypatch: pytest.MonkeyPatch) -> FakeOrt:
    double = FakeOrt()
    monkeypatch.setitem(sys.modules, "onnxruntime", double)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    return double


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    double = FakeCuda()
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", double)
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRT(double))
    return double


@pytest.fixture(scope="module")
def built(small_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engines") / "model.regad"
    shutil.copytree(small_artifact, folder)
    write_engines(Artifact.open(folder))
    return folder
