"""Every form of scoring: levels, encodings, dtypes and statistics of the score, compiled against the reference."""

from __future__ import annotations

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
from regad.runtime.formats.scoring import Calibration, Scoring
from regad.runtime.formats.spec import ALL_LEVELS, LEVEL_SETS, LEVELS, Levels
from regad.runtime.scoring.compiled import CompiledScorer
from regad.runtime.scoring.reference import Scorer, judge, smoothing_matrix, top_mean, upsample

built = pytest.mark.skipif(not kernels.available(), reason="the compiled scorer was not built (no C++ compiler)")
COARSE = [levels for levels in LEVEL_SETS if levels != ALL_LEVELS]


def drawn(batch: int, seed: int = 1) -> Features:
    rng = np.random.default_rng(seed)
    levels = (rng.random((batch, level.positions, level.channels), dtype=np.float32) for level in LEVELS)
    return Features(*levels, np.zeros((batch, 3, 2, 3), np.float32))


def statistics(encoding: Encoding, rank: int, levels: Levels, dtype: StatisticsDtype = "fp32") -> Statistics:
    """Tensors of the right shapes whose triangles are small, so that squares stay positive in every form."""
    rng = np.random.default_rng(rank)
    shapes = ENCODINGS[encoding](rank, levels)
    tensors = {
        name: rng.random(shape, dtype=np.float32) * np.float32(1 if name.startswith("mean") else 0.02)
        for name, shape in shapes.items()
    }
    return cast_statistics(Statistics(encoding, rank, rank + 1, tensors, levels=levels), dtype)


def scoring_of(levels: Levels, cells: int, shown: str = "raw", gain: float = 1.0) -> Scoring:
    if cells == 0:
        return Scoring(levels=levels)
    return Scoring("top", cells, levels, Calibration(), shown, gain)  # type: ignore[arg-type]


def scale_of(scoring: Scoring) -> np.ndarray | None:
    rng = np.random.default_rng(3)
    shape = (scoring.grid, scoring.grid)
    return None if scoring.calibration is None else (0.5 + rng.random(shape, dtype=np.float32))


FEATURES = drawn(2)


@built
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_the_compiled_scorer_is_the_reference_in_every_form(data: st.DataObject) -> None:
    levels = data.draw(st.sampled_from(COARSE))
    encoding = data.draw(st.sampled_from(encodings_of(levels)))
    rank = data.draw(st.integers(1, 50) if levels == ("f3",) else st.integers(1, 24))
    stats = statistics(encoding, rank, levels, data.draw(st.sampled_from(get_args(StatisticsDtype))))
    cells = data.draw(st.integers(0, stats.grid**2))
    scoring = scoring_of(levels, cells, data.draw(st.sampled_from(["raw", "calibrated"])), data.draw(st.floats(0.1, 9)))
    scale = scale_of(scoring)
    features = FEATURES._replace(f1=np.zeros((0, 0, 0), np.float32))  # a level that is not scored is never looked at
    got = CompiledScorer(stats, 2, scoring, scale)
    distances = Scorer(stats, scoring, scale).mahalanobis(features)
    np.testing.assert_allclose(got.mahalanobis(features), distances, rtol=0, atol=2e-6 * distances.max())
    for ours, theirs in zip(got.score(features), judge(distances, scoring, scale), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6 * theirs.max())


@built
@pytest.mark.parametrize("cells", [0, 1, 63, 3136])
def test_all_levels_with_every_statistic(cells: int) -> None:
    stats, scoring = statistics("gram", 5, ALL_LEVELS), scoring_of(ALL_LEVELS, cells, "calibrated", 2.0)
    scale = scale_of(scoring)
    maps, scores = CompiledScorer(stats, 2, scoring, scale).score(FEATURES)
    wanted_maps, wanted_scores = Scorer(stats, scoring, scale).score(FEATURES)
    np.testing.assert_allclose(maps, wanted_maps, rtol=0, atol=2e-6 * wanted_maps.max())
    np.testing.assert_allclose(scores, wanted_scores, rtol=2e-6)


@built
def test_from_the_same_distances_both_give_the_same_score_to_the_last_bit() -> None:
    stats = statistics("gram", 5, ("f2", "f3"))
    for cells in (1, 2, 16, 777, 784):
        scoring = scoring_of(stats.levels, cells)
        scale = scale_of(scoring)
        scorer = CompiledScorer(stats, 2, scoring, scale)
        _, scores = scorer.score(FEATURES)
        assert np.array_equal(scores, judge(scorer.mahalanobis(FEATURES), scoring, scale)[1])


@pytest.mark.parametrize("levels", COARSE)
def test_leaving_a_level_out_is_scoring_with_its_features_at_a_gain_of_0(levels: Levels) -> None:
    """Its deviations are 0 then: the distance of a cell stands at every position that it covers, in the map too."""
    rank, missing = 4, [level for level in LEVELS if level.name not in levels]
    whole = statistics("gram", rank, ALL_LEVELS)
    tensors = dict(whole.tensors)
    for level in missing:
        tensors[f"x{level.name[1]}"] = np.zeros_like(tensors[f"x{level.name[1]}"])
        tensors[f"mean{level.name[1]}"] = np.zeros_like(tensors[f"mean{level.name[1]}"])
    own = {name: tensors[name] for name in ENCODINGS["gram"](rank, levels) if name != "l_packed"}
    own["l_packed"] = statistics("gram", rank, levels).tensors["l_packed"]
    tensors["l_packed"] = upsample(own["l_packed"], 2 ** len(missing))
    muted = FEATURES._replace(**{level.name: np.zeros_like(getattr(FEATURES, level.name)) for level in missing})
    wanted, score = Scorer(Statistics("gram", rank, rank + 1, tensors)).score(muted)
    maps, scores = Scorer(Statistics("gram", rank, rank + 1, own, levels=levels)).score(FEATURES)
    np.testing.assert_allclose(maps, wanted, rtol=0, atol=2e-6 * wanted.max())
    np.testing.assert_allclose(scores, score, rtol=2e-6)


@pytest.mark.parametrize("cells", [28, 14])
def test_smoothing_a_coarse_grid_is_smoothing_its_nearest_upsampling(cells: int) -> None:
    grid = np.random.default_rng(0).random((cells, cells), dtype=np.float32)
    wanted = smoothing_matrix() @ upsample(grid.reshape(-1), 56 // cells).reshape(56, 56) @ smoothing_matrix().T
    np.testing.assert_allclose(smoothing_matrix(cells) @ grid @ smoothing_matrix(cells).T, wanted, atol=1e-6)


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
    stats, broken = statistics("gram", 3, ("f3",)), drawn(1)
    broken.f3[0, 7, 9] = np.nan
    for scorer in (CompiledScorer(stats, 1, scoring_of(stats.levels, 4)), Scorer(stats, scoring_of(stats.levels, 4))):
        assert not np.isfinite(scorer.score(broken)[1]).any()


def test_scoring_and_statistics_of_different_levels_are_refused() -> None:
    stats = statistics("gram", 1, ("f3",))
    for scorer in (Scorer, CompiledScorer) if kernels.available() else (Scorer,):
        with pytest.raises(InputError, match=r"scoring is of f1\+f2\+f3, the statistics of f3"):
            scorer(stats, scoring=Scoring())


@given(st.integers(1, 1 << 40))
def test_a_triangle_of_any_size_tells_its_side(size: int) -> None:
    assert packed_side(packed_length(size)) == size
