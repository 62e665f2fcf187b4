"""Real engines, built by tensorrt_rtx on a machine without a GPU; and what TensorRT's inspector would have to show."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from regad.export import engine
from regad.export.cli import command
from regad.export.counts import encoder_counts, scorer_counts
from regad.export.engine import EngineConfig, _require_dtypes, build_engines
from regad.export.network import count_engine, count_network, parse
from regad.export.proof import count_onnx
from regad.export.writer import encoder_model, finish, scorer_model
from regad.runtime.backends.tensorrt.engines import Gpu
from regad.runtime.backends.tensorrt.library import FLAVORS, Library, load_tensorrt, logger
from regad.runtime.commands.console import run_cli
from regad.runtime.errors import DeviceError, InputError, RegadError
from regad.runtime.formats.artifact import Artifact, write_artifact
from regad.runtime.formats.encodings import Form, forms_of
from regad.runtime.formats.scoring import SCORINGS
from regad.runtime.formats.spec import EDGE_GROUPS

from .conftest import Exported, affine_encoder, identity_encoder, normalized

FORMS = forms_of(EDGE_GROUPS)

pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 is not installed")


@pytest.fixture(scope="module")
def library() -> Library:
    return load_tensorrt("tensorrt_rtx")


@pytest.fixture(scope="module")
def half_artifact(exported: Exported, half: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The shared artifact with its encoder in fp16 and scorers that take fp16 statistics."""
    artifact = exported.artifact
    files = {name: (artifact.path / name).read_bytes() for name in artifact.manifest["files"]}
    files["encoder.onnx"] = half.SerializeToString()
    files["scorer.onnx"] = scorer_model(Form("gram"), dtype="fp16").SerializeToString()
    manifest = {**artifact.manifest, "dtype": "fp16", "statistics_dtype": "fp16"}
    return write_artifact(tmp_path_factory.mktemp("half") / "half.regad", manifest, files)


def copied(artifact: Artifact, tmp_path: Path) -> Artifact:
    shutil.copytree(artifact.path, tmp_path / "model.regad", ignore=shutil.ignore_patterns("engines"))
    return Artifact.open(tmp_path / "model.regad")


def run(*args: object) -> int:
    with pytest.raises(SystemExit) as stop:
        run_cli(command, [str(arg) for arg in args])
    return int(stop.value.code or 0)


@pytest.mark.parametrize("compute_capability", ["8.6", "8.9"])
def test_fp16_engines_are_built_and_are_fp16(half_artifact: Artifact, tmp_path: Path, compute_capability: str) -> None:
    artifact = copied(half_artifact, tmp_path)
    config = EngineConfig(batch=(1, 2, 3), max_shot=4, encodings=("gram",), compute_capability=compute_capability)
    said: list[str] = []
    encoder, scorer = build_engines(artifact, config, said.append)
    assert encoder.operations == encoder_counts("fp16", "gather")
    assert scorer.operations == scorer_counts(Form("gram"))
    assert encoder.profile == {"image": ((1, 224, 224, 3), (2, 224, 224, 3), (3, 224, 224, 3))}
    assert scorer.profile["x2"] == ((784, 2, 128), (784, 87, 128), (784, 87, 128))
    assert scorer.profile["l"][2] == (3136, 87, 87)
    assert scorer.profile["f1"][2] == (3, 3136, 64)
    assert (encoder.key.gpu, encoder.key.compute_capability) == ("any", compute_capability)
    assert encoder.plan_bytes > 14e6, "it carries the weights"
    assert {path.suffix for path in (artifact.path / "engines").iterdir()} == {".plan", ".json"}
    assert Artifact.open(artifact.path).hash == artifact.hash
    target = f"for any ({compute_capability}): there is none"
    assert said == [f"building the engine of {graph}.onnx {target}" for graph in ("encoder", "scorer")]


