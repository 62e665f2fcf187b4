"""The main job on real images: ImageNet weights, k good photos, verdicts; and the encodings on real features."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from regad.calib.gaussian import dense_reference, fit_statistics
from regad.calib.support import draw_support, list_images, read_good_images
from regad.calib.teach import encode_views, teach
from regad.runtime import Detector
from regad.runtime.commands.run import command
from regad.runtime.formats.scoring import SCORINGS
from regad.runtime.imaging.preprocess import preprocess
from regad.runtime.imaging.reading import read_image
from regad.runtime.scoring.reference import distances_of

from .strips import fit_only

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))

from screw import draw_screw, random_pose

pytestmark = pytest.mark.data
POSITIONS = np.concatenate([np.arange(row * 224, (row + 1) * 224, 20) for row in (3, 9)])
"""Twelve in each of two rows of coarse cells, which alone are fitted."""


@pytest.fixture(scope="module")
def detector(imagenet_artifact: Path) -> Iterator[Detector]:
    with Detector.load(imagenet_artifact, threads=1) as opened:
        yield opened


@pytest.mark.parametrize(("category", "shot"), [("cookies", 2), ("magnetic_tile", 1), ("solar_poly", 1)])
def test_encodings_equal_the_dense_inverse_on_real_images(
    detector: Detector, data_dir: Path, category: str, shot: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative error of every distance at most 1e-5, for good and defective images."""
    folder = data_dir / "parts" / category
    tests = [sorted(kind.iterdir())[0] for kind in sorted((folder / "test").iterdir())]
    photos = read_good_images(draw_support(list_images(folder / "train" / "good"), shot, 0))
    inputs = [preprocess(image, detector.spec) for image in photos.images]
    support = encode_views(detector.backend, inputs)
    query = detector.backend.features(np.stack([preprocess(read_image(path), detector.spec) for path in tests]))
    fit_only(monkeypatch, POSITIONS)
    want = dense_reference(support, query, POSITIONS)
    for encoding in ("gram", "hybrid", "cholesky"):
        got = distances_of(fit_statistics(support, encoding), query).reshape(len(tests), -1)[:, POSITIONS]
        assert np.abs(got / want - 1).max() < 1e-5, encoding


def test_the_main_job(imagenet_artifact: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`regad-run --source FOLDER --support FOLDER` tells the broken cookies from the good ones."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder, scores, labels = data_dir / "parts" / "cookies", [], []
    for kind in ("good", "defect"):
        log = tmp_path / f"{kind}.jsonl"
        words = ["--model", imagenet_artifact, "--support", folder / "train" / "good", "--shot", 3, "--device", "cpu"]
        words += ["--source", folder / "test" / kind, "--json", log, "--overlay", tmp_path / kind]
        words += ["--no-display", "--threads", 1]
        assert command.main([str(word) for word in words], standalone_mode=False) == 0
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert len(lines) == len(list((folder / "test" / kind).iterdir())) == len(list((tmp_path / kind).iterdir()))
        scores += [line["score"] for line in lines]
        labels += [kind != "good"] * len(lines)
        if kind == "good":
            assert sum(line["anomalous"] for line in lines) <= 1
    assert roc_auc_score(labels, scores) > 0.97


def test_screws_that_lie_anywhere_are_registered_of_themselves_and_judged(detector: Detector) -> None:
    """Defects score higher than good parts at any angle; without registration they do not."""

    def screws(first: int, defect: str | None = None, count: int = 6) -> list[np.ndarray]:
        drawn = (np.random.default_rng(seed) for seed in range(first, first + count))
        return [draw_screw(rng, random_pose(rng, 0.06, 0.01), defect, size=300)[0] for rng in drawn]

    taught, good, bad = screws(80, count=4), screws(100), screws(200, "head")
    labels, areas = [False] * 6 + [True] * 6, {}
    for asked in ("auto", "off"):
        category = teach(
            detector.model,
            taught,
            detector.spec,
            registration=asked,
            scoring=SCORINGS["edge"],  # type: ignore[arg-type]
        )
        detector.use(category)
        assert (category.registration is not None) == (asked == "auto")
        results = detector.predict_batch([*good, *bad])
        areas[asked] = roc_auc_score(labels, [result.score for result in results])
    assert areas["auto"] > 0.9 > 0.7 > areas["off"]
