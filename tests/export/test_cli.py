"""``regad-export`` as a user meets it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from regad.export import build
from regad.export.cli import command
from regad.export.parity import parity_table, require_parity
from regad.export.samples import synthetic_images, verification_images
from regad.runtime.backends.table import open_backend
from regad.runtime.commands.console import run_cli
from regad.runtime.errors import InputError, RegadError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.encodings import forms_of
from regad.runtime.formats.prior import Prior, Priors
from regad.runtime.formats.scoring import SCORINGS
from regad.runtime.formats.spec import REGAD_GROUPS, InputSpec
from regad.runtime.selftest import Deviation, self_test
from regad.train.evaluation.prior_file import write_priors

from .conftest import Exported


def run(*args: object) -> int:
    with pytest.raises(SystemExit) as stop:
        run_cli(command, [str(arg) for arg in args])
    return int(stop.value.code or 0)


def test_the_manifest(exported: Exported) -> None:
    manifest = json.loads((exported.artifact.path / "manifest.json").read_text())
    assert manifest["model"]["stn_mode"] == "rotation_scale"
    assert len(manifest["model"]["checkpoint_sha256"]) == 64
    assert (manifest["opset"], manifest["ir_version"], manifest["sampler"]) == (18, 9, "gather")
    assert set(manifest["files"]) == {
        "encoder.onnx",
        "golden.safetensors",
        *map(build.scorer_file, forms_of(REGAD_GROUPS)),
    }
    assert all(row["ok"] and row["max_rel"] <= row["tolerance"] for row in manifest["parity"])
    assert {path.name for path in exported.artifact.path.iterdir()} == {"manifest.json", *manifest["files"]}


def test_the_golden_file_passes_its_self_test(exported: Exported) -> None:
    backend = open_backend(exported.artifact, "cpu", None)
    assert all(check.ok for check in self_test(exported.artifact, backend))
    golden = exported.artifact.golden()
    assert golden.images.shape == (3, 224, 224, 3)
    assert golden.statistics.rank == 2
    assert golden.anomaly_score.min() > 0


def drifted(exported: Exported) -> onnx.ModelProto:
    """The right graph with one convolution slightly off, as a faulty exporter might leave it."""
    model = exported.model()
    item = next(item for item in model.graph.initializer if item.name == "layer3.1.conv2.weight")
    item.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(item) * np.float32(1.01), item.name))
    return model


def test_beyond_tolerance_nothing_is_written(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "encoder_model", lambda *args: drifted(exported))
    assert run("--ckpt", exported.checkpoint, "--out", tmp_path / "model.regad") == 1
    out, err = capsys.readouterr()
    assert "BEYOND TOLERANCE" in out
    assert err.splitlines()[-1].startswith("error: the exported graph differs from PyTorch: f3 by ")
    assert list(tmp_path.iterdir()) == []


def test_the_scoring_of_normalised_features_is_told_where_they_are_not(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "encoder_model", lambda *args: exported.model())
    out = tmp_path / "model.regad"
    assert run("--ckpt", exported.checkpoint, "--scoring", "edge", "--out", out) == 0
    assert "note: the scoring edge is meant for features of normalised length" in capfd.readouterr().err
    assert Artifact.open(out).scoring == SCORINGS["edge"]
    assert exported.artifact.scoring == SCORINGS["regad"]


def test_a_prior_of_other_scores_is_refused(
    exported: Exported, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_priors(tmp_path / "prior.json", Priors({4: Prior(0.0, 0.1, 0.1)}), SCORINGS["edge"])
    assert run("--ckpt", exported.checkpoint, "--prior", tmp_path / "prior.json", "--out", tmp_path / "m.regad") == 1
    assert "scores of another kind than this export's --scoring" in capfd.readouterr().err
    assert not (tmp_path / "m.regad").exists()


def test_it_replaces_an_artifact_and_says_what_it_did(
    exported: Exported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    data_dir: Path,
) -> None:
    out = tmp_path / "model.regad"
    shutil.copytree(exported.artifact.path, out)
    stale = out / "engines" / "scorer-old.plan"
    stale.parent.mkdir()
    stale.write_text("of the old one")
    monkeypatch.setattr(build, "encoder_model", lambda *args: exported.model())
    images = data_dir / "parts" / "cookies" / "train" / "good"
    options = ["--verify-images", images, "--verify-seed", 3, "--resample", "lanczos", "--roi", "8,0,300,310"]
    assert run("--ckpt", exported.checkpoint, "--out", out, *options) == 0

    artifact = Artifact.open(out)
    assert artifact.hash == exported.artifact.hash
    assert artifact.spec == InputSpec(resample="lanczos", roi=(8, 0, 300, 310))
    assert not stale.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model.regad"]

    stdout, stderr = capfd.readouterr()
    assert stderr == "writing the graphs ...\ncomparing them with PyTorch ...\n"
    lines = stdout.splitlines()
    compared = [line[:22].strip() for line in lines if line.endswith("  ok")]
    features = ["f1", "f2", "f3", "theta"]
    maps = ["anomaly_map", "anomaly_score", "anomaly_map hybrid", "anomaly_score hybrid"]
    assert compared == [*features, *maps, *(f"{name} border" for name in features)]
    assert "opset 18, gather" in lines[-3]
    assert lines[-2] == f"hash      {artifact.hash}"
    assert "regad-calib --model" in lines[-1]


def expect_one_line(capsys: pytest.CaptureFixture[str], *words: str) -> None:
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert all(word in line for word in words), line


def test_a_folder_that_is_no_artifact_is_not_touched(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"precious")
    assert run("--ckpt", exported.checkpoint, "--out", tmp_path) == 1
    expect_one_line(capsys, str(tmp_path), "holiday.jpg, which is not part of an artifact", "--out")
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None], ids=["empty", "text", "absent"])
def test_a_bad_checkpoint_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    checkpoint = tmp_path / "model.pt"
    if content is not None:
        checkpoint.write_bytes(content)
    assert run("--ckpt", checkpoint, "--out", tmp_path / "model.regad") == 1
    expect_one_line(capsys, str(checkpoint))
    assert not (tmp_path / "model.regad").exists()


def test_a_read_only_place_is_one_line(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(build, "encoder_model", lambda *args: exported.model())
    monkeypatch.setattr(build, "verify", lambda *args: [])
    assert run("--ckpt", exported.checkpoint, "--out", tmp_path / "file" / "model.regad") == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: cannot write")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--opset", "15"], ["opset is 15", "16 to 20"]),
        (["--opset", "20", "--sampler", "gridsample"], ["opset is 20", "16 to 19"]),
        (["--stn-mode", "affine"], ["rotation_scale", "affine"]),
        (["--verify-images", "no/such/folder"], ["no/such/folder"]),
    ],
)
def test_wrong_requests_are_one_line(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str], args: list[str], words: list[str]
) -> None:
    assert run("--ckpt", exported.checkpoint, "--out", tmp_path / "model.regad", *args) == 1
    expect_one_line(capsys, *words)
    assert list(tmp_path.iterdir()) == []


def test_usage_errors_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--sampler", "nearest") == 2
    assert "Usage" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["onnxruntime", "torch"])
def test_a_missing_package_names_what_to_install(
    exported: Exported, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    if missing == "torch":
        monkeypatch.delitem(sys.modules, "regad.export.build")
    monkeypatch.setitem(sys.modules, missing, None)
    assert run("--ckpt", exported.checkpoint) == 1
    expect_one_line(capsys, "pip install 'regad[")


def test_verification_images_are_the_users_first(tmp_path: Path) -> None:
    spec = InputSpec()
    photo = synthetic_images(1, seed=9)[0]
    Image.fromarray(photo).save(tmp_path / "part.png")
    images = verification_images(tmp_path, spec, seed=0)
    assert images.shape == (4, 224, 224, 3)
    np.testing.assert_array_equal(images[0], photo)
    np.testing.assert_array_equal(images[1:], synthetic_images(4, seed=0)[:3])
    with pytest.raises(InputError):
        verification_images(tmp_path / "absent", spec, seed=0)


def test_the_table_names_the_output_that_failed() -> None:
    checks = [Deviation("f1", 1e-6, 1e-6, 2e-4, True), Deviation("theta", 0.1, 0.2, 1e-4, False)]
    assert parity_table(checks).splitlines()[2].split()[-2:] == ["BEYOND", "TOLERANCE"]
    with pytest.raises(RegadError, match=r"theta by 2\.0e-01 \(allowed 1e-04\); nothing was written"):
        require_parity(checks)
