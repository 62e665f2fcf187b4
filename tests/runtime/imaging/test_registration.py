"""Registration of a part: true to known poses, the compiled form true to the plain one, every geometry of the input."""

from __future__ import annotations

import math
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regad.runtime import kernels
from regad.runtime.errors import InputError
from regad.runtime.formats.spec import Fit, InputSpec
from regad.runtime.imaging.plane import CELLS, SIDE, extent, grey_cells, sample_plane
from regad.runtime.imaging.preprocess import preprocess
from regad.runtime.imaging.registration import (
    Pose,
    Registered,
    Template,
    make_template,
    register,
    register_plainly,
    registered_map,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "demo"))

from screw import UPRIGHT, ScrewPose, draw_screw, random_pose

SIZE = 320
SPEC = InputSpec()
compiled_only = pytest.mark.skipif(not kernels.available(), reason="the compiled kernels were not built")


@cache
def screw(seed: int, pose: ScrewPose = UPRIGHT) -> np.ndarray:
    return draw_screw(np.random.default_rng(seed), pose, size=SIZE)[0]


def framed(image: np.ndarray, height: int, width: int, top: int = 0, left: int = 0) -> np.ndarray:
    """The picture in a larger frame of its own background."""
    frame = np.full((height, width, 3), np.median(image[0], axis=0), np.uint8)
    frame[top : top + len(image), left : left + image.shape[1]] = image
    return frame


def errors(found: Pose, truth: ScrewPose, template: Template) -> tuple[float, float, float]:
    """Degrees, input pixels at the part's centre, scale by which a pose misses; the template is the upright screw."""
    x, y = ((value - SIDE / 2) / CELLS for value in template.centre)
    turn = math.radians(truth.angle)
    to_x = truth.dx + truth.scale * (math.cos(turn) * x - math.sin(turn) * y) - x
    to_y = truth.dy + truth.scale * (math.sin(turn) * x + math.cos(turn) * y) - y
    angle = abs((found.angle - truth.angle + 180) % 360 - 180)
    return angle, math.hypot(found.dx - 224 * to_x, found.dy - 224 * to_y), abs(found.scale / truth.scale - 1)


def assert_alike(compiled: Registered, plain: Registered) -> None:
    assert abs((compiled.pose.angle - plain.pose.angle + 180) % 360 - 180) < 0.02
    assert math.hypot(compiled.pose.dx - plain.pose.dx, compiled.pose.dy - plain.pose.dy) < 0.02
    assert compiled.pose.scale == pytest.approx(plain.pose.scale, abs=1e-4)
    assert compiled.quality == pytest.approx(plain.quality, abs=1e-3)
    assert compiled.rival == pytest.approx(plain.rival, abs=1e-3)
    off = np.abs(compiled.image.astype(int) - plain.image)
    assert off.max() <= 4 and off.mean() < 0.05
    assert np.abs(compiled.seen - plain.seen).max() <= 0.25 and np.abs(compiled.seen - plain.seen).mean() < 1e-3


def test_the_template_is_found_in_its_own_frame() -> None:
    found = register(screw(0), SPEC, make_template(screw(0), SPEC))
    assert max(map(abs, found.pose[:3])) < 1e-3 and found.pose.scale == pytest.approx(1, abs=1e-5)
    assert found.quality == pytest.approx(1, abs=1e-6) and found.seen.min() == 1


@pytest.mark.parametrize("seed", range(12))
def test_other_parts_at_any_angle_shift_and_scale_are_found(seed: int) -> None:
    truth = random_pose(np.random.default_rng(seed), shift=0.1, scale=0.03)
    template = make_template(screw(100), SPEC)
    found = register(screw(seed, truth), SPEC, template)
    angle, shift, scale = errors(found.pose, truth, template)
    assert angle < 0.4 and shift < 2 and scale < 0.02
    assert found.quality > 0.9 > found.rival


