"""A registered part from photo to verdict: wherever it lies, in the camera's frame, and what is told of it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from regad.calib.prepared import teach_prepared
from regad.calib.teach import teach
from regad.runtime.detector import Detector
from regad.runtime.errors import CategoryError
from regad.runtime.formats.spec import InputSpec
from regad.runtime.imaging.arrival import Prepared
from regad.runtime.imaging.overlay import render
from regad.runtime.imaging.plane import CELLS, SIDE
from regad.runtime.imaging.presence import measure
from regad.runtime.imaging.registration import lay_on_input, place_on_input
from regad.runtime.line.jsonlines import record
from regad.runtime.line.verdict import Verdict
from regad.runtime.result import Result
from regad.runtime.sources.frame import Frame

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))

from screw import UPRIGHT, ScrewPose, draw_screw, random_pose

PHOTO = 320


def screw(seed: int, pose: ScrewPose = UPRIGHT, defect: str | None = None) -> np.ndarray:
    return draw_screw(np.random.default_rng(seed), pose, defect, size=PHOTO)[0]


def posed(seed: int) -> np.ndarray:
    return screw(seed, random_pose(np.random.default_rng(seed), 0.06))


@pytest.fixture(scope="module")
def detector(small_artifact: Path) -> Iterator[Detector]:
    """Taught from an upright screw and another, so that poses are those of the drawing."""
    with Detector.load(small_artifact, threads=1) as opened:
        opened.fit([screw(0), posed(1)], registration="on")
        yield opened


@pytest.mark.parametrize("seed", range(20, 28))
def test_the_pose_is_that_of_the_drawing(detector: Detector, seed: int) -> None:
    truth = random_pose(np.random.default_rng(seed), 0.08, 0.02)
    result = detector.predict(screw(seed, truth))
    assert result.pose is not None and result.reason in ("good", "anomalous")
    assert abs((result.pose.angle - truth.angle + 180) % 360 - 180) < 0.5
    assert result.pose.scale == pytest.approx(truth.scale, abs=0.01)
    assert result.located is not None and result.located.quality > 0.9


@pytest.mark.parametrize("frame", ["good", "turned", "another", "empty"])
def test_a_frame_made_ready_is_judged_as_the_frame_itself_in_every_bit(detector: Detector, frame: str) -> None:
    image = {
        **{"good": screw(30), "turned": posed(31), "another": np.flipud(screw(3))[:, :80].repeat(4, axis=1)},
        "empty": screw(30) * 0,
    }[frame]
    first, prepared = detector.predict(image), detector.prepare(image)
    (again,) = detector.predict_prepared([prepared])
    assert (again.score, again.reason, again.detail, again.located) == (
        *(first.score, first.reason, first.detail),
        first.located,
    )
    assert again.anomaly_map.tobytes() == first.anomaly_map.tobytes()
    assert prepared.located is not None and prepared.share is not None
    assert {"good": 0, "turned": 0, "another": 1, "empty": 1}[frame] == (first.refusal is not None)


def test_a_part_taught_again_from_frames_made_ready_keeps_its_template(detector: Detector) -> None:
    taught = detector.category
    assert taught is not None
    frames = [detector.prepare(image) for image in (screw(0), posed(1))]
    again = teach_prepared(detector.model, frames, taught.spec, registration=taught.registration, tried=taught.tried)
    assert (again.data_sha256, again.preparation) == (taught.data_sha256, taught.preparation)
    assert again.limits == taught.limits and again.threshold == taught.threshold
    assert again.registration is not None and taught.registration is not None
    assert again.registration.shown == taught.registration.shown
    assert again.registration.quality.low == taught.registration.quality.low


def test_a_frame_made_ready_otherwise_is_refused(detector: Detector) -> None:
    plain = Prepared(detector.prepare(screw(1)).image, measure(detector.prepare(screw(1)).image))
    with pytest.raises(CategoryError, match="was prepared without registration, and the loaded category registers"):
        detector.predict_prepared([plain])


def test_a_place_of_the_registered_input_is_found_in_the_frame_s_own(detector: Detector) -> None:
    """Where `lay_on_input` brings a bump, and `place_on_input` says the same."""
    image = screw(9, ScrewPose(40, 0.05, -0.04))
    result = detector.predict(image)
    assert result.located is not None
    bump = np.zeros((224, 224), np.float32)
    bump[130, 90] = 1.0
    laid = lay_on_input(bump, result.spec, result.located, image.shape[:2])
    y, x = np.unravel_index(int(np.argmax(laid)), laid.shape)
    place = place_on_input((90.5, 130.5), result.spec, result.located, image.shape[:2])
    assert place == pytest.approx((x + 0.5, y + 0.5), abs=1.0)


def test_the_map_lies_over_the_part_in_the_camera_frame(detector: Detector) -> None:
    """A bump in the middle of the map comes to lie where the drawing says that the template's middle is."""
    truth = ScrewPose(70, 0.05, -0.04)
    found = detector.predict(screw(9, truth))
    assert found.located is not None
    heat = np.zeros((224, 224), np.float32)
    heat[104:120, 104:120] = 1
    bump = Result(1, 2, False, heat, found.thetas, found.timings, found.spec, located=found.located)
    laid = bump.map_over((PHOTO, PHOTO))
    rows, columns = np.mgrid[0:PHOTO, 0:PHOTO] + 0.5
    seen = ((laid * columns).sum() / laid.sum() / PHOTO - 0.5, (laid * rows).sum() / laid.sum() / PHOTO - 0.5)
    assert seen == pytest.approx((truth.dx, truth.dy), abs=0.012)
    assert bump.map_over((PHOTO // 2, PHOTO // 2)).sum() == pytest.approx(laid.sum() / 4, rel=0.02)


def test_another_part_is_misplaced_and_an_empty_frame_shows_no_part(detector: Detector) -> None:
    y, x = np.mgrid[0:PHOTO, 0:PHOTO] - PHOTO / 2
    ring = np.where((abs(np.hypot(x, y) - 80) < 20)[..., None], np.uint8(60), np.uint8(200)).repeat(3, axis=2)
    other, empty, part = detector.predict_batch([ring, np.full((PHOTO, PHOTO, 3), 190, np.uint8), posed(30)])
    assert (other.reason, other.anomalous, other.score) == ("misplaced", True, math.inf)
    assert "match" in other.detail and "taught with" in other.detail and other.pose is not None
    assert (empty.reason, empty.pose) == ("no_part", None)
    assert part.reason in ("good", "anomalous") and math.isfinite(part.score)
    assert np.isinf(other.map_over((PHOTO, PHOTO))).all()


def test_the_record_tells_the_pose(detector: Detector) -> None:
    frame = Frame("shots/x.jpg", 7, 1700000000.0, posed(31), name="x.jpg")
    result = detector.predict(posed(31))
    line = json.loads(json.dumps(record(Verdict(frame, result), "a", "c", "cpu", "f32"), allow_nan=False))
    assert result.pose is not None and result.located is not None
    assert line["pose"] == {
        **{name: round(value, 4) for name, value in result.pose._asdict().items()},
        "quality": round(result.located.quality, 4),
    }


def test_the_overlay_dims_what_was_not_looked_at_where_the_part_lies(detector: Detector) -> None:
    """The region of interest moves and turns with the part, beyond its own borders too."""
    spec = InputSpec(roi=(100, 90, PHOTO, PHOTO))

    def framed(part: np.ndarray, top: int, left: int) -> np.ndarray:
        whole = np.full((520, 540, 3), np.median(part[0], axis=0), np.uint8)
        whole[top : top + PHOTO, left : left + PHOTO] = part
        return whole

    photos = [framed(screw(0), 90, 100), framed(screw(1), 70, 130), framed(screw(2, ScrewPose(20)), 90, 100)]
    own = Detector(detector.model)
    own.use(teach(detector.model, photos, spec, registration="on", without={"rotations", "shifts"}))
    frame = framed(screw(5), 120, 60)
    result = own.predict(frame)
    assert result.pose is not None
    assert (result.pose.dx, result.pose.dy) == pytest.approx((-40 * 224 / PHOTO, 30 * 224 / PHOTO), abs=1)
    picture = render(frame, result)
    dimmed = picture[:520].mean(axis=2) < 0.6 * frame.mean(axis=2)
    judged = np.zeros((520, 540), bool)
    judged[120 : 120 + PHOTO, 60 : 60 + PHOTO] = True
    assert (dimmed == ~judged)[:, :520].mean() > 0.97
    assert CELLS < SIDE, "the plane reaches beyond the region of interest"
