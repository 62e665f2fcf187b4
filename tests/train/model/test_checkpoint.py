from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from regad.runtime.errors import InputError, OutputError
from regad.runtime.formats.normalization import PLAIN, FeatureNormalization
from regad.runtime.formats.spec import InputSpec
from regad.train.model.checkpoint import Checkpoint, build_encoder, build_heads, load_checkpoint, save_checkpoint
from regad.train.model.modes import STN_MODES

from ..helpers import released

Content = dict[str, dict[str, torch.Tensor]]
SPEC = InputSpec(fit="letterbox", resample="bilinear", mean=(0.1, 0.2, 0.3), std=(0.9, 0.8, 0.7))


@pytest.fixture(scope="module")
def content() -> Content:
    return released("rotation_scale")


def checkpoint(content: Content, mode: str = "rotation_scale") -> Checkpoint:
    facts = {"seed": 3, "categories": ["a", "b"], "weights": {"source": "none", "sha256": None}}
    return Checkpoint(content["STN"], content["ENC"], content["PRED"], mode, SPEC, facts)


def test_round_trip(tmp_path: Path, content: Content) -> None:
    save_checkpoint(tmp_path / "model.pt", checkpoint(content))
    got = load_checkpoint(tmp_path / "model.pt")
    assert (got.stn_mode, got.spec) == ("rotation_scale", SPEC)
    assert got.provenance == checkpoint(content).provenance
    assert len(got.sha256) == 64
    for have, want in ((got.stn, "STN"), (got.enc, "ENC"), (got.pred, "PRED")):
        assert have.keys() == content[want].keys()
        assert all(torch.equal(have[name], content[want][name]) for name in have)


def test_the_built_encoder_gives_the_same_numbers(tmp_path: Path, content: Content) -> None:
    save_checkpoint(tmp_path / "model.pt", checkpoint(content))
    images = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    first, second = build_encoder(checkpoint(content)), build_encoder(load_checkpoint(tmp_path / "model.pt"))
    assert not second.training
    with torch.no_grad():
        assert torch.equal(first(images).feature, second(images).feature)
    assert torch.equal(second.mean.flatten(), torch.tensor(SPEC.mean))
    head, predictor = build_heads(load_checkpoint(tmp_path / "model.pt"))
    assert torch.equal(head.conv3.weight, content["ENC"]["conv3.weight"])
    assert torch.equal(predictor.conv2.weight, content["PRED"]["conv2.weight"])


def test_a_feature_normalization_is_kept_and_computed(tmp_path: Path, content: Content) -> None:
    path, images = tmp_path / "model.pt", torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    root = FeatureNormalization((0.0, 0.5, 1.0), (1.0, 3.0, 2.0))
    save_checkpoint(path, dataclasses.replace(checkpoint(content), normalization=root))
    got = load_checkpoint(path)
    assert got.normalization == root
    with torch.no_grad():
        plain, scored = build_encoder(checkpoint(content))(images), build_encoder(got)(images)
        assert torch.equal(scored.feature, plain.feature)
        assert torch.equal(scored.aligned.f1, plain.aligned.f1)
        for level, exponent, gain in (("f2", 0.5, 3.0), ("f3", 1.0, 2.0)):
            f = getattr(plain.aligned, level)
            want = gain * f / (torch.linalg.vector_norm(f, dim=1, keepdim=True) + 1e-6) ** exponent
            torch.testing.assert_close(getattr(scored.aligned, level), want, rtol=1e-5, atol=1e-5)


def test_a_checkpoint_of_version_1_has_its_features_as_they_come(tmp_path: Path, content: Content) -> None:
    path = tmp_path / "model.pt"
    save_checkpoint(path, checkpoint(content))
    saved = torch.load(path, weights_only=True)
    assert saved["regad"].pop("normalization") == PLAIN.to_json()
    torch.save({**saved, "regad": {**saved["regad"], "version": 1}}, path)
    assert load_checkpoint(path).normalization == PLAIN
    torch.save(saved, path)
    with pytest.raises(InputError, match=r"metadata is damaged .*normalization"):
        load_checkpoint(path)


AMBIGUOUS = {"translation", "scale", "shear"}


@pytest.mark.parametrize("mode", STN_MODES)
def test_released_checkpoints_load(tmp_path: Path, mode: str) -> None:
    torch.save(released(mode), tmp_path / "released.pt")
    asked = mode if mode in AMBIGUOUS or mode == "rotation_translation" else None
    got = load_checkpoint(tmp_path / "released.pt", asked)
    assert got.stn_mode == mode
    assert got.spec == InputSpec(fit="stretch", resample="lanczos")
    assert build_encoder(got).stn1.mode is STN_MODES[mode]


