"""A part's scoring on every backend: groups, calibration, statistic, against NumPy's on the same features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from regad.calib.gaussian import fit_statistics
from regad.runtime.backends.table import open_backend
from regad.runtime.errors import ArtifactError, CategoryError, InputError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.encodings import Encoding, StatisticsGroups
from regad.runtime.formats.features import Features
from regad.runtime.formats.scoring import SCORINGS, Calibration, Scoring
from regad.runtime.scoring.reference import Scorer

from ..doubles import write_engines

EDGE = SCORINGS["edge"]
CHOSEN = [Scoring("top", 63, damping=1.0), Scoring("top", 1), EDGE]


@pytest.fixture(scope="module")
def features(small_artifact: Path, images: np.ndarray) -> Features:
    return open_backend(Artifact.open(small_artifact), "cpu", 1).features(images)


def taught(
    features: Features, scoring: Scoring, encoding: Encoding = "gram"
) -> tuple[StatisticsGroups, Calibration | None]:
    calibration = None
    if scoring.damping is not None:
        scale = 0.5 + np.random.default_rng(2).random((scoring.grid, scoring.grid), dtype=np.float32)
        calibration = Calibration(scale, np.float32([3.0, 7.0][: len(scoring.groups)]))
    # The last group in another encoding than the first.
    encodings = ["gram"] * (len(scoring.groups) - 1) + [encoding]
    groups = zip(encodings, scoring.groups, strict=True)
    return tuple(fit_statistics(features, one, levels=levels) for one, levels in groups), calibration


@pytest.mark.parametrize(
    ("scoring", "encoding"), [*((scoring, "gram") for scoring in CHOSEN), (EDGE, "cholesky")], ids=str
)
@pytest.mark.parametrize("device", ["cpu", "cuda", "tensorrt"])
def test_every_backend_scores_as_the_reference(
    request: pytest.FixtureRequest,
    small_artifact: Path,
    images: np.ndarray,
    features: Features,
    scoring: Scoring,
    encoding: Encoding,
    device: str,
) -> None:
    if device != "cpu":
        request.getfixturevalue({"cuda": "ort", "tensorrt": "cuda"}[device])
    artifact = Artifact.open(small_artifact)
    if device == "tensorrt":
        write_engines(artifact)
    statistics, calibration = taught(features, scoring, encoding)
    backend = open_backend(artifact, device, 1)
    done = backend.infer(images[:2], backend.prepare(statistics, scoring, calibration))
    two = Features(*(level[:2] for level in features))
    wanted_maps, wanted_scores = Scorer(statistics, scoring, calibration).score(two)
    np.testing.assert_allclose(done.anomaly_map, wanted_maps, rtol=0, atol=1e-3 * wanted_maps.max())
    np.testing.assert_allclose(done.anomaly_score, wanted_scores, rtol=1e-3)


def test_a_scoring_that_does_not_fit_is_refused_before_anything_is_made_ready(
    small_artifact: Path, features: Features
) -> None:
    backend = open_backend(Artifact.open(small_artifact), "cpu")
    statistics, calibration = taught(features, EDGE)
    with pytest.raises(InputError, match=r"scoring is of f1\+f2\+f3, the statistics of f2 and f3"):
        backend.prepare(statistics)
    with pytest.raises(InputError, match="there is no calibration by held-out parts"):
        backend.prepare(statistics, EDGE)
    with pytest.raises(CategoryError, match="the statistics are of f3; expected"):
        backend.prepare(statistics[1], EDGE, calibration)


def test_an_artifact_without_a_graph_of_the_form_names_it(
    request: pytest.FixtureRequest, artifact_dir: Path, features: Features
) -> None:
    request.getfixturevalue("ort")
    statistics, calibration = taught(features, EDGE)
    with pytest.raises(ArtifactError, match="no scorer graph for gram_f2_gram_f3 statistics"):
        open_backend(Artifact.open(artifact_dir), "cuda").prepare(statistics, EDGE, calibration)
