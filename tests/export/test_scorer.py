"""The scorer graphs against the NumPy scorer and the dense inverse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from regad.calib.gaussian import dense_reference, fit_statistics
from regad.export.parity import run_graph
from regad.export.reference import distances, scores
from regad.export.scorer import scorer_text
from regad.export.writer import scorer_model
from regad.runtime.formats.encodings import (
    ENCODINGS,
    Encoding,
    Form,
    Statistics,
    StatisticsGroups,
    form_of,
    forms_of,
    grouped,
)
from regad.runtime.formats.features import Features
from regad.runtime.formats.scoring import SCORINGS, Calibration, Scoring
from regad.runtime.formats.spec import ALL_LEVELS, LEVELS, POSITIONS, Levels
from regad.runtime.scoring.reference import Scorer, graph_tensors, smoothing_matrix


def random_features(count: int, seed: int) -> Features:
    """Correlated positive features, as an encoder gives them."""
    rng = np.random.default_rng(seed)
    levels = []
    for level in LEVELS:
        common = np.random.default_rng(level.channels)
        base = common.standard_normal((1, level.positions, level.channels))
        directions = common.standard_normal((6, level.channels))
        spread = rng.standard_normal((count, 1, 6)) @ directions
        noise = rng.standard_normal((count, level.positions, level.channels))
        levels.append(np.abs(base + 0.3 * spread + 0.2 * noise).astype(np.float32))
    return Features(*levels, np.zeros((count, 3, 2, 3), np.float32))


def score_with_graph(
    statistics: Statistics | StatisticsGroups,
    query: Features,
    opset: int = 18,
    scoring: Scoring | None = None,
    calibration: Calibration | None = None,
) -> list[np.ndarray]:
    groups = grouped(statistics)
    features = {name: getattr(query, name) for group in groups for name in group.levels}
    inputs = {**features, **graph_tensors(statistics, "fp32", scoring, calibration)}
    return run_graph(scorer_model(form_of(groups), opset), inputs)


def first(features: Features, count: int) -> Features:
    return Features(*(values[:count] for values in features))


SUPPORT = random_features(9, seed=1)
QUERY = random_features(3, seed=2)


@pytest.mark.parametrize("encoding", ["gram", "hybrid"])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_scorer_graph_gives_the_dense_inverse(encoding: Encoding, batch: int) -> None:
    query = first(QUERY, batch)
    anomaly_map, anomaly_score = score_with_graph(fit_statistics(SUPPORT, encoding), query)
    expected_map, expected_score = scores(SUPPORT, query)
    assert anomaly_map.shape == (batch, 224, 224)
    assert anomaly_score.shape == (batch,)
    np.testing.assert_allclose(anomaly_map, expected_map, rtol=0, atol=1e-5 * expected_map.max())
    np.testing.assert_allclose(anomaly_score, expected_score, rtol=1e-5)
    np.testing.assert_array_equal(anomaly_score, anomaly_map.max(axis=(1, 2)))


def test_the_reference_is_the_dense_inverse() -> None:
    positions = np.arange(0, POSITIONS, 173)
    dense = dense_reference(SUPPORT, QUERY, positions)
    np.testing.assert_allclose(distances(SUPPORT, QUERY).reshape(3, -1)[:, positions], dense, rtol=1e-6)


def random_statistics(encoding: Encoding, rank: int, levels: Levels = ALL_LEVELS) -> Statistics:
    """Well-scaled values without a fit, which takes long for the cholesky encoding; one draw, laid out again."""
    draw = np.random.default_rng(5).standard_normal(99_991).astype(np.float32) * np.float32(0.1)
    tensors = {name: np.resize(draw, shape) for name, shape in ENCODINGS[encoding](rank, levels).items()}
    return Statistics(encoding, rank, rank + 1, tensors, levels=levels)


EDGE = SCORINGS["edge"]
CASES = [
    (Form("gram"), Scoring("top", 40)),
    (Form("gram"), Scoring("top", 3136, damping=1.0)),
    *((form, scoring) for form in forms_of(EDGE.groups)[3:] for scoring in (EDGE, replace(EDGE, cells=196))),
]


@pytest.mark.parametrize("rank", [2, 3, 130])
@pytest.mark.parametrize(("form", "scoring"), CASES, ids=str)
def test_a_scorer_graph_is_the_numpy_scorer_for_every_scoring(form: Form, scoring: Scoring, rank: int) -> None:
    if rank > 3 and form.encodings != ("gram", "gram"):
        rank = 17
    query, calibration = first(QUERY, 2), None
    if scoring.damping is not None:
        scale = 0.5 + np.random.default_rng(1).random((scoring.grid, scoring.grid), dtype=np.float32)
        calibration = Calibration(scale, np.float32([3.0, 5.0][: len(form.groups)]))
    groups = zip(form.encodings, form.groups, strict=True)
    # Small, so that the square roots are of clearly positive numbers.
    small = np.float32(0.1 if rank > 3 else 1)
    statistics = tuple(scaled(random_statistics(one, rank, levels), small) for one, levels in groups)
    expected_map, expected_score = Scorer(statistics, scoring, calibration).score(query)
    assert expected_map.min() > 0
    anomaly_map, anomaly_score = score_with_graph(statistics, query, scoring=scoring, calibration=calibration)
    np.testing.assert_allclose(anomaly_map, expected_map, rtol=0, atol=1e-5 * expected_map.max())
    np.testing.assert_allclose(anomaly_score, expected_score, rtol=1e-5)


def scaled(statistics: Statistics, factor: np.float32) -> Statistics:
    tensors = {name: value * (1 if name.startswith("mean") else factor) for name, value in statistics.tensors.items()}
    return replace(statistics, tensors=tensors)


def test_the_ranked_distances_are_within_what_tensorrt_sorts() -> None:
    for form in forms_of(EDGE.groups):
        (count,) = (item for item in scorer_model(form).graph.initializer if item.name == "every_position")
        assert onnx.numpy_helper.to_array(count) <= 3840


def test_the_inputs_of_groups_are_named_after_their_level() -> None:
    names = [value.name for value in scorer_model(Form("gram", "cholesky")).graph.input]
    assert names == ["f2", "f3", "mean2", "x2", "l2", "mean3", "w3", "score_factors", "score_weights", "map_gain"]


def test_an_artifact_scored_by_groups_has_four_graphs_more() -> None:
    names = [form.name for form in forms_of(EDGE.groups)]
    assert names[:3] == [form.name for form in forms_of(Scoring().groups)] == ["gram", "hybrid", "cholesky"]
    assert names[3:] == ["gram_f2_gram_f3", "gram_f2_cholesky_f3", "cholesky_f2_gram_f3", "cholesky_f2_cholesky_f3"]


@pytest.mark.parametrize("encoding", ["gram", "hybrid", "cholesky"])
def test_a_scorer_graph_is_the_numpy_scorer(encoding: Encoding) -> None:
    # A rank of 2 keeps y small, so that the square roots are of clearly positive numbers.
    statistics = random_statistics(encoding, rank=2)
    query = first(QUERY, 2)
    expected_map, expected_score = Scorer(statistics).score(query)
    assert expected_map.min() > 0
    anomaly_map, anomaly_score = score_with_graph(statistics, query)
    np.testing.assert_allclose(anomaly_map, expected_map, rtol=0, atol=1e-5 * expected_map.max())
    np.testing.assert_allclose(anomaly_score, expected_score, rtol=1e-5)


def test_a_distance_below_zero_by_rounding_is_zero() -> None:
    same = Features(*(np.repeat(values[:1], 4, axis=0) for values in SUPPORT))
    anomaly_map, anomaly_score = score_with_graph(fit_statistics(same, "gram"), first(SUPPORT, 1))
    assert np.isfinite(anomaly_map).all()
    assert anomaly_score[0] < 1e-2


@pytest.mark.parametrize("opset", [16, 18, 20])
def test_opsets_and_dynamic_dimensions(opset: int) -> None:
    model = scorer_model(Form("gram"), opset)
    assert (model.opset_import[0].version, model.ir_version) == (opset, 9)
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in model.graph.input
    }
    assert shapes["f2"] == ["batch", 784, 128]
    assert shapes["x3"] == [196, "rank", 256]
    assert shapes["l"] == [3136, "rank", "rank"]
    expected, _ = scores(SUPPORT, QUERY)
    anomaly_map, _ = score_with_graph(fit_statistics(SUPPORT, "gram"), QUERY, opset)
    np.testing.assert_allclose(anomaly_map, expected, rtol=0, atol=1e-5 * expected.max())


@pytest.mark.parametrize("encoding", ["gram", "hybrid", "cholesky"])
def test_the_inputs_are_the_dense_tensors(encoding: Encoding) -> None:
    names = [value.name for value in scorer_model(Form(encoding)).graph.input]
    statistics = [name.removesuffix("_packed") for name in ENCODINGS[encoding](2)]
    assert names == ["f1", "f2", "f3", *statistics, "score_factors", "score_weights"]
    assert "0.01" not in scorer_text(Form(encoding))


def test_no_weights_but_the_smoothing() -> None:
    floats = [
        item
        for encoding in ("gram", "hybrid", "cholesky")
        for item in scorer_model(Form(encoding)).graph.initializer
        if item.data_type == onnx.TensorProto.FLOAT
    ]
    assert {item.name for item in floats} == {"smooth", "smooth_t", "epsilon"}
    smooth = onnx.numpy_helper.to_array(floats[0])
    np.testing.assert_array_equal(smooth, smoothing_matrix())
