"""regad-doctor: what it finds, the command it names for each problem, and its exit status."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import fields
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from regad.runtime.backends.table import DEVICES, Device
from regad.runtime.commands import checks, doctor
from regad.runtime.commands.checks import Finding
from regad.runtime.commands.console import run_cli
from regad.runtime.errors import ArtifactError, DeviceError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.normalization import PLAIN
from regad.runtime.formats.spec import InputSpec
from regad.runtime.selftest import Deviation

JETSON = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64"


class Machine:
    """A pretended machine: its packages, its files, its GPUs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.packages = {"regad": "0.1.0", "numpy": "2.0", "onnxruntime": "1.20.0", "opencv-python": "4.10"}
        self.lines: dict[str, str] = {}
        self.texts = {"/proc/meminfo": "MemTotal:  8000000 kB\nMemFree: 1 kB\nMemAvailable:  6000000 kB\n"}
        self.cards: list[str] = []
        self.providers = ["CPUExecutionProvider"]
        self.ort_error: Exception | None = None
        monkeypatch.setattr(checks, "version", self.version)
        monkeypatch.setattr(checks, "_first_line", self.lines.get)
        monkeypatch.setattr(checks, "_text", lambda path: self.texts.get(path, ""))
        monkeypatch.setattr(checks, "gpus", lambda: self.cards)
        monkeypatch.setattr(checks, "load_onnxruntime", self.load_ort)

    def version(self, name: str) -> str:
        if name not in self.packages:
            raise PackageNotFoundError(name)
        return self.packages[name]

    def load_ort(self) -> Any:
        if self.ort_error is not None:
            raise self.ort_error
        return SimpleNamespace(__version__="1.20.0", get_available_providers=lambda: self.providers)

    def be_jetson(self) -> None:
        self.lines["/etc/nv_tegra_release"] = JETSON
        self.lines["/proc/device-tree/model"] = "NVIDIA Jetson Orin Nano"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def levels(findings: list[Finding]) -> list[str]:
    return [finding.level for finding in findings]


def test_a_sound_machine(machine: Machine) -> None:
    assert levels(checks.check_python() + checks.check_memory() + checks.check_onnxruntime()) == ["ok"] * 3
    assert "numpy 2.0" in checks.check_python()[0].text
    assert "8.2 GB, 6.1 GB free" in checks.check_memory()[0].text


def test_jetson_release(machine: Machine) -> None:
    assert checks.jetson_release() is None
    machine.be_jetson()
    assert checks.jetson_release() == ("36", "36.4.3")
    assert checks.check_platform()[1].text == "NVIDIA Jetson Orin Nano, Jetson Linux 36.4.3 (JetPack 6)"


def test_little_memory(machine: Machine) -> None:
    machine.texts["/proc/meminfo"] = "MemTotal:  4000000 kB\nMemAvailable:  900000 kB\n"
    assert levels(checks.check_memory()) == ["note"]
    machine.texts.clear()
    assert levels(checks.check_memory()) == ["note"]


def test_two_onnxruntimes_over_each_other(machine: Machine) -> None:
    machine.packages["onnxruntime-gpu"] = "1.19.0"
    machine.cards = ["NVIDIA A2, 560.1, 15000 MiB"]
    (finding,) = checks.check_onnxruntime()
    assert finding.level == "problem"
    assert "installed over each other" in finding.text
    assert finding.remedy == "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'regad[gpu]'"


def test_no_onnxruntime(machine: Machine) -> None:
    del machine.packages["onnxruntime"]
    machine.ort_error = DeviceError("ONNX Runtime cannot be imported", remedy="install it")
    (finding,) = checks.check_onnxruntime()
    assert (finding.level, finding.remedy) == ("problem", "pip install 'regad[cpu]'")
    machine.be_jetson()
    (finding,) = checks.check_onnxruntime()
    assert finding.remedy == "pip install onnxruntime-gpu --index-url https://pypi.jetson-ai-lab.io/jp6/cu126"


def test_an_onnxruntime_that_is_half_removed(machine: Machine) -> None:
    machine.ort_error = AttributeError("module 'onnxruntime' has no attribute 'get_available_providers'")
    (finding,) = checks.check_onnxruntime()
    assert finding.remedy == "pip uninstall -y onnxruntime && pip install 'regad[cpu]'"


def test_a_gpu_that_onnxruntime_cannot_use_is_a_note(machine: Machine) -> None:
    machine.cards = ["NVIDIA A2, 560.1, 15000 MiB"]
    found = checks.check_onnxruntime()
    assert levels(found) == ["ok", "note"]
    assert found[1].remedy == "pip uninstall -y onnxruntime && pip install 'regad[gpu]'"
    machine.providers.insert(0, "CUDAExecutionProvider")
    assert levels(checks.check_onnxruntime()) == ["ok"]


