"""fp16 and int8 encoders, fp16 statistics, and the decisions compared with fp32's."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from regad.calib.gaussian import fit_statistics
from regad.calib.int8 import quantize_encoder
from regad.export import build
from regad.export.agreement import Agreement, Limits, agreement_table, compare_decisions, require_agreement
from regad.export.cli import command
from regad.export.counts import describe, encoder_counts, require_counts
from regad.export.parity import run_graph, verify
from regad.export.proof import count_onnx
from regad.export.reference import torch_features
from regad.export.samples import synthetic_images
from regad.export.scorer import scorer_text
from regad.export.writer import finish, scorer_model
from regad.runtime.backends.table import open_backend
from regad.runtime.commands.console import run_cli
from regad.runtime.errors import ArtifactError, CategoryError, InputError, RegadError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.encodings import Form
from regad.runtime.formats.features import Features
from regad.runtime.scoring.reference import Scorer, graph_tensors
from regad.runtime.selftest import TOLERANCES, self_test, tolerances

from .conftest import Exported

IMAGES = synthetic_images(3, seed=6)


def run(*args: object) -> int:
    with pytest.raises(SystemExit) as stop:
        run_cli(command, [str(arg) for arg in args])
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def int8(exported: Exported) -> onnx.ModelProto:
    model = exported.model()
    before = model.SerializeToString()
    quantized = quantize_encoder(model, synthetic_images(6, seed=1), "minmax")
    assert model.SerializeToString() == before, "the fp32 graph is still needed"
    return finish(quantized, 18)


def test_fp16_is_close_and_its_transforms_are_float32(exported: Exported, half: onnx.ModelProto) -> None:
    got = Features(*run_graph(half, {"image": IMAGES}))
    wanted = torch_features(exported.encoder, IMAGES)
    for name, a, b in zip(Features._fields, got, wanted, strict=True):
        assert a.dtype == np.float32, name
        error = np.abs(a - b).max() / np.abs(b).max()
        assert 0 < error < TOLERANCES["fp16"][name], name
    assert np.abs(got.theta[0] - got.theta[1]).max(axis=(1, 2)).min() > 1e-3


def test_fp16_keeps_the_interface_and_halves_the_weights(exported: Exported, half: onnx.ModelProto) -> None:
    whole = exported.model()
    assert [value.SerializeToString() for value in half.graph.input] == [
        value.SerializeToString() for value in whole.graph.input
    ]
    assert [value.name for value in half.graph.output] == ["f1", "f2", "f3", "theta"]
    assert all(v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT for v in half.graph.output)
    sizes = [sum(len(item.raw_data) for item in model.graph.initializer) for model in (half, whole)]
    assert 0.49 < sizes[0] / sizes[1] < 0.52


def test_what_decides_where_a_warp_reads_is_float32_in_fp16(half: onnx.ModelProto) -> None:
    types = {v.name: v.type.tensor_type.elem_type for v in onnx.shape_inference.infer_shapes(half).graph.value_info}
    coordinates = [node for node in half.graph.node if node.op_type in ("Floor", "Sin", "Cos", "Where", "Clip", "Abs")]
    assert len(coordinates) > 20
    assert {types[node.output[0]] for node in coordinates} <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}


def test_the_counts(exported: Exported, half: onnx.ModelProto, int8: onnx.ModelProto) -> None:
    for dtype, model in (("fp32", exported.model()), ("fp16", half), ("int8", int8)):
        assert count_onnx(model) == encoder_counts(dtype, "gather"), dtype  # type: ignore[index]
    assert describe(encoder_counts("fp16", "gather")) == "convolutions 21 fp16; products 12 fp16, 3 fp32"
    with pytest.raises(RegadError, match=r"the graph is not of the dtype asked for.*nothing was written"):
        require_counts(count_onnx(exported.model()), encoder_counts("fp16", "gather"), "the graph")


def test_a_graph_with_one_convolution_in_float_is_found_out(int8: onnx.ModelProto) -> None:
    model = copy.deepcopy(int8)
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    source = {node.output[0]: node for node in model.graph.node}
    conv.input[0] = source[source[conv.input[0]].input[0]].input[0]
    assert count_onnx(model)["convolutions"] == {"int8": 14, "fp32": 7}


def test_int8_is_near_and_leaves_the_stns_alone(exported: Exported, int8: onnx.ModelProto) -> None:
    got = Features(*run_graph(int8, {"image": IMAGES}))
    wanted = torch_features(exported.encoder, IMAGES)
    for name, a, b in zip(Features._fields, got, wanted, strict=True):
        assert np.abs(a - b).max() / np.abs(b).max() < TOLERANCES["int8"][name], name
    weights = {item.name: item for item in int8.graph.initializer}
    assert not [name for name in weights if name.startswith("stn") and "quantized" in name]
    scales = [item for name, item in weights.items() if name.endswith(".weight_scale")]
    assert len(scales) == 15
    assert all(item.dims[0] in (64, 128, 256) for item in scales), "one scale a channel"
    zero_points = [onnx.numpy_helper.to_array(item) for name, item in weights.items() if name.endswith("zero_point")]
    assert all(not points.any() for points in zero_points), "TensorRT refuses others"


@pytest.mark.parametrize("encoding", ["gram", "hybrid", "cholesky"])
def test_a_scorer_that_takes_fp16_statistics_widens_them(encoding: str) -> None:
    form = Form(encoding)  # type: ignore[arg-type]
    text, model = scorer_text(form, "fp16"), scorer_model(form, dtype="fp16")
    kinds = {v.name: v.type.tensor_type.elem_type for v in model.graph.input}
    wide = {name for name, kind in kinds.items() if kind == onnx.TensorProto.FLOAT}
    scoring = {"score_factors", "score_weights"}
    assert wide == {"f1", "f2", "f3", "mean1", "mean2", "mean3", *scoring}
    assert text.count("float16[") == len(kinds) - 8
    casts = [node for node in model.graph.node if node.op_type == "Cast"]
    assert {node.input[0] for node in casts} == set(kinds) - wide
    assert "float16" not in count_onnx(model)["products"]


def test_fp16_statistics_score_as_the_numpy_scorer_does(exported: Exported) -> None:
    features = torch_features(exported.encoder, synthetic_images(6, seed=2))
    statistics = fit_statistics(features, "gram", "fp16")
    query = torch_features(exported.encoder, IMAGES)
    inputs = {"f1": query.f1, "f2": query.f2, "f3": query.f3}
    wanted, _ = Scorer(statistics).score(query)
    for dtype in ("fp16", "fp32"):
        tensors = graph_tensors(statistics, dtype)  # type: ignore[arg-type]
        got, _ = run_graph(scorer_model(Form("gram"), dtype=dtype), {**inputs, **tensors})  # type: ignore[arg-type]
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * wanted.max())
    with pytest.raises(CategoryError, match="regad-calib --stats-dtype fp16"):
        graph_tensors(fit_statistics(features, "gram"), "fp16")


def test_tolerances_grow_with_fp16_statistics_only_where_they_count() -> None:
    assert tolerances("fp32") == TOLERANCES["fp32"]
    assert tolerances("int8", "fp16") == TOLERANCES["int8"]
    mixed = tolerances("fp32", "fp16")
    assert mixed["f1"] == TOLERANCES["fp32"]["f1"]
    assert mixed["anomaly_map"] == TOLERANCES["fp16"]["anomaly_map"]


def test_fp16_through_the_command_line(
    exported: Exported,
    tmp_path: Path,
    parts: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, compared = tmp_path / "half.regad", []

    def compare(reference: Artifact, candidate: Artifact, *rest: Any) -> list[Agreement]:
        compared.extend((one.dtype, one.statistics_dtype) for one in (reference, candidate))
        return compare_decisions(reference, candidate, *rest)

    monkeypatch.setattr(build, "compare_decisions", compare)
    options = ["--stats-dtype", "fp16", "--verify-data", parts, "--verify-shot", 2, "--min-agreement", 0.9]
    assert run("--ckpt", exported.checkpoint, "--fp16", "--out", out, *options) == 0
    text = capfd.readouterr().out
    assert "proof     convolutions 21 fp16; products 12 fp16, 3 fp32" in text
    assert "anomaly_map stored" in text
    assert f"build it on the target: regad-export --engine --artifact {out}" in text
    artifact = Artifact.open(out)
    assert (artifact.dtype, artifact.statistics_dtype) == ("fp16", "fp16")
    decisions = artifact.manifest["decisions"]
    assert compared == [("fp32", "fp32"), ("fp16", "fp16")]
    assert decisions["agreement"] >= 0.9
    assert decisions["limits"] == {"agreement": 0.9, "auroc_loss": 0.002}
    assert [row["category"] for row in decisions["categories"]] == ["narrow", "wide"]
    assert "all: " in text
    assert all(check.ok for check in self_test(artifact, open_backend(artifact, "cpu")))
    assert artifact.manifest["operations"] == encoder_counts("fp16", "gather")


def test_int8_through_the_command_line(exported: Exported, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "int8.regad"
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, image in enumerate(synthetic_images(6, seed=3)):
        Image.fromarray(image).save(photos / f"{number}.png")
    (photos / "readme.txt").touch()
    options = ["--calib-images", photos, "--ranges", "minmax", "--activations", "uint8"]
    assert run("--ckpt", exported.checkpoint, "--int8", "--out", out, *options) == 0
    text, progress = capfd.readouterr()
    assert "proof     convolutions 6 fp32, 15 int8; products 15 fp32" in text
    assert "decisions not compared with fp32" in text
    assert "setting int8 ranges from 6 images ..." in progress.splitlines()
    assert f"note: {photos}: passed over, being no image files: 1 .txt" in progress.splitlines()
    assert "note:" not in text
    assert "Collecting" not in text
    artifact = Artifact.open(out)
    assert artifact.manifest["int8"] == {"ranges": "minmax", "activations": "uint8"}
    assert all(check.ok for check in self_test(artifact, open_backend(artifact, "cpu")))


def test_a_category_without_test_images_is_named_before_any_is_judged(exported: Exported, tmp_path: Path) -> None:
    for name in ("train/good", "test/good"):
        (tmp_path / "a" / name).mkdir(parents=True)
        Image.fromarray(synthetic_images(1, seed=3)[0]).save(tmp_path / "a" / name / "0.png")
    shutil.copytree(tmp_path / "a" / "train", tmp_path / "b" / "train")
    judged: list[str] = []
    with pytest.raises(InputError, match="b/test does not exist"):
        compare_decisions(exported.artifact, exported.artifact, tmp_path, 1, progress=judged.append)
    assert judged == []


def test_fp16_beyond_its_limits_leaves_nothing(
    exported: Exported,
    tmp_path: Path,
    parts: Path,
    half: onnx.ModelProto,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(build, "encoder_model", lambda *args: half if args[-1] is True else exported.model())
    monkeypatch.setattr(build, "verify", lambda *args: [])
    changed = [Agreement("wide", 3, 100, 98, 0.2, 0.95, 0.93)]
    monkeypatch.setattr(build, "compare_decisions", lambda *args: changed)
    out = tmp_path / "half.regad"
    assert run("--ckpt", exported.checkpoint, "--fp16", "--out", out, "--verify-data", parts) == 1
    text, err = capsys.readouterr()
    assert "98/100" in text
    last = err.splitlines()[-1]
    assert last.startswith("error: fp16 changes the decisions: 98.00% of the verdicts equal fp32's, 99.50% are wanted")
    assert "the AUROC falls by 0.0200, 0.0020 are allowed (--max-auroc-loss)" in last
    assert last.endswith("nothing was written")
    assert list(tmp_path.iterdir()) == []


def test_int8_that_would_fail_its_self_test_leaves_nothing(
    exported: Exported, tmp_path: Path, parts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ranges from flat stripes are too narrow for the golden images."""
    monkeypatch.setattr(build, "encoder_model", lambda *args: exported.model())
    monkeypatch.setattr(build, "verify", lambda *args: [])
    flat = tmp_path / "flat"
    flat.mkdir()
    Image.fromarray(np.full((64, 64, 3), 20, np.uint8)).save(flat / "dark.png")
    options = ["--int8", "--calib-images", flat, "--ranges", "minmax"]
    assert run("--ckpt", exported.checkpoint, "--out", tmp_path / "model.regad", *options) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: int8 would fail the golden self-test on a device: ")
    assert "nothing was written; calibrate and verify with photos" in last
    assert [path.name for path in tmp_path.iterdir()] == ["flat"]


