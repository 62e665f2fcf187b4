"""The scale that teaching makes from held-out distances."""

from __future__ import annotations

import numpy as np
import pytest

from regad.calib.calibration import calibrate, gaussian_smooth, relative_scale
from regad.runtime.errors import InputError
from regad.runtime.formats.scoring import Calibration, Scoring
from regad.runtime.scoring.reference import judge


def held_out(count: int = 4, grid: int = 28) -> np.ndarray:
    """Distances that are three times as large in the upper half."""
    rng = np.random.default_rng(0)
    distances = 1 + 0.2 * rng.random((count, grid, grid), dtype=np.float32)
    distances[:, : grid // 2] *= 3
    return distances


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0, 5.0, 11.3])
@pytest.mark.parametrize("grid", [56, 28, 14])
def test_smoothing_is_scipys(grid: int, sigma: float) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    values = np.random.default_rng(1).random((grid, grid))
    np.testing.assert_allclose(gaussian_smooth(values, sigma), ndimage.gaussian_filter(values, sigma), rtol=1e-12)


def test_no_smoothing_leaves_the_values_alone() -> None:
    values = np.random.default_rng(1).random((14, 14))
    assert np.array_equal(gaussian_smooth(values, 0), values)


def test_without_damping_a_position_is_divided_by_what_good_parts_show_there() -> None:
    distances = held_out()
    shown = np.sqrt((distances.astype(np.float64) ** 2).mean(axis=0))
    mean = np.sqrt((shown**2).mean())
    np.testing.assert_allclose(relative_scale(distances, Calibration(0.0, 0.0)), mean / shown, rtol=1e-6)


def test_damping_brings_the_scale_to_1() -> None:
    distances = held_out()
    ranges = [np.ptp(relative_scale(distances, Calibration(a, 2.0))) for a in (0.0, 1.0, 3.0, 1e6)]
    assert ranges == sorted(ranges, reverse=True)
    assert ranges[-1] < 1e-5
    even = np.full((3, 14, 14), 2.0, np.float32)
    np.testing.assert_allclose(relative_scale(even, Calibration(0.3, 2.0)), 1, rtol=1e-6)


@pytest.mark.parametrize("shown", ["raw", "calibrated"])
def test_held_out_good_parts_score_1_on_average(shown: str) -> None:
    scoring = Scoring("top", 16, ("f2", "f3"), Calibration(1.0, 2.0), shown, 4.0)  # type: ignore[arg-type]
    distances = held_out()
    scale = calibrate(distances, scoring)
    assert scale is not None
    assert (scale.dtype, scale.shape) == (np.float32, (28, 28))
    _, scores = judge(distances, scoring, scale)
    assert np.exp(np.log(scores).mean()) == pytest.approx(1, rel=1e-6)
    other_unit = calibrate(1000 * distances, scoring)
    assert other_unit is not None
    np.testing.assert_allclose(1000 * other_unit, scale, rtol=1e-5)


def test_a_scoring_without_calibration_has_no_scale() -> None:
    assert calibrate(held_out(grid=56), Scoring()) is None


def test_support_images_that_do_not_differ_are_refused() -> None:
    scoring = Scoring("top", 16, ("f2", "f3"), Calibration())
    with pytest.raises(InputError, match="do not differ"):
        calibrate(np.zeros((2, 28, 28), np.float32), scoring)
    bare = held_out()
    bare[:, 3, 3] = 0
    with pytest.raises(InputError, match="do not differ"):
        relative_scale(bare, Calibration(0.0, 0.0))