def test_gpu_and_tensorrt_are_optional(machine: Machine) -> None:
    assert levels(checks.check_gpu()) == ["note"]
    machine.cards = ["NVIDIA A2, 560.1, 15000 MiB"]
    assert levels(checks.check_gpu()) == ["ok", "note", "note"]
    for bindings in ("cuda-python", "cuda-bindings"):  # the first is a shell around the second from 12.9 on
        machine.packages = {"tensorrt": "10.3.0", bindings: "12.6.0"}
        assert levels(checks.check_gpu()) == ["ok", "ok", "ok"]


def test_openvino_is_optional_and_says_what_each_device_computes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    (_, processor, *_) = checks.check_openvino()
    assert processor.text.startswith("CPU (")
    assert " computes in f32" in processor.text

    def broken() -> None:
        raise DeviceError("OpenVINO cannot be imported (no libtbb)")

    monkeypatch.setattr(checks, "load_openvino", broken)
    assert levels(checks.check_openvino()) == ["problem"]
    monkeypatch.setattr(checks, "openvino_available", lambda: False)
    (finding,) = checks.check_openvino()
    assert (finding.level, finding.remedy) == ("note", "pip install 'regad[openvino]'")


def test_nvidia_smi(monkeypatch: pytest.MonkeyPatch) -> None:
    def smi(code: int, text: str) -> Callable[..., Any]:
        return lambda *args, **options: SimpleNamespace(returncode=code, stdout=text)

    monkeypatch.setattr(checks.subprocess, "run", smi(0, "A2, 1, 2 MiB\n\n"))
    assert checks.gpus() == ["A2, 1, 2 MiB"]
    monkeypatch.setattr(checks.subprocess, "run", smi(9, "failed to communicate with the driver"))
    assert checks.gpus() == []

    def hang(*args: object, **options: object) -> None:
        raise subprocess.TimeoutExpired("nvidia-smi", 15)

    monkeypatch.setattr(checks.subprocess, "run", hang)
    assert checks.gpus() == []


def test_opencv(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    (finding,) = checks.check_opencv()
    assert finding.level == "ok"
    assert "GStreamer" in finding.text
    machine.packages["opencv-python-headless"] = "4.10"
    assert levels(checks.check_opencv()) == ["ok", "note"]
    machine.be_jetson()
    monkeypatch.setattr(checks, "build_options", lambda: {"GUI": "NONE", "GStreamer": "NO", "FFMPEG": "NO"})
    assert levels(checks.check_opencv()) == ["ok", "note", "note", "note"]


def test_no_opencv_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "is_installed", lambda: False)
    (finding,) = checks.check_opencv()
    assert (finding.level, finding.remedy) == ("note", "pip install opencv-python")
    assert finding.text.startswith("OpenCV is not installed; cameras, videos")


def test_opencv_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise DeviceError("OpenCV cannot be loaded (libGL.so.1)", remedy="pip install opencv-python-headless")

    monkeypatch.setattr(checks, "load_cv2", fail)
    (finding,) = checks.check_opencv()
    assert (finding.level, finding.remedy) == ("problem", "pip install opencv-python-headless")


def test_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks.Path, "glob", lambda self, pattern: iter(()))
    assert levels(checks.check_cameras()) == ["note"]
    monkeypatch.setattr(checks.Path, "glob", lambda self, p: iter([Path("/dev/video10"), Path("/dev/video2")]))
    monkeypatch.setattr(checks.os, "access", lambda path, mode: str(path) == "/dev/video2")
    two, ten = checks.check_cameras()
    assert (two.level, ten.level) == ("ok", "note")
    assert "/dev/video2" in two.text
    assert "usermod -aG video" in str(ten.remedy)


# The artifact


