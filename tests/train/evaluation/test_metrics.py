"""The measures against plain references, scikit-learn and anomalib."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import label
from sklearn.metrics import f1_score, roc_auc_score

from regad.train.evaluation.metrics import PixelTruth, auroc, image_measures, rate


def aupro_case() -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Return the fixed case that anomalib was asked about, from the script that asked."""
    path = Path(__file__).parents[2] / "rivals" / "aupro.py"
    spec = importlib.util.spec_from_file_location("aupro", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    case: tuple[NDArray[np.bool_], NDArray[np.float32]] = module.aupro_case()
    return case


def plain_aupro(masks: NDArray[np.bool_], maps: NDArray[np.float32], limit: float) -> float:
    """Every distinct score is a threshold; for each, the false-positive rate and the mean overlap of the regions."""
    curve = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        hit = maps >= threshold
        overlaps = []
        for mask, found in zip(masks, hit, strict=True):
            regions, count = label(mask, np.ones((3, 3)))
            overlaps += [float(found[regions == number].mean()) for number in range(1, count + 1)]
        curve.append((float(hit[~masks].mean()), float(np.mean(overlaps))))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(curve):
        if x0 >= limit:
            break
        end = min(x1, limit)
        height = y1 if x1 <= limit else y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
        area += (end - x0) * (y0 + height) / 2
    return area / limit


def drawn_case(seed: int, levels: int) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Three images of 12 x 10 with blocks as defects, and maps that take few different values, so that many tie."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((3, 12, 10), np.bool_)
    for mask in masks[1:]:
        for _ in range(int(rng.integers(1, 4))):
            y, x = rng.integers(0, 8, 2)
            mask[y : y + rng.integers(1, 5), x : x + rng.integers(1, 4)] = True
    maps = np.floor((rng.random(masks.shape) + 0.5 * masks) * levels).astype(np.float32)
    return masks, maps


@given(st.integers(0, 10_000), st.sampled_from([2, 5, 40, 10_000]), st.sampled_from([0.05, 0.3, 1.0]))
def test_aupro_equals_the_plain_reference(seed: int, levels: int, limit: float) -> None:
    masks, maps = drawn_case(seed, levels)
    got = PixelTruth(masks).measures(maps, limit)
    assert got.aupro == pytest.approx(plain_aupro(masks, maps, limit), abs=1e-6)
    assert got.auroc == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-12)


def test_aupro_equals_anomalib() -> None:
    """The number is what ``.venvs/anomalib/bin/python tests/rivals/aupro.py`` prints (anomalib 2.7.0)."""
    masks, maps = aupro_case()
    assert PixelTruth(masks).measures(maps).aupro == pytest.approx(0.437290, abs=1e-5)


def test_pixel_measures_need_a_defect_and_good_pixels() -> None:
    maps = np.zeros((2, 3, 3), np.float32)
    assert PixelTruth(np.zeros((2, 3, 3), np.bool_)).measures(maps) == (None, None)
    assert PixelTruth(np.ones((2, 3, 3), np.bool_)).measures(maps) == (None, None)
    assert PixelTruth(np.zeros((0, 3, 3), np.bool_)).measures(maps[:0]) == (None, None)


def test_a_large_region_does_not_outweigh_a_small_one() -> None:
    masks = np.zeros((1, 20, 20), np.bool_)
    masks[0, :10, :10] = True
    masks[0, 15, 15] = True
    maps = np.zeros((1, 20, 20), np.float32)
    maps[0, :10, :10] = 1  # the large region is found, the small one is not
    got = PixelTruth(masks).measures(maps)
    assert got.aupro == pytest.approx(0.5 + 0.5 * 0.15, abs=1e-6)  # then both, along the straight line to (1, 1)
    assert got.auroc == pytest.approx(0.995, abs=1e-3)


def test_image_measures_by_hand() -> None:
    labels = np.array([False, False, False, False, True, True, True])
    scores = np.array([1, 2, 3, 6, 2, 5, 7], np.float32)
    got = image_measures(labels, scores)
    # pairs in order: 7 beats 4, 5 beats 3, 2 beats 1 and ties with 1
    assert got.auroc == pytest.approx((4 + 3 + 1.5) / 12)
    # ranked 7+ 6- 5+ 3- (2-,2+) 1-
    assert got.average_precision == pytest.approx((1 / 1 + 2 / 3 + 3 / 6) / 3)
    assert got.f1_max == pytest.approx(2 * 2 / (3 + 3))
    assert got.false_alarm_at_full_recall == pytest.approx(3 / 4)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=30))
def test_f1_max_is_the_best_over_all_thresholds(pairs: list[tuple[bool, int]]) -> None:
    labels = np.array([pair[0] for pair in pairs])
    scores = np.array([pair[1] for pair in pairs], np.float32)
    got = image_measures(labels, scores)
    if labels.all() or not labels.any():
        assert got == (None, None, None, None)
        return
    assert got.f1_max == pytest.approx(max(f1_score(labels, scores >= limit) for limit in set(scores.tolist())))
    alarm = (scores >= scores[labels].min())[~labels].mean()
    assert got.false_alarm_at_full_recall == pytest.approx(alarm)


def test_one_class_gives_no_auroc() -> None:
    assert auroc(np.zeros(3, np.bool_), np.zeros(3, np.float32)) is None
    assert auroc(np.ones(3, np.bool_), np.zeros(3, np.float32)) is None
    assert auroc(np.array([False, True]), np.array([0, 1], np.float32)) == 1


def test_the_rate_of_nothing_is_none() -> None:
    assert rate(np.zeros(0, np.bool_)) is None
    assert rate(np.array([True, False])) == 0.5
