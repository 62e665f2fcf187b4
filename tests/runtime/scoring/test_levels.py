"""Every form of scoring: groups, encodings, dtypes and statistics of the score, compiled against the reference."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regad.runtime import kernels
from regad.runtime.errors import InputError
from regad.runtime.formats.encodings import (
    ENCODINGS,
    Encoding,
    Statistics,
    StatisticsDtype,
    cast_statistics,
    encodings_of,
    packed_length,
    packed_side,
)
from regad.runtime.formats.features import Features
from regad.runtime.formats.scoring import SCORINGS, Calibration, Scoring
from regad.runtime.formats.spec import ALL_LEVELS, EDGE_GROUPS, LEVELS, Levels
from regad.runtime.scoring.compiled import CompiledScorer
from regad.runtime.scoring.reference import Scorer, dense_tensors, distances_of, judge, top_mean, upsample

from ..noise import noise

built = pytest.mark.skipif(not kernels.available(), reason="the compiled scorer was not built (no C++ compiler)")


def drawn(batch: int, seed: int = 1) -> Features:
    rng = np.random.default_rng(seed)
    levels = (rng.random((batch, level.positions, level.channels), dtype=np.float32) for level in LEVELS)
    return Features(*levels, np.zeros((batch, 3, 2, 3), np.float32))


def statistics(encoding: Encoding, rank: int, levels: Levels, dtype: StatisticsDtype = "fp32") -> Statistics:
    """Tensors of the right shapes whose triangles are small, so that squares stay positive in every form."""
    shapes = ENCODINGS[encoding](rank, levels).items()
    tensors = {
        name: noise(seed, shape, 1 if name.startswith("mean") else 0.02) for seed, (name, shape) in enumerate(shapes)
    }
    return cast_statistics(Statistics(encoding, rank, rank + 1, tensors, levels=levels), dtype)


def edge_statistics(
    encodings: tuple[Encoding, ...], rank: int, dtype: StatisticsDtype = "fp32"
) -> tuple[Statistics, ...]:
    return tuple(statistics(one, rank, levels, dtype) for one, levels in zip(encodings, EDGE_GROUPS, strict=True))


def calibrated(scoring: Scoring) -> Calibration | None:
    if scoring.damping is None:
        return None
    scale = 0.5 + np.random.default_rng(3).random((scoring.grid, scoring.grid), dtype=np.float32)
    return Calibration(scale, np.float32([2.0, 5.0][: len(scoring.groups)]))


FEATURES = drawn(2)
EDGE = SCORINGS["edge"]


@built
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_the_compiled_scorer_is_the_reference_in_every_form_of_the_groups(data: st.DataObject) -> None:
    encodings = tuple(data.draw(st.sampled_from(encodings_of(levels))) for levels in EDGE_GROUPS)
    stats = edge_statistics(
        encodings, data.draw(st.integers(1, 50)), data.draw(st.sampled_from(get_args(StatisticsDtype)))
    )
    scoring = replace(EDGE, cells=data.draw(st.integers(1, 196)))
    calibration = calibrated(scoring)
    features = FEATURES._replace(f1=np.zeros((0, 0, 0), np.float32))  # a level that is not scored is never looked at
    got = CompiledScorer(stats, 2, scoring, calibration)
    distances = Scorer(stats, scoring, calibration).mahalanobis(features)
    for ours, theirs in zip(got.mahalanobis(features), distances, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6 * theirs.max())
    for ours, theirs in zip(got.score(features), judge(distances, scoring, calibration), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6 * theirs.max())


@built
@pytest.mark.parametrize("rank", [127, 128, 130, 257])
def test_ranks_beyond_the_channels_of_a_level(rank: int) -> None:
    stats, calibration = edge_statistics(("gram", "gram"), rank), calibrated(EDGE)
    scorer = CompiledScorer(stats, 2, EDGE, calibration)
    for ours, theirs in zip(scorer.score(FEATURES), Scorer(stats, EDGE, calibration).score(FEATURES), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-6 * theirs.max())


@built
@pytest.mark.parametrize(("cells", "damping"), [(0, None), (1, None), (63, 1.0), (3136, 1.0)])
def test_all_levels_with_every_statistic(cells: int, damping: float | None) -> None:
    scoring = Scoring("top", cells, damping=damping) if cells else Scoring()
    stats, calibration = statistics("gram", 5, ALL_LEVELS), calibrated(scoring)
    maps, scores = CompiledScorer(stats, 2, scoring, calibration).score(FEATURES)
    wanted_maps, wanted_scores = Scorer(stats, scoring, calibration).score(FEATURES)
    np.testing.assert_allclose(maps, wanted_maps, rtol=0, atol=2e-6 * wanted_maps.max())
    np.testing.assert_allclose(scores, wanted_scores, rtol=2e-6)


@built
def test_from_the_same_distances_both_give_the_same_score_to_the_last_bit() -> None:
    stats = edge_statistics(("gram", "cholesky"), 5)
    for cells in (1, 2, 4, 16, 195, 196):
        scoring = replace(EDGE, cells=cells)
        calibration = calibrated(scoring)
        scorer = CompiledScorer(stats, 2, scoring, calibration)
        _, scores = scorer.score(FEATURES)
        assert np.array_equal(scores, judge(scorer.mahalanobis(FEATURES), scoring, calibration)[1])


def test_a_single_level_is_all_levels_with_the_others_at_a_gain_of_0() -> None:
    """The deviations of the others are 0 then, and the distance of a cell stands at every position that it covers."""
    rank = 20
    for level in LEVELS[1:]:
        alone = statistics("gram", rank, (level.name,))
        n = level.name[1]
        whole = {name: np.zeros_like(value) for name, value in statistics("gram", rank, ALL_LEVELS).tensors.items()}
        dense = dense_tensors(alone)
        whole[f"mean{n}"] = alone.tensors[f"mean{n}"]
        whole["x3_packed" if n == "3" else "x2"] = alone.tensors["x3_packed"] if n == "3" else dense["x2"]
        whole["l_packed"] = upsample(alone.tensors[f"l{n}_packed"], 56 // level.grid)
        muted = FEATURES._replace(
            **{other.name: np.zeros_like(getattr(FEATURES, other.name)) for other in LEVELS if other is not level}
        )
        (wanted,) = Scorer(Statistics("gram", rank, rank + 1, whole)).mahalanobis(muted)
        got = distances_of(alone, FEATURES)
        for image in range(2):
            grown = upsample(got[image].reshape(-1), 56 // level.grid).reshape(56, 56)
            np.testing.assert_allclose(grown, wanted[image], rtol=0, atol=2e-6 * wanted.max())


def test_the_map_of_the_product_in_plain_words() -> None:
    """Torch's bilinear interpolation and scipy's Gaussian, where they are there, of the root of the product."""
    torch, ndimage = pytest.importorskip("torch"), pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(5)
    m2, m3 = (1 + rng.random((1, side, side), dtype=np.float32) for side in (28, 14))
    calibration = Calibration(1 + rng.random((14, 14), dtype=np.float32), np.float32([1.5, 2.5]))

    def grown(values: np.ndarray, size: int) -> np.ndarray:
        image = torch.from_numpy(values[None].astype(np.float64))
        done = torch.nn.functional.interpolate(image, (size, size), mode="bilinear", align_corners=False)
        return np.asarray(done[0])

    plain = np.sqrt(m2 / 1.5 * grown(m3 / 2.5, 28))
    wanted = ndimage.gaussian_filter(grown(plain, 224)[0], sigma=2, mode="reflect", truncate=4)
    maps, scores = judge((m2, m3), EDGE, calibration)
    np.testing.assert_allclose(maps[0], wanted, rtol=2e-6)
    assert scores[0] == pytest.approx(np.sort((m3[0] * calibration.scale).ravel())[-4:].mean(), rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_the_top_mean_is_that_of_the_sorted_values(data: st.DataObject) -> None:
    values = data.draw(st.lists(st.floats(0, 1e4, width=32), min_size=1, max_size=40))
    cells = data.draw(st.integers(1, len(values)))
    wanted = np.float32(np.mean(np.sort(np.float64(values))[::-1][:cells]))
    (got,) = top_mean(np.float32([values]), cells)
    assert got == pytest.approx(wanted, rel=1e-7)


@built
def test_features_that_are_not_finite_give_a_score_that_is_not_finite() -> None:
    stats, broken, calibration = edge_statistics(("gram", "gram"), 3), drawn(1), calibrated(EDGE)
    broken.f3[0, 7, 9] = np.nan
    for scorer in (CompiledScorer(stats, 1, EDGE, calibration), Scorer(stats, EDGE, calibration)):
        assert not np.isfinite(scorer.score(broken)[1]).any()


def test_scoring_and_statistics_of_different_groups_are_refused() -> None:
    stats = edge_statistics(("gram", "gram"), 1)
    for scorer in (Scorer, CompiledScorer) if kernels.available() else (Scorer,):
        with pytest.raises(InputError, match=r"scoring is of f1\+f2\+f3, the statistics of f2 and f3"):
            scorer(stats, scoring=Scoring())


@given(st.integers(1, 1 << 40))
def test_a_triangle_of_any_size_tells_its_side(size: int) -> None:
    assert packed_side(packed_length(size)) == size
