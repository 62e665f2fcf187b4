"""Graphs with their statistics inside: they compute what the runtime computes, and nothing is mixed up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from regad.runtime.errors import ArtifactError, CategoryError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.scoring.compiled import host_scorer
from regad.runtime.serve.triton import check
from regad.runtime.serve.triton.check import check_detector, check_graphs
from regad.runtime.serve.triton.golden import golden_category
from regad.runtime.serve.triton.graphs import bake, write_graphs

from .doubles import taught
from .test_repository import parsed


@pytest.fixture(scope="module")
def artifact(artifact_dir: Path) -> Artifact:
    return Artifact.open(artifact_dir)


def write(out: Path, artifact: Artifact, **categories: Any) -> tuple[str, list[str]]:
    said: list[str] = []
    encoder = write_graphs(out, "line", artifact, categories, max_batch=4, device="cpu", threads=1, say=said.append)
    return encoder, said


def test_a_baked_scorer_gives_the_runtimes_maps_and_scores(artifact: Artifact, tmp_path: Path) -> None:
    category, golden = golden_category(artifact), artifact.golden()
    model, statistics = bake(artifact, category)
    (tmp_path / "model.onnx").write_bytes(model)
    (tmp_path / "statistics.bin").write_bytes(statistics)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    features = {name: getattr(golden.features, name) for name in ("f1", "f2", "f3")}
    assert {value.name for value in session.get_inputs()} == set(features)
    maps, scores = session.run(["anomaly_map", "anomaly_score"], features)
    wanted_maps, wanted_scores = host_scorer(category.statistics).score(golden.features)
    np.testing.assert_allclose(maps, wanted_maps, rtol=0, atol=1e-4 * wanted_maps.max())
    np.testing.assert_allclose(scores, wanted_scores, rtol=1e-4)


def test_an_ensemble_names_its_encoder_and_scorer_by_their_content(artifact: Artifact, tmp_path: Path) -> None:
    encoder, _ = write(tmp_path, artifact, a=taught(1, artifact.hash), b=taught(2, artifact.hash))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 5
    config = parsed((tmp_path / "line_a" / "config.pbtxt").read_text())
    steps = [step.model_name for step in config.ensemble_scheduling.step]
    assert steps[0] == encoder
    assert steps[1].startswith("line_a_scorer_")
    assert {"line_a", "line_b", *steps} < set(names)
    assert config.parameters["threshold"].string_value == "10.0"
    assert config.parameters["category"].string_value == taught(1).hash
    scorer = parsed((tmp_path / steps[1] / "config.pbtxt").read_text())
    assert [(port.name, list(port.dims)) for port in scorer.input] == [
        ("f1", [3136, 64]),
        ("f2", [784, 128]),
        ("f3", [196, 256]),
    ]
    assert list(scorer.output[1].reshape.shape) == []
    assert scorer.output[1].HasField("reshape")


def test_a_category_that_is_taught_again_is_a_new_scorer_beside_the_old_one(artifact: Artifact, tmp_path: Path) -> None:
    write(tmp_path, artifact, a=taught(1, artifact.hash))
    before = {path.name for path in tmp_path.iterdir()}
    _, said = write(tmp_path, artifact, a=taught(1, artifact.hash))
    assert {path.name for path in tmp_path.iterdir()} == before
    assert not any("no longer used" in text for text in said)
    _, said = write(tmp_path, artifact, a=taught(2, artifact.hash))
    (new,) = {path.name for path in tmp_path.iterdir()} - before
    (old,) = (name for name in before if name.startswith("line_a_scorer_"))
    assert f"{tmp_path / old} is no longer used: unload and remove it once {new} serves" in said
    config = parsed((tmp_path / "line_a" / "config.pbtxt").read_text())
    assert config.ensemble_scheduling.step[1].model_name == new


def test_a_category_that_registers_its_part_is_refused(artifact: Artifact, tmp_path: Path) -> None:
    category = taught(1, artifact.hash)
    object.__setattr__(category, "registration", object())
    with pytest.raises(CategoryError, match="category a registers its part, which graphs cannot; use --kind detector"):
        write(tmp_path, artifact, a=category)
    assert list(tmp_path.iterdir()) == []


class FakeServer:
    """Answers as the artifact's golden sample says, times a factor for one tensor."""

    def __init__(self, artifact: Artifact, served: str = "", **wrong: float) -> None:
        golden = artifact.golden()
        self.values = {
            **golden.features._asdict(),
            "anomaly_map": golden.anomaly_map,
            "anomaly_score": golden.anomaly_score,
            "score": golden.anomaly_score.astype(np.float64),
            "category": np.array([served.encode()], np.object_),
        }
        for name, factor in wrong.items():
            self.values[name] = self.values[name] * factor

    def infer(self, model: str, images: Any, outputs: Any, parameters: Any = None) -> Any:
        return {name: self.values[name] for name in outputs}


@pytest.mark.parametrize("wrong", ["anomaly_map", "score"])
def test_the_check_notices_a_detector_that_is_off_by_half_a_percent(artifact: Artifact, wrong: str) -> None:
    category = SimpleNamespace(hash="0" * 16)
    checks = check_detector(FakeServer(artifact, category.hash), "regad", artifact, {"a": category})  # type: ignore[arg-type, dict-item]
    assert all(check.ok for check in checks)
    with pytest.raises(ArtifactError, match=r"regad fails the check: anomaly_.* is off by 5.0e-03, allowed 1e-03"):
        check_detector(FakeServer(artifact, **{wrong: 1.005}), "regad", artifact, {})  # type: ignore[arg-type]


def test_the_check_of_a_detector_in_bf16_allows_what_bf16_loses(artifact: Artifact) -> None:
    server = FakeServer(artifact, anomaly_map=1.005, score=1.005)
    assert all(check.ok for check in check_detector(server, "regad", artifact, {}, "bf16"))  # type: ignore[arg-type]
    with pytest.raises(ArtifactError, match=r"regad fails the check: anomaly_.* is off by 5.0e-01"):
        check_detector(FakeServer(artifact, score=1.5), "regad", artifact, {}, "bf16")  # type: ignore[arg-type]


def test_the_check_notices_a_category_that_is_not_the_one_given(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "_PATIENCE_S", 0.0)
    with pytest.raises(ArtifactError, match=r"judges a by category old, expected new"):
        check_detector(FakeServer(artifact, "old"), "regad", artifact, {"a": SimpleNamespace(hash="new")})  # type: ignore[arg-type, dict-item]


@pytest.mark.parametrize("wrong", ["f1", "f3", "theta", "anomaly_map", "anomaly_score"])
def test_the_check_notices_graphs_that_compute_in_tf32(artifact: Artifact, wrong: str) -> None:
    ensembles = {"line_a": golden_category(artifact)}
    assert len(check_graphs(FakeServer(artifact), "encoder", ensembles, artifact)) == 6  # type: ignore[arg-type]
    with pytest.raises(ArtifactError, match=r"fails the check: .* NVIDIA_TF32_OVERRIDE=0"):
        check_graphs(FakeServer(artifact, **{wrong: 1.01}), "encoder", ensembles, artifact)  # type: ignore[arg-type]
