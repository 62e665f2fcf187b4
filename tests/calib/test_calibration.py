"""The calibration that teaching makes from held-out distances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from regad.calib.calibration import calibrate
from regad.runtime.errors import InputError
from regad.runtime.formats.scoring import SCORINGS, Calibration, Scoring
from regad.runtime.scoring.reference import judge

EDGE = SCORINGS["edge"]


def held_out(count: int = 4, unit: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Distances of f2 and f3 that are three times as large in the upper half."""
    rng = np.random.default_rng(0)
    made = []
    for grid in (28, 14):
        distances = 1 + 0.2 * rng.random((count, grid, grid), dtype=np.float32)
        distances[:, : grid // 2] *= 3
        made.append(np.float32(unit) * distances)
    return made[0], made[1]


def calibrated(distances: tuple[np.ndarray, ...], scoring: Scoring = EDGE) -> Calibration:
    calibration = calibrate(distances, scoring)
    assert calibration is not None
    assert [values.dtype for values in calibration] == [np.float32] * 2
    return calibration


def geometric_mean(values: np.ndarray) -> float:
    return float(np.exp(np.log(values.astype(np.float64)).mean()))


@pytest.mark.parametrize("gain", [1.0, 0.5])
def test_1_is_a_held_out_good_part_in_score_and_map(gain: float) -> None:
    scoring = replace(EDGE, map_gain=gain)
    distances = held_out()
    maps, scores = judge(distances, scoring, calibrated(distances, scoring))
    assert geometric_mean(scores) == pytest.approx(1, rel=1e-6)
    assert geometric_mean(maps.max(axis=(1, 2))) == pytest.approx(gain, rel=1e-6)


def test_a_near_copy_does_not_move_the_unit() -> None:
    f2, f3 = held_out(4)
    doubled = tuple(np.concatenate([group, group[:1] * np.float32(0.01)]) for group in (f2, f3))
    maps, scores = judge(doubled, EDGE, calibrated(doubled))
    assert geometric_mean(scores[:4]) == pytest.approx(1, rel=1e-6)
    assert geometric_mean(maps[:4].max(axis=(1, 2))) == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("a", [0.0, 1.0, 4.0])
def test_a_cell_is_divided_by_what_held_out_parts_show_there(a: float) -> None:
    distances = held_out()
    calibration = calibrated(distances, replace(EDGE, damping=a))
    shown = (distances[1].astype(np.float64) ** 2).mean(axis=0)
    wanted = 1 / np.sqrt((shown + a * shown.mean()) / (1 + a))
    np.testing.assert_allclose(calibration.scale / calibration.scale[0, 0], wanted / wanted[0, 0], rtol=1e-6)


def test_norms_stand_to_each_other_as_the_root_mean_squares_of_the_groups() -> None:
    distances = held_out()
    f2, f3 = (np.sqrt((group.astype(np.float64) ** 2).mean()) for group in distances)
    norms = calibrated(distances).norms
    assert norms[0] / norms[1] == pytest.approx(f2 / f3, rel=1e-6)


def test_damping_takes_all_cells_to_one_scale() -> None:
    scales = [calibrated(held_out(), replace(EDGE, damping=a)).scale for a in (0.0, 1.0, 4.0, 1e6)]
    ranges = [np.ptp(scale) / scale.mean() for scale in scales]
    assert ranges == sorted(ranges, reverse=True)
    assert ranges[-1] < 1e-5


def test_scores_and_maps_do_not_depend_on_the_unit_of_the_distances() -> None:
    one, other = held_out(), held_out(unit=1000.0)
    for got, wanted in zip(
        judge(other, EDGE, calibrate(other, EDGE)), judge(one, EDGE, calibrate(one, EDGE)), strict=True
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_a_scoring_without_damping_has_no_calibration() -> None:
    assert calibrate((np.ones((2, 56, 56), np.float32),), Scoring()) is None


@pytest.mark.parametrize("distances", [np.zeros((2, 14, 14), np.float32), np.full((2, 14, 14), np.nan, np.float32)])
def test_support_images_that_do_not_differ_are_refused(distances: np.ndarray) -> None:
    with pytest.raises(InputError, match="support images do not differ"):
        calibrate((np.ones((2, 28, 28), np.float32), distances), EDGE)
