"""Whether poses agree: those of a part that lies anywhere do, those of a round part that match by chance do not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from regad.calib import detours as module
from regad.calib.detours import FARTHEST, FARTHEST_BACK, agree, detours
from regad.calib.registering import choose, matches
from regad.runtime.formats.scoring import SCORINGS
from regad.runtime.formats.spec import InputSpec
from regad.runtime.imaging.preprocess import preprocess
from regad.runtime.imaging.registration import make_template, register

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))

from screw import draw_screw, random_pose

SPEC = InputSpec()
SIDE = 300
Image = np.ndarray


def screw(seed: int) -> Image:
    return draw_screw(np.random.default_rng(seed), random_pose(np.random.default_rng(seed), 0.08), size=SIDE)[0]


def noisy(drawn: Image, seed: int) -> Image:
    noise = np.random.default_rng(seed).normal(0, 2, drawn.shape)
    return (drawn + noise).clip(0, 255).astype(np.uint8)


def toy(seed: int) -> Image:
    """A face with two eyes, an antenna and a mouth, turned by any angle and shifted."""
    rng = np.random.default_rng(seed)
    drawn = np.full((SIDE, SIDE, 3), 200.0)
    cv2.ellipse(drawn, (150, 150), (62, 80), 0, 0, 360, (70, 150, 60), -1, cv2.LINE_AA)
    for x in (125, 175):
        cv2.ellipse(drawn, (x, 130), (14, 22), 0, 0, 360, (20, 20, 20), -1, cv2.LINE_AA)
    cv2.ellipse(drawn, (150, 185), (25, 10), 0, 0, 180, (160, 40, 40), 4, cv2.LINE_AA)
    cv2.line(drawn, (165, 75), (185, 40), (60, 90, 150), 7, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), rng.uniform(-180, 180), 1)
    turn[:, 2] += rng.uniform(-25, 25, 2)
    return noisy(cv2.warpAffine(drawn, turn, (SIDE, SIDE), borderValue=(200, 200, 200)), seed)


def casting(seed: int, bars: dict[int, float]) -> Image:
    """A round part: a disc with a bore, and at each radius of ``bars`` a bar at that angle, degrees."""
    drawn = np.full((SIDE, SIDE, 3), 190.0)
    for radius, grey in ((115, 70), (28, 150)):
        cv2.circle(drawn, (150, 150), radius, (grey,) * 3, -1, cv2.LINE_AA)
    for radius, angle in bars.items():
        turn = np.radians(angle)
        middle = (150 + radius * np.cos(turn), 150 + radius * np.sin(turn))
        cv2.ellipse(drawn, (middle, (34, 14), angle), (215,) * 3, -1, cv2.LINE_AA)
    return noisy(drawn, seed)


def by_chance() -> list[Image]:
    """Round parts of which each pair has one bar in common, by which it is laid on each other.

    The second lies at 40 degrees on the first, the third at -20 on the first but at 50 on the second.
    """
    bars = ({70: 350.0, 95: 80.0}, {70: 30.0, 45: 240.0}, {95: 60.0, 45: 290.0})
    return [casting(seed, one) for seed, one in enumerate(bars)]


class NoBackend:
    """Fails the test if anything is encoded."""

    def features(self, images: Any) -> Any:
        raise AssertionError("it was encoded")


def measured(images: list[Image]) -> tuple[float, ...]:
    template = make_template(images[0], SPEC)
    return detours(images, SPEC, template, [register(image, SPEC, template).pose for image in images[1:]])


@pytest.mark.parametrize("part", [screw, toy])
@pytest.mark.parametrize("number", [2, 3, 5])
def test_poses_of_a_part_that_lies_anywhere_agree(part: Any, number: int) -> None:
    found = measured([part(seed) for seed in range(number)])
    assert len(found) == number - 1 and max(found) < 0.8
    assert agree(found)


def test_round_parts_that_match_by_chance_do_not_agree() -> None:
    images = by_chance()
    template = make_template(images[0], SPEC)
    laid = [register(image, SPEC, template) for image in images[1:]]
    assert all(matches(one.quality, one.rival) for one in laid)
    assert [one.pose.angle for one in laid] == pytest.approx([40, -20], abs=0.5)
    found = measured(images)
    assert min(found) > 50 and not agree(found)


def test_round_parts_that_match_by_chance_are_not_registered_and_not_encoded() -> None:
    images = by_chance()
    inputs = [preprocess(image, SPEC) for image in images]
    made = choose(NoBackend(), images, inputs, SPEC, SCORINGS["edge"], "auto")  # type: ignore[arg-type]
    assert made.registration is None and made.tried is not None and made.tried.without is None
    assert made.tried.detours == pytest.approx(measured(images), abs=1e-6)


def test_a_single_photo_of_another_part_is_told_from_the_others() -> None:
    """Each photo is reached by way of several others, and most of them are right."""
    images = [*(screw(seed) for seed in range(5)), toy(0)]
    *others, odd = measured(images)
    assert max(others) < 1 and odd > 2 * FARTHEST


def test_two_photos_may_differ_less_than_three() -> None:
    assert agree((0.9 * FARTHEST_BACK,)) and not agree((1.1 * FARTHEST_BACK,))
    assert agree((0.1, 0.9 * FARTHEST)) and not agree((0.1, 1.1 * FARTHEST))


@pytest.mark.parametrize(("number", "searches"), [(2, 1), (3, 2), (4, 6), (8, 21), (12, 33)])
def test_the_cost_grows_with_the_number_of_photos(number: int, searches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image = screw(0)
    template = make_template(image, SPEC)
    pose, asked = register(image, SPEC, template), []
    monkeypatch.setattr(module, "register", lambda *given: (asked.append(given), pose)[1])
    assert max(detours([image] * number, SPEC, template, [pose.pose] * (number - 1))) < 0.1
    assert len(asked) == searches