@pytest.fixture
def artifact(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An artifact that opens and passes; a test changes what happens."""
    state: dict[str, Any] = {"open": None, "test": None, "cuda": False, "cuda_error": None}
    good = Deviation("theta", 1e-6, 1e-6, 1e-4, True)

    def open_it(path: Path) -> Artifact:
        if state["open"]:
            raise state["open"]
        return Artifact(path, {"features": PLAIN.table()}, "a" * 64, InputSpec(), "fp32")

    class Fake(Device):
        def is_present(self) -> bool:
            return self.required or state["cuda"]

        def open(self, artifact: Artifact, threads: int | None = None, **options: Any) -> Any:
            if not self.required and state["cuda_error"]:
                raise state["cuda_error"]
            return SimpleNamespace(close=lambda: None)

    def test(artifact: Artifact, backend: Any) -> list[Deviation]:
        if state["test"]:
            raise state["test"]
        return [good]

    monkeypatch.setattr(Artifact, "open", open_it)
    rows = [Fake(**{field.name: getattr(row, field.name) for field in fields(row)}) for row in DEVICES[:2]]
    monkeypatch.setattr(checks, "DEVICES", rows)
    monkeypatch.setattr(checks, "self_test", test)
    return state


def test_a_sound_artifact(artifact: dict[str, Any]) -> None:
    found = checks.check_artifact(Path("m.regad"))
    assert levels(found) == ["ok", "ok"]
    assert found[1].text == "passed on cpu: worst is theta, 1.0e-06 of 1e-04 allowed"


def test_a_damaged_artifact(artifact: dict[str, Any]) -> None:
    artifact["open"] = ArtifactError("encoder.onnx was altered")
    (finding,) = checks.check_artifact(Path("m.regad"))
    assert (finding.level, finding.remedy) == ("problem", "regad-export --ckpt model.pt --out m.regad")


def test_an_artifact_that_computes_wrongly(artifact: dict[str, Any]) -> None:
    artifact["test"] = ArtifactError("theta is off")
    assert levels(checks.check_artifact(Path("m.regad"))) == ["ok", "problem"]


def test_a_gpu_that_cannot_be_opened_is_a_note(artifact: dict[str, Any]) -> None:
    artifact |= {"cuda": True, "cuda_error": DeviceError("libcublas is missing")}
    assert levels(checks.check_artifact(Path("m.regad"))) == ["ok", "ok", "note"]


def test_no_artifact_is_a_note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("REGAD_MODEL", raising=False)
    monkeypatch.chdir(tmp_path)
    (found,) = checks.check_artifact(None)
    assert found.level == "note" and "none is given (--model FOLDER, $REGAD_MODEL, ./model.regad)" in found.text
    assert found.remedy is not None and "regad-export --ckpt" in found.remedy and "regad-pull" in found.remedy


def test_a_path_that_is_no_artifact(tmp_path: Path) -> None:
    assert levels(checks.check_artifact(tmp_path)) == ["problem"]


# The command


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    def call(findings: list[Finding], *args: object) -> Outcome:
        monkeypatch.setattr(doctor, "examine", lambda model: findings)
        with pytest.raises(SystemExit) as stop:
            run_cli(doctor.command, [str(arg) for arg in args])
        captured = capsys.readouterr()
        return Outcome(int(str(stop.value.code)), captured.out, captured.err)

    return call


GOOD = [Finding("python", "ok", "3.11"), Finding("tensorrt", "note", "absent", "pip install x")]
BAD = [*GOOD, Finding("opencv", "problem", "missing", "pip install opencv-python")]


def test_notes_are_no_failure(run: Callable[..., Outcome]) -> None:
    outcome = run(GOOD)
    assert outcome.code == 0
    assert "fix: pip install x" in outcome.out
    assert outcome.out.endswith("everything that is needed works\n")


def test_problems_are(run: Callable[..., Outcome]) -> None:
    outcome = run(BAD)
    assert outcome.code == 1
    assert "PROBLEM  opencv       missing\n" in outcome.out
    assert "fix: pip install opencv-python" in outcome.out
    assert "1 problem found" in outcome.out


def test_json(run: Callable[..., Outcome], tmp_path: Path) -> None:
    outcome = run(BAD, "--json", "-")
    assert outcome.code == 1
    data = json.loads(outcome.out)
    assert data["ok"] is False
    assert data["findings"][0] == {"topic": "python", "level": "ok", "text": "3.11", "remedy": None}
    path = tmp_path / "report.json"
    outcome = run(GOOD, "--json", path)
    assert json.loads(path.read_text())["ok"] is True
    assert "python" in outcome.out
    (tmp_path / "file").touch()
    outcome = run(GOOD, "--json", tmp_path / "file" / "report.json")
    assert outcome.code == 1
    assert outcome.err.startswith("error: cannot write")


def test_this_machine_is_examined_without_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("REGAD_MODEL", raising=False)
    monkeypatch.chdir(tmp_path)
    topics = [finding.topic for finding in checks.examine(None)]
    for topic in ("python", "platform", "memory", "onnxruntime", "cuda", "opencv", "cameras", "artifact"):
        assert topic in topics