def test_a_registered_part_looks_like_the_template() -> None:
    template = make_template(screw(100), SPEC)
    wanted = preprocess(screw(100), SPEC).astype(int)
    turned = screw(3, ScrewPose(75, 0.06, -0.04, 1.02))
    before = np.abs(preprocess(turned, SPEC) - wanted)[40:-40].mean()
    after = np.abs(register(turned, SPEC, template).image - wanted)[40:-40].mean()
    assert after < 0.5 * before


@compiled_only
@pytest.mark.parametrize("fit", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize(
    ("height", "width", "roi"),
    [(320, 320, None), (480, 640, None), (700, 330, None), (500, 900, (180, 60, 400, 380)), (1080, 1920, None)],
)
def test_the_compiled_form_finds_and_samples_what_the_plain_one_does(
    fit: Fit, height: int, width: int, roi: tuple[int, int, int, int] | None
) -> None:
    spec = InputSpec(fit=fit, roi=roi)
    top, left = (height - SIZE) // 2, (width - SIZE) // 2
    template = make_template(framed(screw(0), height, width, top, left), spec)
    for seed in (1, 2):
        part = screw(seed, random_pose(np.random.default_rng(seed), 0.05))
        frame = framed(part, height, width, top, left)
        assert_alike(register(frame, spec, template), register_plainly(frame, spec, template))


@compiled_only
def test_threads_change_nothing() -> None:
    template, part = make_template(screw(0), SPEC), screw(1, ScrewPose(130, 0.05, 0.02))
    first, second = register(part, SPEC, template, threads=1), register(part, SPEC, template, threads=3)
    assert first.pose == second.pose and first.quality == second.quality
    assert np.array_equal(first.image, second.image) and np.array_equal(first.seen, second.seen)


@pytest.mark.parametrize("find", [register, register_plainly])
def test_what_the_frame_does_not_show_is_said(find) -> None:  # type: ignore[no-untyped-def]
    template = make_template(screw(0), SPEC)
    found = find(screw(0, ScrewPose(dx=0.1)), SPEC, template)
    cells = round(0.1 * 56)
    assert found.pose.dx == pytest.approx(22.4, abs=1)
    assert found.seen[:, : 56 - cells - 1].min() == 1 and found.seen[:, 57 - cells :].max() == 0


@pytest.mark.parametrize("find", [register, register_plainly])
def test_pixels_beyond_the_region_of_interest_are_used(find) -> None:  # type: ignore[no-untyped-def]
    spec = InputSpec(roi=(100, 100, SIZE, SIZE))
    frames = [framed(screw(seed), 520, 520, 100 + y, 100 + x) for seed, x, y in ((0, 0, 0), (1, 30, -25))]
    found = find(frames[1], spec, make_template(frames[0], spec))
    assert found.seen.min() == 1
    assert (found.pose.dx, found.pose.dy) == pytest.approx((30 * 224 / SIZE, -25 * 224 / SIZE), abs=1)


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "crop"])
def test_a_map_is_laid_over_the_frame_where_the_part_is(fit: Fit) -> None:
    spec = InputSpec(fit=fit)
    template = make_template(framed(screw(0), 320, 640, 0, 160), spec)
    pose = Pose(30, 11.2, -5.6, 1.05)
    bump = np.zeros((224, 224), np.float32)
    bump[108:116, 108:116] = 1
    laid = registered_map(bump, spec, template, pose, (320, 640))
    step = (320 if fit == "crop" else 640) / CELLS
    a, b, tx, ty = pose.similarity
    x, y = SIDE / 2 - template.centre[0], SIDE / 2 - template.centre[1]
    wanted = (
        (template.centre[0] + tx + a * x - b * y - SIDE / 2) * step + 320,
        (template.centre[1] + ty + b * x + a * y - SIDE / 2) * step + 160,
    )
    rows, columns = np.mgrid[0:320, 0:640] + 0.5
    centroid = ((laid * columns).sum() / laid.sum(), (laid * rows).sum() / laid.sum())
    assert centroid == pytest.approx(wanted, abs=0.5)