def test_the_released_keys_are_those_of_the_public_code(content: Content) -> None:
    stn = set(content["STN"])
    assert {"conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "layer2.0.downsample.1.weight"} <= stn
    assert {"stn1.conv.0.weight", "stn1.conv.1.bias", "stn1.conv.4.weight", "stn3.fc.0.weight", "stn3.fc.2.bias"} <= stn
    assert not any(name.startswith(("layer4", "fc", "mean", "std")) for name in stn)
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    heads = ["conv1.weight", "conv2.weight", "conv3.weight"]
    assert set(content["ENC"]) == {*heads, *(f"bn{i}.{name}" for i in (1, 2, 3) for name in norm)}
    assert set(content["PRED"]) == {*heads[:2], *(f"bn1.{name}" for name in norm)}


def test_two_parameters_need_the_mode_named(tmp_path: Path) -> None:
    torch.save(released("shear"), tmp_path / "released.pt")
    with pytest.raises(InputError, match="--stn-mode, one of translation, scale, shear"):
        load_checkpoint(tmp_path / "released.pt")
    with pytest.raises(InputError, match="predicts 2 STN parameters; --stn-mode affine has another number"):
        load_checkpoint(tmp_path / "released.pt", "affine")


def test_another_mode_than_the_recorded_one_is_refused(tmp_path: Path, content: Content) -> None:
    save_checkpoint(tmp_path / "model.pt", checkpoint(content))
    with pytest.raises(InputError, match="trained with stn mode rotation_scale, not affine"):
        load_checkpoint(tmp_path / "model.pt", "affine")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, content: Content) -> Mapping[str, Any]:
    """What is in the file of a checkpoint."""
    path = tmp_path_factory.mktemp("saved") / "model.pt"
    save_checkpoint(path, checkpoint(content))
    found: Mapping[str, Any] = torch.load(path, weights_only=True)
    return found


def resave(path: Path, saved: Mapping[str, Any], **changes: Any) -> None:
    parts = {key: value for key, value in changes.items() if key in saved}
    facts = {key: value for key, value in changes.items() if key not in saved}
    torch.save({**saved, **parts, "regad": {**saved["regad"], **facts}}, path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 99}, "has checkpoint version 99; this regad reads up to 2"),
        ({"format": "other"}, "its metadata is not regad-checkpoint"),
        ({"stn_mode": "perspective"}, "its metadata is damaged"),
        ({"provenance": 3}, "its metadata is damaged"),
        ({"input": {"size": 224}}, "input specification is incomplete"),
        ({"normalization": None}, "its metadata is damaged"),
        ({"normalization": {"gains": [1, 1, 1]}}, "feature normalisation is incomplete"),
        ({"ENC": None}, "lacks ENC; expected the model.pt of regad-train"),
        ({"PRED": {}}, r"\(PRED\) lacks 6 of 6 tensors: conv1.weight"),
        ({"stn_mode": "affine"}, r"stn1\.fc\.2\.weight is \[3, 1024\]; expected \[6, 1024\]"),
    ],
)
def test_damaged_content(tmp_path: Path, saved: Mapping[str, Any], changes: dict[str, Any], said: str) -> None:
    resave(tmp_path / "model.pt", saved, **changes)
    with pytest.raises(InputError, match=said) as caught:
        load_checkpoint(tmp_path / "model.pt")
    assert "\n" not in str(caught.value)


def test_missing_and_unknown_tensors(tmp_path: Path, content: Content) -> None:
    stn = dict(content["STN"])
    del stn["stn2.fc.0.bias"]
    torch.save({**content, "STN": stn}, tmp_path / "less.pt")
    with pytest.raises(InputError, match=r"\(STN\) lacks 1 of 117 tensors: stn2\.fc\.0\.bias"):
        load_checkpoint(tmp_path / "less.pt")
    torch.save({**content, "STN": {**content["STN"], "layer4.0.conv1.weight": torch.zeros(1)}}, tmp_path / "more.pt")
    with pytest.raises(InputError, match=r"tensors this model lacks: layer4\.0\.conv1\.weight"):
        load_checkpoint(tmp_path / "more.pt")


def test_files_that_are_no_checkpoint(tmp_path: Path, content: Content) -> None:
    torch.save(content, tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "half.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "text.pt").write_text("hello")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save(content["STN"], tmp_path / "flat.pt")
    for name in ("half.pt", "empty.pt", "text.pt", "list.pt", "flat.pt", "absent.pt", "."):
        with pytest.raises(InputError, match=r"expected the model\.pt of regad-train") as caught:
            load_checkpoint(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, content: Content, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"before")

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(path, checkpoint(content))
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt"]
    assert path.read_bytes() == b"before"
