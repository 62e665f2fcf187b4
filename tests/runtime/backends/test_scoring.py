"""A part's scoring on every backend: levels, scale and statistic, against the NumPy reference on the same features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from regad.calib.gaussian import fit_statistics
from regad.export.writer import scorer_model
from regad.runtime.backends.table import open_backend
from regad.runtime.errors import ArtifactError, InputError
from regad.runtime.formats.artifact import Artifact, write_artifact
from regad.runtime.formats.encodings import Statistics, forms_of
from regad.runtime.formats.features import Features
from regad.runtime.formats.scoring import Calibration, Scoring
from regad.runtime.scoring.reference import Scorer

from ..doubles import write_engines

SCORINGS = [
    Scoring("top", 63, calibration=Calibration(), map="calibrated", map_gain=0.5),
    Scoring("top", 16, ("f2", "f3"), Calibration()),
    Scoring(levels=("f3",)),
    Scoring("top", 4, ("f3",)),
]


@pytest.fixture(scope="module")
def features(artifact_dir: Path, images: np.ndarray) -> Features:
    return open_backend(Artifact.open(artifact_dir), "cpu", 2).features(images)


@pytest.fixture(scope="module")
def folder(artifact_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared artifact with a graph for every form, and engines of them all."""
    artifact = Artifact.open(artifact_dir)
    files = {name: (artifact.path / name).read_bytes() for name in artifact.manifest["files"]}
    names = dict(artifact.manifest["scorers"])
    for scoring in SCORINGS:
        for form in forms_of(scoring.levels):
            name = names.setdefault(form.name, f"scorer_{form.name}.onnx")
            if name not in files:
                files[name] = scorer_model(form).SerializeToString()
    path = tmp_path_factory.mktemp("forms") / "model.regad"
    write_artifact(path, {**artifact.manifest, "scorers": names, "scoring": SCORINGS[1].to_json()}, files)
    return path


def taught(features: Features, scoring: Scoring) -> tuple[Statistics, np.ndarray | None]:
    scale = None
    if scoring.calibration is not None:
        scale = 0.5 + np.random.default_rng(2).random((scoring.grid, scoring.grid), dtype=np.float32)
    return fit_statistics(features, "gram", levels=scoring.levels), scale


@pytest.mark.parametrize("scoring", SCORINGS, ids=str)
@pytest.mark.parametrize("device", ["cpu", "cuda", "tensorrt"])
def test_every_backend_scores_as_the_reference(
    request: pytest.FixtureRequest,
    folder: Path,
    images: np.ndarray,
    features: Features,
    scoring: Scoring,
    device: str,
) -> None:
    if device != "cpu":
        request.getfixturevalue({"cuda": "ort", "tensorrt": "cuda"}[device])
    artifact = Artifact.open(folder)
    if device == "tensorrt":
        write_engines(artifact)
    statistics, scale = taught(features, scoring)
    backend = open_backend(artifact, device)
    done = backend.infer(images, backend.prepare(statistics, scoring, scale))
    wanted_maps, wanted_scores = Scorer(statistics, scoring, scale).score(features)
    np.testing.assert_allclose(done.anomaly_map, wanted_maps, rtol=0, atol=1e-3 * wanted_maps.max())
    np.testing.assert_allclose(done.anomaly_score, wanted_scores, rtol=1e-3)


def test_a_scoring_that_does_not_fit_is_refused_before_anything_is_made_ready(folder: Path, features: Features) -> None:
    backend = open_backend(Artifact.open(folder), "cpu")
    statistics, scale = taught(features, SCORINGS[1])
    with pytest.raises(InputError, match="scoring is of f3, the statistics of f2"):
        backend.prepare(statistics, SCORINGS[3])
    with pytest.raises(InputError, match="not calibrated"):
        backend.prepare(statistics, Scoring(levels=("f2", "f3")), scale)


def test_an_artifact_without_a_graph_of_the_form_names_it(
    request: pytest.FixtureRequest, artifact_dir: Path, features: Features
) -> None:
    request.getfixturevalue("ort")
    statistics, _ = taught(features, SCORINGS[2])
    with pytest.raises(ArtifactError, match="no scorer graph for gram_f3 statistics"):
        open_backend(Artifact.open(artifact_dir), "cuda").prepare(statistics)