def test_the_upright_map_of_a_whole_frame_is_the_frame() -> None:
    template = make_template(screw(0), SPEC)
    ramp = np.linspace(0, 1, 224, dtype=np.float32)[None].repeat(224, 0)
    laid = registered_map(ramp, SPEC, template, Pose(0, 0, 0, 1), (SIZE, SIZE))
    assert np.abs(laid - np.linspace(0, 1, SIZE)).max() < 0.01


@pytest.mark.parametrize("find", [register, register_plainly])
def test_another_part_or_none_fits_badly(find) -> None:  # type: ignore[no-untyped-def]
    template = make_template(screw(0), SPEC)
    fits = find(screw(1, ScrewPose(40)), SPEC, template).quality
    noise = np.random.default_rng(0).normal(196, 2, (SIZE, SIZE, 1)).repeat(3, axis=2).astype(np.uint8)
    y, x = np.mgrid[0:SIZE, 0:SIZE] - SIZE / 2
    ring = np.where((abs(np.hypot(x, y) - 80) < 20)[..., None], np.uint8(60), np.uint8(200)).repeat(3, axis=2)
    assert max(find(other, SPEC, template).quality for other in (noise, ring)) < fits - 0.3
    blank = find(np.full((SIZE, SIZE, 3), 128, np.uint8), SPEC, template)
    assert blank.quality == pytest.approx(0, abs=1e-6)


@settings(max_examples=40)
@given(
    size=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    fit=st.sampled_from(["stretch", "letterbox", "crop"]),
    data=st.data(),
)
def test_any_frame_and_region_of_interest_can_be_registered(
    size: tuple[int, int], fit: Fit, data: st.DataObject
) -> None:
    height, width = size
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    roi = (x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    spec = InputSpec(fit=fit, roi=data.draw(st.sampled_from([None, roi])))
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    frames = rng.integers(0, 256, (2, height, width, 3), np.uint8)
    found = register(frames[1], spec, make_template(frames[0], spec))
    assert -1 <= found.quality <= 1.001 and all(map(math.isfinite, (*found.pose, found.quality, found.rival)))
    assert found.seen.min() >= 0 and found.seen.max() <= 1


def test_a_plane_covers_the_region_and_the_margin_that_the_frame_has() -> None:
    image = np.random.default_rng(0).integers(0, 256, (400, 600, 3), np.uint8)
    plane = sample_plane(image, InputSpec(fit="letterbox", roi=(200, 100, 192, 96)))
    assert plane.density == 2 and plane.region == (0, 0, SIDE, SIDE)
    whole = sample_plane(image, InputSpec(fit="letterbox"))
    assert whole.region == (32, 64, 224, 192) and grey_cells(whole, (1, 0, 0)).shape == (SIDE, SIDE)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"grey": np.zeros((64, 64), np.float32)}, r"float32 \[64, 64\]"),
        ({"grey": np.full((256, 256), np.nan, np.float32)}, "not finite"),
        ({"centre": (math.inf, 0.0)}, "not finite"),
        ({"region": (10.0, 0.0, 5.0, 256.0)}, "contradicts"),
        ({"box": (0, 10)}, "contradicts"),
    ],
)
def test_a_template_that_makes_no_sense_is_refused(change: dict[str, object], says: str) -> None:
    good = make_template(screw(0), SPEC)
    values = {name: getattr(good, name) for name in ("grey", "weights", "region", "box", "centre")}
    with pytest.raises(InputError, match=says):
        Template(**{**values, **change})  # type: ignore[arg-type]


def test_the_longest_side_takes_192_cells() -> None:
    assert extent((640, 480)) == (192, 144)
    assert extent((480, 640)) == (144, 192)
    assert extent((1, 1)) == (192, 192)