def test_fp32_engines_and_when_they_are_built_again(exported: Exported, tmp_path: Path) -> None:
    artifact = copied(exported.artifact, tmp_path)
    usual = EngineConfig(encodings=("hybrid",), compute_capability="8.9", max_shot=4)
    said: list[str] = []
    first = build_engines(artifact, usual, said.append)
    assert [record.operations for record in first] == [encoder_counts("fp32", "gather"), scorer_counts(Form("hybrid"))]
    said.clear()
    assert build_engines(artifact, usual, said.append) == first
    assert said == ["the engine of encoder.onnx is up to date", "the engine of scorer_hybrid.onnx is up to date"]

    said.clear()
    (_, wider) = build_engines(artifact, dataclasses.replace(usual, max_shot=5), said.append)
    assert said[1] == "building the engine of scorer_hybrid.onnx for any (8.9): the one there has other options"
    assert (wider.stem, wider.max_shot, wider.largest("x2", 1)) == (first[1].stem, 5, 109)
    first = build_engines(artifact, usual)

    plan = artifact.path / "engines" / f"{first[1].stem}.plan"
    plan.write_bytes(plan.read_bytes()[:-100])
    said.clear()
    again = build_engines(artifact, usual, said.append)
    assert again[1].profile == first[1].profile
    assert said[1].startswith("building the engine of scorer_hybrid.onnx for any (8.9): ")
    assert "altered or cut" in said[1]


@pytest.mark.parametrize("form", forms_of(EDGE_GROUPS), ids=lambda form: form.name)
def test_every_form_is_parsed(exported: Exported, tmp_path: Path, library: Library, form: Form) -> None:
    log = logger(library)
    onnx.save(scorer_model(form), tmp_path / "scorer.onnx")
    network = parse(library, log, tmp_path / "scorer.onnx").network
    assert count_network(library, network) == scorer_counts(form)


def test_engines_are_built_for_the_groups_that_are_scored(exported: Exported, tmp_path: Path, library: Library) -> None:
    artifact = copied(exported.artifact, tmp_path)
    names = {form.name: f"scorer_{form.name}.onnx" for form in forms_of(EDGE_GROUPS)}
    files = {name: (artifact.path / name).read_bytes() for name in artifact.manifest["files"]}
    files |= {names[form.name]: scorer_model(form).SerializeToString() for form in forms_of(EDGE_GROUPS)}
    whole = {**artifact.manifest, "scorers": names, "scoring": SCORINGS["edge"].to_json()}
    artifact = write_artifact(tmp_path / "groups.regad", whole, files)
    config = EngineConfig(max_shot=4, encodings=("gram",), compute_capability="8.9")
    _, _, scorer = build_engines(artifact, config)
    assert scorer.operations == scorer_counts(Form("gram", "gram"))
    assert scorer.profile["x2"] == ((784, 2, 128), (784, 87, 128), (784, 87, 128))
    assert scorer.profile["f3"][2] == (4, 196, 256)
    assert "f1" not in scorer.profile


