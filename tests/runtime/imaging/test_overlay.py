"""Overlays: a colour scale fixed to the threshold, and every shape of image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from regad.runtime.detector import Result, Timings
from regad.runtime.formats.spec import InputSpec
from regad.runtime.imaging.overlay import error_panel, heatmap, render, scale_colours, scale_index


def blob(peak: float, base: float = 1.0, at: tuple[int, int] = (90, 140)) -> Any:
    """An anomaly map [224, 224] with one smooth peak."""
    y, x = np.mgrid[:224, :224]
    bump = np.exp(-((x - at[1]) ** 2 + (y - at[0]) ** 2) / (2 * 18**2))
    return (base + (peak - base) * bump).astype(np.float32)


def result(heat: Any, threshold: float = 5.0, spec: InputSpec | None = None) -> Result:
    score = float(heat.max())
    thetas = np.zeros((3, 2, 3), np.float32)
    return Result(score, threshold, score > threshold, heat, thetas, Timings(1, 2, 3, 6), spec or InputSpec())


def noise(height: int, width: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_the_scale_changes_sides_exactly_at_the_threshold() -> None:
    values = np.array([0, 2.499, 2.5, 5, np.nextafter(np.float32(5), np.float32(6)), 7.5, 10, 1000], np.float32)
    assert scale_index(values, 5.0).tolist() == [0, 63, 64, 127, 128, 192, 255, 255]
    colours, opacity = scale_colours()
    below, above = colours[127].astype(int), colours[128].astype(int)
    assert below[2] > below[0], "cool below the threshold"
    assert above[0] > above[2], "warm above it"
    assert (np.diff(opacity) >= 0).all()
    assert opacity[64] == 0


def test_a_map_well_below_the_threshold_leaves_the_image_untouched() -> None:
    image = noise(224, 224)
    assert (heatmap(image, blob(2.4), 5.0) == image).all()
    warm = heatmap(image, blob(4.9), 5.0).astype(int) - image
    assert 0 < np.abs(warm).mean() < 3


def test_colours_are_fixed_to_the_threshold_and_not_to_the_image() -> None:
    image, heat = np.full((224, 224, 3), 128, np.uint8), blob(8.0)
    strict, lenient = heatmap(image, heat, 5.0), heatmap(image, heat, 20.0)
    assert (strict != image).any()
    assert (lenient == image).all(), "the same map, far below another threshold, shows nothing"
    # One pixel's colour depends on its own score alone, whatever the rest of the map holds.
    other = heat.copy()
    other[:20, :20] = 100.0
    assert (heatmap(image, other, 5.0)[60:120, 100:180] == strict[60:120, 100:180]).all()
    assert strict[90, 140, 0] > strict[90, 140, 2], "the peak above the threshold is warm"


def test_a_contour_is_drawn_only_where_the_threshold_is_passed() -> None:
    image = np.full((224, 224, 3), 60, np.uint8)
    drawn = (heatmap(image, blob(8.0), 5.0) == 255).all(axis=2)
    assert drawn.any()
    ys, xs = np.nonzero(drawn)
    assert np.abs(blob(8.0)[ys, xs] - 5.0).max() < 0.4
    assert not (heatmap(image, blob(4.9), 5.0) == 255).all(axis=2).any()


def test_the_image_that_was_given_is_not_drawn_on() -> None:
    image = noise(300, 400)
    before = image.copy()
    heatmap(image, np.full((300, 400), 9.0, np.float32), 5.0)
    render(image, result(blob(8.0)))
    assert (image == before).all()


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (20, 30), (240, 320), (320, 240), (40, 2000), (900, 60), (1500, 2000)]
)
@pytest.mark.parametrize("fit", ["stretch", "letterbox", "crop"])
def test_every_shape_keeps_its_pixels_and_gets_a_banner(height: int, width: int, fit: Any) -> None:
    image = np.full((height, width, 3), 77, np.uint8)
    picture = render(image, result(blob(1.0), spec=InputSpec(fit=fit)), "title")
    assert picture.dtype == np.uint8
    factor = -(-256 // max(height, width)) if max(height, width) < 256 else 1
    assert picture.shape[1] == max(240, width * factor)
    assert 30 <= picture.shape[0] - height * factor <= 480
    left = (picture.shape[1] - width * factor) // 2
    body = picture[: height * factor, left : left + width * factor]
    centre = body[body.shape[0] // 2, body.shape[1] // 2]
    assert centre.tolist() == [77, 77, 77]


def test_grey_images_are_drawn_as_rgb() -> None:
    picture = render(np.full((300, 300), 50, np.uint8), result(blob(1.0)))
    assert picture[0, 0].tolist() == [50, 50, 50]


def test_what_was_not_looked_at_is_dimmed() -> None:
    image = np.full((300, 400, 3), 200, np.uint8)
    picture = render(image, result(blob(9.0), spec=InputSpec(roi=(100, 50, 200, 100))))
    assert picture[10, 10].tolist() == [70, 70, 70]
    assert picture[140, 110].tolist() == [200, 200, 200]
    hot = np.argwhere(picture[:300, :, 0].astype(int) - picture[:300, :, 2] > 30)
    assert len(hot)
    assert (hot.min(axis=0) >= (50, 100)).all()
    assert (hot.max(axis=0) < (150, 300)).all()


def test_banner_tells_the_verdict_by_colour() -> None:
    image = np.full((300, 400, 3), 100, np.uint8)
    good, bad = (render(image, result(blob(peak)))[304, 3].astype(int) for peak in (2.0, 9.0))
    assert good[1] > good[0] + 50
    assert bad[0] > bad[1] + 50


def test_a_frame_that_shows_no_part_keeps_its_pixels_and_its_banner_says_why() -> None:
    image = np.full((300, 400, 3), 3, np.uint8)
    scored = result(np.full((224, 224), np.inf, np.float32))
    refused = replace(scored, refusal="no_part", detail="brightness 3, taught with 88 to 140")
    picture, plain = render(image, refused, "title"), render(image, replace(refused, detail=""), "title")
    assert (picture[:300] == 3).all()
    assert picture[304, 3, 0] > picture[304, 3, 1] + 50, "red"
    assert picture.shape == render(image, result(blob(2.0))).shape, "as large as any other: a video keeps its size"
    rows = np.flatnonzero((picture != plain).any(axis=(1, 2)))
    assert len(rows)
    assert rows.min() > 300, "the detail stands in the banner"


def test_a_score_off_the_scale_and_a_huge_one_are_drawn() -> None:
    for peak in (50.0, 1e9):
        assert render(noise(300, 400), result(blob(peak))).shape[1] == 400


def test_error_panel_shows_a_message_of_any_length() -> None:
    small = error_panel("no frame from camera:0", (10, 10))
    long = error_panel("word " * 200, (480, 640))
    assert small.shape == (120, 320, 3)
    assert long.shape == (480, 640, 3)
    assert (small > 150).any()