def test_an_artifact_agrees_with_itself(exported: Exported, parts: Path) -> None:
    results = compare_decisions(exported.artifact, exported.artifact, parts / "wide", 2)
    (only,) = results
    assert (only.category, only.images, only.agreed, only.score_change) == ("wide", 6, 6, 0.0)
    assert only.auroc == only.reference_auroc is not None
    require_agreement(results, Limits(1.0, 0.0), "fp16")
    assert (
        agreement_table(results, "fp16").splitlines()[-1]
        == "all: 100.00% of the verdicts equal, mean AUROC loss +0.0000"
    )


def test_one_class_has_no_auroc_and_is_judged_by_its_verdicts() -> None:
    results = [Agreement("a", 4, 10, 9, 0.1, None, None)]
    assert "not measured" in agreement_table(results, "int8")
    require_agreement(results, Limits(0.9, 0.0), "int8")
    with pytest.raises(RegadError, match=r"90\.00% of the verdicts"):
        require_agreement(results, Limits(0.91, 0.0), "int8")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--fp16", "--int8"], ["one dtype"]),
        (["--int8"], ["--calib-images DIR"]),
        (["--fp16", "--calib-images", "x"], ["--calib-images is for --int8"]),
        (["--int8", "--calib-images", "no/such"], ["no/such is not a folder"]),
        (["--int8", "--calib-images", "../empty"], ["holds no image files"]),
        (["--verify-data", "x"], ["--verify-data compares --fp16 or --int8"]),
        (["--fp16", "--sampler", "gridsample"], ["--sampler gather"]),
        (["--fp16", "--opset", "15"], ["opset is 15"]),
        (["--fp16", "--verify-data", "x", "--min-agreement", "99.5"], ["--min-agreement is 99.5", "0.995"]),
        (["--fp16", "--verify-data", "x", "--max-auroc-loss", "-1"], ["--max-auroc-loss is -1.0"]),
    ],
)
def test_wrong_requests_are_one_line(
    exported: Exported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    words: list[str],
) -> None:
    (tmp_path / "empty").mkdir()
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    assert run("--ckpt", exported.checkpoint, "--out", work / "model.regad", *args) == 1
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert (out, list(work.iterdir())) == ("", [])
    assert all(word in line for word in words), line


def test_an_unknown_dtype_is_refused(exported: Exported, tmp_path: Path) -> None:
    manifest = json.loads((exported.artifact.path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "dtype": "fp8"}))
    with pytest.raises(ArtifactError, match="has dtype 'fp8'; this version reads fp32, fp16, int8"):
        Artifact.open(tmp_path)


def test_int8_has_no_border_rows_and_fp16_has_wider_ones(exported: Exported, half: onnx.ModelProto) -> None:
    scorers = {form: scorer_model(form) for form in (Form("gram"), Form("hybrid"))}
    checks = verify(exported.encoder, half, scorers, synthetic_images(4, seed=0), "fp16")  # type: ignore[arg-type]
    by_name = {check.output: check for check in checks}
    assert all(check.ok for check in checks)
    assert by_name["f1 border"].tolerance == pytest.approx(10 * by_name["f1"].tolerance)
