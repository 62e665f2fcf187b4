"""Whether teaching registers a part, on what that rests, and what it says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regad.calib.check import check_matches
from regad.calib.registering import LEAST_LEAD, LEAST_QUALITY, MARGIN, Chosen, choose, matches, structure_of
from regad.calib.teach import teach
from regad.calib.views import REGISTERED, STANDARD, registered_views
from regad.runtime.detector import Detector
from regad.runtime.errors import InputError
from regad.runtime.formats.category import registration_text
from regad.runtime.formats.features import Features
from regad.runtime.formats.registration import Tried
from regad.runtime.formats.scoring import SCORINGS
from regad.runtime.formats.spec import LEVELS, InputSpec
from regad.runtime.imaging.preprocess import preprocess

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))

from screw import UPRIGHT, ScrewPose, draw_screw, random_pose

SPEC = InputSpec()


def screw(seed: int, pose: ScrewPose = UPRIGHT) -> np.ndarray:
    return draw_screw(np.random.default_rng(seed), pose, size=300)[0]


def turned(seed: int) -> np.ndarray:
    return screw(seed, random_pose(np.random.default_rng(seed), 0.08))


def paper(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(150, 20, (300, 300, 1)).repeat(3, axis=2).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def detector(artifact_dir: Path) -> Iterator[Detector]:
    with Detector.load(artifact_dir, threads=1) as opened:
        yield opened


class NoBackend:
    """Fails the test if anything is encoded."""

    def features(self, images: Any) -> Any:
        raise AssertionError("it was encoded")


class Pixels:
    """An encoder whose features are the pixels themselves, in blocks: what moves in an image moves in them."""

    def features(self, images: Any) -> Features:
        levels = []
        for level in LEVELS:
            side = 224 // level.grid
            grey = images.mean(axis=3, dtype=np.float32).reshape(-1, level.grid, side, level.grid, side)
            blocks = grey.transpose(0, 1, 3, 2, 4).reshape(len(images), level.positions, side * side)
            levels.append(np.resize(blocks, (len(images), level.positions, level.channels)).copy())
        return Features(*levels, np.zeros((len(images), 3, 2, 3), np.float32))


def chosen(images: list[np.ndarray], backend: Any, asked: Any = "auto") -> Chosen:
    return choose(backend, images, [preprocess(image, SPEC) for image in images], SPEC, SCORINGS["edge"], asked)


def test_a_part_that_lies_anywhere_is_registered() -> None:
    made = chosen([turned(1), turned(2), turned(3)], Pixels())
    tried = made.tried
    assert made.registration is not None and made.views is REGISTERED and tried is not None
    assert tried.asked == "auto" and min(tried.qualities) > 0.9
    assert tried.registered is not None and tried.without is not None
    assert tried.registered < (1 - MARGIN) * tried.without
    assert len(tried.detours) == 2 and max(tried.detours) < 0.8
    low, high = made.registration.quality.taught
    assert (low, high) == (min(tried.qualities), max(tried.qualities))
    assert made.registration.quality.low == pytest.approx(0.65 * low)


def test_a_part_that_always_lies_alike_is_not() -> None:
    made = chosen([screw(1), screw(2), screw(3)], Pixels())
    assert made.registration is None and made.views is STANDARD and made.tried is not None
    assert made.tried.registered is not None and made.tried.without is not None


def test_what_was_decided_is_in_the_category_and_in_words(detector: Detector) -> None:
    category = detector.fit([turned(1), turned(2)], registration="on")
    assert category.registration is not None and category.tried is not None and category.tried.asked == "on"
    assert category.statistics[0].views == 2 * REGISTERED.number == 28
    assert registration_text(category).startswith("on (on): the photos match the first one at 0.9")
    results = detector.predict_batch([turned(seed) for seed in range(4, 9)])
    assert {result.reason for result in results} <= {"good", "anomalous"}
    plain = detector.fit([screw(1), screw(2)])
    assert plain.registration is None and plain.statistics[0].views == 2 * STANDARD.number
    assert registration_text(plain).startswith("off (auto): the photos match")
    assert "times as far from each other" in registration_text(plain)
    assert detector.predict(screw(4)).pose is None
    off = teach(detector.model, [screw(1), screw(2)], SPEC, registration="off", without=("rotations", "shifts"))
    assert registration_text(off) == ""


def test_a_ground_without_a_part_is_told_without_encoding() -> None:
    images = [paper(seed) for seed in range(3)]
    made = chosen(images, NoBackend())
    assert made.registration is None and made.views is STANDARD and made.tried is not None
    assert made.tried.without is None and max(made.tried.qualities) < LEAST_QUALITY


def test_a_round_part_has_no_angle_that_is_right() -> None:
    """A nut matches at six angles as well as at one."""
    y, x = np.mgrid[0:300, 0:300] - 150.0
    side = np.max([np.abs(np.cos(a) * x + np.sin(a) * y) for a in (0, np.pi / 3, 2 * np.pi / 3)], axis=0)
    part = np.where((side < 90) & (np.hypot(x, y) > 45), 90.0, 190.0)
    rng = np.random.default_rng(0)
    images = [(part[..., None] + rng.normal(0, 2, (300, 300, 3))).astype(np.uint8) for _ in range(3)]
    made = chosen(images, NoBackend())
    assert made.registration is None and made.tried is not None
    assert min(made.tried.qualities) > LEAST_QUALITY
    assert min(q - r for q, r in zip(made.tried.qualities, made.tried.rivals, strict=True)) < LEAST_LEAD


@pytest.mark.parametrize("asked", ["off", "auto"])
def test_a_single_photo_is_not_registered_unless_that_is_asked_for(asked: Any) -> None:
    assert chosen([screw(0)], NoBackend(), asked).tried is None
    with pytest.raises(InputError, match="1 support image; registration needs 2"):
        chosen([screw(0)], NoBackend(), "on")


def test_the_photo_that_matches_unlike_the_others_is_named() -> None:
    names = ["a.png", "b.png", "c.png", "d.png"]
    (line,) = check_matches(Tried("auto", (0.95, 0.31, 0.93), (0.8, 0.3, 0.8)), names)
    assert line.startswith("c.png does not match a.png as the other photos do (0.31, theirs 0.94)")
    assert check_matches(Tried("auto", (0.45, 0.1, 0.5), (0.4, 0.1, 0.4)), names) == []
    assert check_matches(Tried("auto", (0.95, 0.2), (0.8, 0.1)), names) == []
    (line,) = check_matches(Tried("on", (0.95, 0.2), (0.8, 0.1)), names)
    assert line.startswith(f"1 of 2 photos match {names[0]} at 0.2 to 0.2, below 0.7")
    assert check_matches(None, names) == []
    assert matches(0.8, 0.7) and not matches(0.8, 0.79) and not matches(0.6, 0.1)


def test_validation_images_are_registered_too(detector: Detector) -> None:
    support = [turned(1), turned(2)]
    further = [turned(11), turned(12), turned(13)]
    category = teach(detector.model, support, SPEC, validation=further, registration="on")
    detector.use(category)
    scores = [result.score for result in detector.predict_batch(further)]
    assert scores == pytest.approx(list(category.threshold.scores), rel=1e-4)
    with pytest.raises(InputError, match=r"in the validation image .* the part is misplaced"):
        teach(detector.model, support, SPEC, validation=[turned(11), paper(3)], registration="on")


def test_structure_is_where_the_part_is() -> None:
    structure = structure_of(preprocess(screw(0), SPEC))
    assert structure.sum() == pytest.approx(1, abs=1e-5) and structure[:10].sum() < 0.02
    assert (structure_of(np.full((224, 224, 3), 7, np.uint8)) == np.float32(1 / 3136)).all()


def test_the_views_of_a_registered_part_are_small_poses() -> None:
    image = preprocess(screw(0), SPEC)
    views = registered_views(image)
    assert views.shape == (REGISTERED.number, 224, 224, 3) and (views[0] == image).all()
    assert (views[13] == views[13][..., :1]).all(), "the last is grey"
    shifted = round(0.03 * 224)
    assert (
        np.abs(
            views[5, 40:180, 40:180].astype(int) - np.roll(image, (-shifted, -shifted), (0, 1))[40:180, 40:180]
        ).mean()
        < 3
    )
    assert REGISTERED.kept(("shifts", "flip")) == [0, 1, 2, 3, 4, 13]
