"""Teaching by a model: the region, the scoring, and what is refused before anything is encoded."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regad.calib import folder as from_folder
from regad.calib import teach as teaching
from regad.calib.folder import teach_folder
from regad.calib.teach import teach
from regad.runtime.detector import Detector
from regad.runtime.errors import InputError
from regad.runtime.formats.category import save_category
from regad.runtime.formats.encodings import levels_of
from regad.runtime.formats.scoring import SCORINGS
from regad.runtime.formats.spec import EDGE_GROUPS, InputSpec
from regad.runtime.imaging.preprocess import preprocess
from regad.runtime.model import Model
from regad.runtime.scoring.reference import Scorer

from .run_doubles import ARTIFACT, FakeBackend, Noise, category

GREY = np.full((30, 40, 3), 90, np.uint8)


def test_a_part_is_taught_with_the_given_region_never_with_that_of_the_part_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (teaching, from_folder):
        monkeypatch.setattr(module, "teach", lambda model, images, spec, **options: category(spec=spec))
    for number in range(2):
        Image.new("L", (40, 30), 80 + number).save(tmp_path / f"{number}.png")
    whole, region = InputSpec(), InputSpec(roi=(1, 2, 20, 10))
    detector = Detector(Model(ARTIFACT, FakeBackend()))
    before = category(spec=InputSpec(roi=(0, 0, 9, 9)))
    images = [GREY, GREY + 1]
    for taught, wanted in (
        (lambda: detector.fit(images), whole),
        (lambda: teach_folder(detector, tmp_path), whole),
        (lambda: detector.fit(images, spec=region), region),
        (lambda: teach_folder(detector, tmp_path, spec=region), region),
    ):
        detector.use(before)
        assert detector.spec == before.spec
        assert taught().spec == detector.spec == wanted
        assert detector.teaching_spec == whole
    mine = Detector(detector.model, region)
    assert mine.fit(images).spec == teach_folder(mine, tmp_path).spec == region


def test_a_part_is_taught_and_judged_as_its_scoring_says(tmp_path: Path) -> None:
    """From teaching through the file to the verdict: groups, the calibration, and 1 for a held-out good part."""
    scoring = SCORINGS["edge"]
    backend, images = Noise(), [GREY + shade for shade in range(3)]
    model = Model(dataclasses.replace(ARTIFACT, hash="ab" * 32, manifest={"scoring": scoring.to_json()}), backend)
    taught = teach(model, images, InputSpec())
    assert (taught.scoring, levels_of(taught.statistics)) == (scoring, EDGE_GROUPS)
    assert taught.calibration is not None
    assert np.exp(np.log(taught.threshold.scores).mean()) == pytest.approx(1, rel=1e-5)
    save_category(taught, tmp_path / "part.safetensors")
    detector = Detector(model)
    detector.load_category(tmp_path / "part.safetensors")
    frame = GREY + 9
    result = detector.predict(frame)
    features = backend.features(preprocess(frame, InputSpec())[None])
    maps, scores = Scorer(taught.statistics, scoring, taught.calibration).score(features)
    assert result.score == pytest.approx(scores[0], rel=1e-5)
    np.testing.assert_allclose(result.anomaly_map, maps[0], rtol=0, atol=1e-5 * maps.max())


def test_a_single_image_cannot_be_scored_in_units_of_held_out_parts() -> None:
    model = Model(ARTIFACT, Noise())  # type: ignore[arg-type]
    assert teach(model, [GREY], InputSpec(), threshold=5.0).calibration is None
    with pytest.raises(InputError, match=r"needs 2: add photos .* or export the model again with --scoring regad"):
        teach(model, [GREY], InputSpec(), threshold=5.0, scoring=SCORINGS["edge"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target_frr": 0.7}, "target false-reject rate is 0.7; expected"),
        ({"target_frr": 0.0}, "target false-reject rate is 0.0; expected"),
        ({"threshold": -1.0}, "threshold is -1.0; expected a finite value above 0"),
        ({"threshold": float("nan")}, "threshold is nan; expected"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_encoded(options: dict[str, float], said: str) -> None:
    backend = Noise()
    with pytest.raises(InputError, match=said):
        teach(Model(ARTIFACT, backend), [GREY, GREY + 1], InputSpec(), **options)  # type: ignore[arg-type]
    assert backend.encoded == 0
