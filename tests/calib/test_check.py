"""What is said of odd support images, on drawn ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from regad.calib.check import check_pictures, check_scores, refuse
from regad.runtime.errors import InputError
from regad.runtime.formats.spec import InputSpec
from regad.runtime.imaging.preprocess import preprocess


def washer(seed: int, size: tuple[int, int] = (240, 240)) -> NDArray[np.uint8]:
    """A bright ring with brushed steel's stripes on a dark ground."""
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[:height, :width]
    radius = np.hypot(x - width / 2 + rng.normal(), y - height / 2 + rng.normal()) / min(size)
    ring = (radius > 0.15) & (radius < 0.4)
    stripes = 25 * np.sin(y * 1.3 + rng.uniform(0, 6))
    grey = np.where(ring, 160 + stripes, 60) + rng.normal(0, 2, size)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def blurred(image: NDArray[np.uint8], times: int) -> NDArray[np.uint8]:
    soft = image.astype(np.float32)
    for _ in range(times):
        soft = sum(np.roll(soft, shift, (0, 1)) for shift in ((0, 1), (0, -1), (1, 0), (-1, 0))) / 4
    return soft.astype(np.uint8)


def found(*images: NDArray[Any]) -> list[str]:
    inputs = [preprocess(image, InputSpec()) for image in images]
    return check_pictures(images, inputs, [f"{index}.png" for index in range(len(images))])


GOOD = [washer(seed) for seed in range(4)]


def test_ordinary_images_are_not_named() -> None:
    for count in (1, 2, 3, 4):
        assert found(*GOOD[:count]) == []


def test_a_blurred_image_is_named_with_the_remedy() -> None:
    (note,) = found(*GOOD[:3], blurred(GOOD[3], 20))
    assert note.startswith("3.png is less sharp than the other photos (sharpness 0.")
    assert note.endswith("set the focus, hold the camera and the part still, and take it again")
    (note,) = found(blurred(GOOD[0], 20), GOOD[1])
    assert note.startswith("0.png is less sharp")


@pytest.mark.parametrize(
    ("light", "word"), [(0.3, "darker than the other photos (brightness 0.3"), (0.2, "darker than the other photos")]
)
def test_a_dark_image_is_named_once_and_not_as_blurred(light: float, word: str) -> None:
    (note,) = found(*GOOD[:3], (GOOD[3] * light).astype(np.uint8))
    assert word in note
    assert "light of the line" in note


def test_an_image_taken_through_haze_is_named() -> None:
    (note,) = found(*GOOD[:3], (GOOD[3] * 0.2 + 80).astype(np.uint8))
    assert "3.png is flatter than the other photos (contrast 0.2" in note


def test_an_image_of_another_size_is_named_unless_all_differ() -> None:
    (note,) = found(*GOOD[:2], washer(2, (200, 300)))
    assert note.startswith("2.png is 300x200 pixels, most photos are 240x240")
    assert found(GOOD[0], washer(1, (236, 240)), washer(2, (240, 236))) == []


def test_near_copies_and_the_odd_one_out_are_named_by_their_held_out_scores() -> None:
    names = ["a.png", "b.png", "c.png", "d.png", "e.png"]
    assert check_scores([1.0, 1.2, 0.9, 1.1, 1.7], names) == []
    copy, twin, odd = check_scores([1.0, 0.05, 1.1, 0.05, 3.3], names)
    assert copy.startswith("b.png is nearly a copy of another photo (left out, it scores 0.048 of the others)")
    assert twin.startswith("d.png is nearly a copy")
    assert odd.startswith("e.png is unlike the other photos (left out, it scores 3.1 times the others)")
    assert check_scores([1.0, 0.05, 1.1, 0.05, 3.3], names, "max") == [copy, twin]
    assert check_scores([1.0, 5.0], names[:2]) == check_scores([], []) == []


def test_strict_refuses_what_is_named() -> None:
    refuse(["a.png is odd"], False)
    refuse([], True)
    with pytest.raises(InputError, match=r"--strict refuses the support images: a\.png is odd; b\.png is too"):
        refuse(["a.png is odd", "b.png is too"], True)
