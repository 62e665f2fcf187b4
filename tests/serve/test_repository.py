"""What regad-triton writes: whole versions, categories one rename each, and nothing of others' replaced."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from regad.runtime.commands.console import run_cli
from regad.runtime.errors import OutputError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.category import load_category
from regad.runtime.serve.triton.cli import command
from regad.runtime.serve.triton.config import (
    OUTPUTS,
    Settings,
    Step,
    detector_config,
    encoder_config,
    ensemble_config,
    scorer_config,
)
from regad.runtime.serve.triton.repository import write_detector

from .doubles import place

Parsed = Any


def parsed(text: str) -> Parsed:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


class Bench:
    """An artifact, three categories of it, and the command."""

    def __init__(self, root: Path, artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.artifact = Artifact.open(artifact)
        self.out = root / "repository"
        self.capsys = capsys
        (root / "categories").mkdir()
        self.files = [self.teach(name, number) for number, name in enumerate("abc")]

    def teach(self, name: str, seed: int, artifact: str | None = None) -> Path:
        place(self.root / "categories", name, seed, artifact or self.artifact.hash)
        return self.root / "categories" / f"{name}.safetensors"

    def run(self, *words: object, files: list[Path] | None = None) -> tuple[int, str]:
        given = [word for file in (self.files if files is None else files) for word in ("--category", file)]
        with pytest.raises(SystemExit) as stop:
            run_cli(command, [*map(str, ("--model", self.artifact.path, "--out", self.out, *given, *words))])
        said = self.capsys.readouterr()
        assert "Traceback" not in said.err
        return int(str(stop.value.code)), said.err

    def served(self, model: str = "regad", version: int = 1) -> dict[str, str]:
        folder = self.out / model / str(version) / "categories"
        return {path.stem: load_category(path, self.artifact.hash).hash for path in sorted(folder.iterdir())}

    def hashes(self) -> dict[str, str]:
        return {path.stem: load_category(path).hash for path in self.files}


@pytest.fixture
def bench(tmp_path: Path, small_artifact: Path, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(tmp_path, small_artifact, capsys)


def test_one_model_serves_every_category_and_the_golden_sample(bench: Bench) -> None:
    code, said = bench.run("--device", "cpu", "--threads", 3, "--memory-mb", 500, "--max-batch", 4)
    assert code == 0, said
    assert sorted(path.name for path in (bench.out / "regad").iterdir()) == ["1", "config.pbtxt"]
    served = bench.served()
    assert served.pop("golden")
    assert served == bench.hashes()
    assert Artifact.open(bench.out / "regad" / "1" / "model.regad").manifest == bench.artifact.manifest
    config = parsed((bench.out / "regad" / "config.pbtxt").read_text())
    assert (config.name, config.backend, config.max_batch_size) == ("regad", "python", 4)
    assert [port.name for port in config.output] == [port.name for port in OUTPUTS]
    given = {name: value.string_value for name, value in config.parameters.items()}
    assert Settings.from_parameters(given) == Settings("cpu", 3, 500)
    source = (bench.out / "regad" / "1" / "model.py").read_text()
    compile(source, "model.py", "exec")
    assert len(source.splitlines()) == 5


def test_the_precision_is_a_parameter_of_the_model(bench: Bench) -> None:
    code, said = bench.run("--device", "openvino", "--precision", "bf16")
    assert code == 0, said
    config = parsed((bench.out / "regad" / "config.pbtxt").read_text())
    given = {name: value.string_value for name, value in config.parameters.items()}
    assert (given["device"], given["precision"]) == ("openvino", "bf16")
    assert Settings.from_parameters(given) == Settings("openvino", precision="bf16")
    del given["precision"]  # a repository that was written before
    assert Settings.from_parameters(given).precision == "f32"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--device", "cpu"), 1, "precision is 'bf16', and cpu takes f32 only"),
        ((), 1, "precision is 'bf16', and auto takes f32 only"),
        (("--kind", "graphs"), 2, "--precision is for --kind detector"),
    ],
)
def test_a_precision_that_nothing_would_compute_in_is_refused(
    bench: Bench, words: tuple[str, ...], status: int, said: str
) -> None:
    code, text = bench.run("--precision", "bf16", *words)
    assert (code, said in text) == (status, True), text
    assert not bench.out.exists()


def test_a_category_that_changed_takes_the_others_place_and_what_did_not_is_left_alone(bench: Bench) -> None:
    bench.run()
    folder = bench.out / "regad" / "1" / "categories"
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    bench.teach("b", 7)
    code, said = bench.run(files=[bench.files[0], bench.files[1]])
    assert code == 0
    after = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert [name for name in before if before[name] != after[name]] == ["b.safetensors"]
    assert bench.served()["b"] == load_category(bench.files[1]).hash
    assert "b.safetensors: placed" in said
    assert "a.safetensors" not in said


def test_another_artifact_is_a_new_version_with_the_categories_that_it_can_use(bench: Bench, tmp_path: Path) -> None:
    bench.run()
    shutil.copytree(bench.artifact.path, tmp_path / "other.regad")
    manifest = json.loads((tmp_path / "other.regad" / "manifest.json").read_text())
    (tmp_path / "other.regad" / "manifest.json").write_text(json.dumps({**manifest, "producer": "again"}))
    code, said = bench.run("--model", tmp_path / "other.regad", files=[bench.teach("d", 9)])
    assert code == 0, said
    assert list(bench.served(version=2)) == ["a", "b", "c", "d", "golden"]
    assert list(bench.served(version=1)) == ["a", "b", "c", "golden"]


def test_a_new_version_never_ends_a_category_without_a_word(bench: Bench, tmp_path: Path) -> None:
    bench.run()
    other = tmp_path / "other.regad"
    shutil.copytree(bench.artifact.path, other)
    manifest = json.loads((other / "manifest.json").read_text())
    encoder = other / "encoder.onnx"
    encoder.write_bytes(encoder.read_bytes() + b"\x9a\x06\x00")  # an empty field that nobody reads: another sha256
    data = encoder.read_bytes()
    manifest["files"]["encoder.onnx"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (other / "manifest.json").write_text(json.dumps(manifest))
    strange = Artifact.open(other)
    code, said = bench.run("--model", other, files=[bench.teach("a", 1, strange.hash)])
    assert code == 1
    assert "b.safetensors is served and cannot be used with" in said
    assert "give b.safetensors too, taught on this artifact, or choose another --name" in said
    assert sorted(path.name for path in (bench.out / "regad").iterdir()) == ["1", "config.pbtxt"]


def test_each_category_can_have_a_model_of_its_own(bench: Bench) -> None:
    code, _ = bench.run("--one-model-per-category", "--name", "line")
    assert code == 0
    assert sorted(path.name for path in bench.out.iterdir()) == ["line_a", "line_b", "line_c"]
    assert list(bench.served("line_b")) == ["b", "golden"]
    config = parsed((bench.out / "line_b" / "config.pbtxt").read_text())
    assert config.parameters["category"].string_value == "b"


def test_a_model_of_others_is_left_alone(bench: Bench) -> None:
    (bench.out / "regad").mkdir(parents=True)
    (bench.out / "regad" / "config.pbtxt").write_text('name: "regad"\n')
    code, said = bench.run()
    assert code == 1
    assert "is a model that regad-triton did not write; choose another --name or --out" in said
    (bench.out / "regad" / "config.pbtxt").rename(bench.out / "regad" / "notes.txt")
    code, said = bench.run()
    assert code == 1
    assert "cannot be read (No such file or directory)" in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--name", "../x"], "'../x' is no name that can be served"),
        (["--memory-mb", "1"], "MB, and all of them may take 1 MB; raise --memory-mb"),
        (["--kind", "graphs", "--device", "tensorrt"], "--kind graphs takes --device auto, cpu, cuda"),
        (["--kind", "graphs", "--one-model-per-category"], "--one-model-per-category is for --kind detector"),
    ],
)
def test_what_cannot_be_served_is_refused_before_anything_is_written(bench: Bench, words: list[str], told: str) -> None:
    code, said = bench.run(*words)
    assert code in (1, 2)
    assert told in said
    assert not bench.out.exists()


@pytest.mark.parametrize("name", ["golden", "ä", "a b"])
def test_a_category_needs_a_name_that_can_be_served(bench: Bench, name: str) -> None:
    code, said = bench.run(files=[bench.teach(name, 1)])
    assert code == 1
    assert "name" in said
    assert not bench.out.exists()


def test_two_files_of_one_name_and_a_strangers_category_are_refused(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "twin").mkdir()
    shutil.copy(bench.files[0], tmp_path / "twin")
    code, said = bench.run(files=[bench.files[0], tmp_path / "twin" / "a.safetensors"])
    assert code == 1
    assert "are both the category a; give one another name" in said
    code, said = bench.run(files=[bench.teach("z", 1, "b" * 64)])
    assert code == 1
    assert "was taught on artifact bbbbbbbbbbbb" in said


def test_the_repository_may_not_lie_in_the_artifact(bench: Bench) -> None:
    code, said = bench.run("--out", bench.artifact.path / "repository")
    assert code == 1
    assert "lies inside --model" in said


def test_a_full_disk_leaves_no_half_version(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[object] = []
    copy = shutil.copyfile

    def fill(source: object, target: object, **options: object) -> object:
        copied.append(target)
        if len(copied) == 4:
            raise OSError(28, "No space left on device")
        return copy(source, target, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(shutil, "copyfile", fill)
    with pytest.raises(OutputError, match="No space left on device"):
        write_detector(bench.out, "regad", bench.artifact, {"a": bench.files[0]}, Settings(), 8)
    assert [path.name for path in (bench.out / "regad").iterdir()] == ["config.pbtxt"]
    code, said = bench.run()
    assert code == 0, said


def test_a_server_is_not_asked_without_its_client(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tritonclient", None)
    code, said = bench.run("--check", "127.0.0.1:1")
    assert code == 1
    assert "install it: pip install 'regad[triton]'" in said
    assert not bench.out.exists()


def test_a_server_that_is_not_there_is_said_in_one_line(bench: Bench) -> None:
    code, said = bench.run("--check", "127.0.0.1:1")
    assert code == 1
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: the server at 127.0.0.1:1 cannot load regad: ")


def test_the_configurations_are_what_triton_reads() -> None:
    for text in (
        detector_config("regad", Settings(category='a"b'), 8),
        encoder_config("e", 8, "cuda", 2),
        scorer_config("s", ["f2", "f3"], 8, "auto", None),
        ensemble_config(
            "x", [Step("e", ["image"], ["f2"]), Step("s", ["f2"], ["anomaly_map"])], 8, {"input": '{"a": 1}'}
        ),
    ):
        config = parsed(text)
        assert config.max_batch_size == 8
    encoder = parsed(encoder_config("e", 8, "cuda", 2))
    (accelerator,) = encoder.optimization.execution_accelerators.gpu_execution_accelerator
    assert (accelerator.name, dict(accelerator.parameters)) == ("cuda", {"use_tf32": "0"})
    assert encoder.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
    with pytest.raises(text_format.ParseError, match="max_batchsize"):
        parsed("max_batchsize: 8")