def test_a_gpu_that_tensorrt_rtx_leaves_out_is_told_before_building(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would build the engine, and refuse to open it: seen on an H100."""
    for capability in ("8.6", "12.0", "13.1"):
        monkeypatch.setattr(engine, "Cuda", lambda found=capability: SimpleNamespace(gpu=lambda: Gpu("GPU", found)))
        assert engine._target(EngineConfig(), load_tensorrt("tensorrt_rtx")) == Gpu("GPU", capability)
    monkeypatch.setattr(engine, "Cuda", lambda: SimpleNamespace(gpu=lambda: Gpu("NVIDIA H100", "9.0")))
    artifact = copied(exported.artifact, tmp_path)
    assert run("--engine", "--artifact", artifact.path) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "does not run on NVIDIA H100 (9.0), only on 7.5, 8.0, 8.6, 8.9, 12.0, 12.1 and newer" in line
    assert not (artifact.path / "engines").exists()


def test_too_little_workspace_is_said_and_nothing_is_written(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = copied(exported.artifact, tmp_path)
    options = ["--compute-capability", "8.6", "--workspace", 1, "--max-shot", 16]
    assert run("--engine", "--artifact", artifact.path, *options) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: tensorrt_rtx ")
    assert "cannot build the engine of" in last
    assert "--workspace" in last
    assert not (artifact.path / "engines").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], ["find a GPU", "built on the target", "--compute-capability"]),
        (["--compute-capability", "8.7"], ["8.7", "8.6", "8.9"]),
        (["--compute-capability", "8.6", "--min-batch", "3"], ["batch is 3, 1, 4"]),
        (["--compute-capability", "8.6", "--max-shot", "1"], ["--max-shot is 1"]),
        (["--compute-capability", "8.6", "--workspace", "0"], ["--workspace is 0"]),
        (["--compute-capability", "8.6", "--tensorrt", "tensorrt"], ["tensorrt", "pip install"]),
    ],
)
def test_wrong_requests_are_one_line(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str], args: list[str], words: list[str]
) -> None:
    artifact = copied(exported.artifact, tmp_path)
    assert run("--engine", "--artifact", artifact.path, *args) == 1
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert out == ""
    assert line.startswith("error: ")
    assert all(word in line for word in words), line
    assert not (artifact.path / "engines").exists()


def test_without_tensorrt_engine_is_an_error_before_any_work(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    assert run("--ckpt", exported.checkpoint, "--fp16", "--engine", "--out", tmp_path / "model.regad") == 1
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert (out, list(tmp_path.iterdir())) == ("", [])
    assert "pip install 'regad[tensorrt]'" in line


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--artifact", "model.regad"], "--engine too"),
        (["--engine"], "--ckpt FILE"),
        (["--ckpt", "a.pt", "--artifact", "b.regad", "--engine"], "expected one of"),
    ],
)
def test_what_to_build_must_be_clear(capsys: pytest.CaptureFixture[str], args: list[str], words: str) -> None:
    assert run(*args) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_a_graph_that_is_not_what_the_manifest_says_is_refused(exported: Exported, tmp_path: Path) -> None:
    """The build that silently falls back: an fp32 graph in an artifact that calls itself fp16."""
    artifact = exported.artifact
    files = {name: (artifact.path / name).read_bytes() for name in artifact.manifest["files"]}
    liar = write_artifact(tmp_path / "liar.regad", {**artifact.manifest, "dtype": "fp16"}, files)
    with pytest.raises(RegadError, match=r"not of the dtype asked for: it has convolutions 21 fp32.*expected.*21 fp16"):
        build_engines(liar, EngineConfig(compute_capability="8.6"))
    assert not (liar.path / "engines").exists()


def test_an_encoder_without_stns_has_its_own_counts(exported: Exported, tmp_path: Path) -> None:
    artifact = exported.artifact
    files = {name: (artifact.path / name).read_bytes() for name in artifact.manifest["files"]}
    files["encoder.onnx"] = encoder_model(identity_encoder(), half=True).SerializeToString()
    changed = {**artifact.manifest, "dtype": "fp16", "transforms": "identity"}
    bare = write_artifact(tmp_path / "bare.regad", changed, files)
    records = build_engines(bare, EngineConfig(compute_capability="8.9"))
    assert records[0].operations == {"convolutions": {"fp16": 15}}


def test_gridsample_is_proved_bilinear(library: Library, tmp_path: Path) -> None:
    """At opset 16 TensorRT reads it as bilinear; spelled as opset 20 does, it reads NEAREST, and that is found out."""
    model = encoder_model(normalized(affine_encoder()), "gridsample", 16)
    log = logger(library)
    onnx.save(model, tmp_path / "right.onnx")
    right = parse(library, log, tmp_path / "right.onnx")
    assert count_network(library, right.network) == encoder_counts("fp32", "gridsample")
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "GridSample" and attribute.name == "mode":
                attribute.s = b"nearest"
    onnx.save(model, tmp_path / "wrong.onnx")
    with pytest.raises(RegadError, match="by NEAREST"):
        count_network(library, parse(library, log, tmp_path / "wrong.onnx").network)


@pytest.mark.parametrize("name", ["encoder.onnx", "scorer.onnx"])
def test_polygraphy_finds_no_fault(half_artifact: Artifact, name: str) -> None:
    pytest.importorskip("onnx_graphsurgeon", reason="onnx-graphsurgeon, which Polygraphy's linter needs, is absent")
    command = [Path(sys.executable).with_name("polygraphy"), "check", "lint", half_artifact.path / name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "PASSED" in done.stdout


def test_a_graph_that_tensorrt_cannot_read_is_one_line(library: Library, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"not a graph")
    with pytest.raises(RegadError, match="cannot read") as caught:
        parse(library, logger(library), tmp_path / "broken.onnx")
    assert "\n" not in str(caught.value)


def test_engines_are_built_without_pytorch_and_onnx() -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'onnxruntime', 'cv2'):\n"
        "    sys.modules[name] = None\n"
        "import regad.export.cli, regad.export.engine\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_table_of_flavors() -> None:
    assert FLAVORS["tensorrt", 10].typed_flag, "JetPack 6 has 10.3, which types networks weakly unless asked"
    assert not FLAVORS["tensorrt_rtx", 1].timing_cache
    with pytest.raises(DeviceError, match="expected one of tensorrt, tensorrt_rtx"):
        load_tensorrt("tensorflow")
    with pytest.raises(InputError, match="hardware"):
        EngineConfig(hardware="that")  # type: ignore[arg-type]


INSPECTED = {
    "Layers": [
        {"LayerType": "CaskConvolution", "Inputs": [{"Format/Datatype": "Channel major FP16 format"}]},
        {"LayerType": "CaskConvolution", "Inputs": [{"Format/Datatype": "Half"}]},
        {"LayerType": "gemm", "Inputs": [{"Format/Datatype": "Row major linear FP32"}]},
        {"LayerType": "kgen", "Inputs": [{"Format/Datatype": "Int64"}]},
        {"LayerType": "Reformat", "Inputs": []},
    ]
}


def test_what_the_inspector_tells_is_counted_and_judged() -> None:
    counts = count_engine(json.loads(json.dumps(INSPECTED)))
    assert counts == {"convolutions": {"fp16": 2}, "products": {"fp32": 1}}
    _require_dtypes(counts, encoder_counts("fp16", "gather"), "encoder.onnx")
    _require_dtypes({}, encoder_counts("fp16", "gather"), "encoder.onnx")
    with pytest.raises(RegadError, match=r"its convolutions are fp16; expected fp32; it was not written"):
        _require_dtypes(counts, encoder_counts("fp32", "gather"), "encoder.onnx")
    with pytest.raises(RegadError, match=r"fp32; expected fp16"):
        _require_dtypes({"convolutions": {"fp32": 20, "fp16": 1}}, encoder_counts("fp16", "gather"), "encoder.onnx")


def test_int8_is_read_as_int8_and_zero_points_are_refused(exported: Exported, library: Library, tmp_path: Path) -> None:
    from regad.calib.int8 import quantize_encoder

    images = np.random.default_rng(0).integers(0, 256, (4, 224, 224, 3), np.uint8)
    model = finish(quantize_encoder(exported.model(), images, "minmax"), 18)
    assert count_onnx(model) == encoder_counts("int8", "gather")
    onnx.save(model, tmp_path / "int8.onnx")
    log = logger(library)
    read = parse(library, log, tmp_path / "int8.onnx")
    assert count_network(library, read.network) == encoder_counts("int8", "gather")
    onnx.save(finish(quantize_encoder(exported.model(), images, "minmax", "uint8"), 18), tmp_path / "uint8.onnx")
    with pytest.raises(RegadError, match="zero point"):
        parse(library, log, tmp_path / "uint8.onnx")
