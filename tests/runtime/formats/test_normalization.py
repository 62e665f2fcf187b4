"""The feature normalisation as data: what may stand in a checkpoint or a manifest, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.errors import ArtifactError, InputError
from regad.runtime.formats.artifact import Artifact, artifact_hash
from regad.runtime.formats.normalization import PLAIN, FeatureNormalization
from regad.runtime.formats.spec import LEVELS

from .test_kept_files import artifact_of

ROOT = FeatureNormalization((0.0, 0.5, 0.5), (1.0, 3.0, math.sqrt(160)))
SIZES = [{"name": level.name, "grid": level.grid, "channels": level.channels} for level in LEVELS]

_three_of = st.tuples
normalizations = st.builds(
    FeatureNormalization,
    _three_of(*[st.floats(0, 1)] * 3),
    _three_of(*[st.floats(1e-3, 1e3)] * 3),
)


@given(normalizations)
def test_it_survives_a_checkpoint_and_a_manifest(normalization: FeatureNormalization) -> None:
    assert FeatureNormalization.from_json(json.loads(json.dumps(normalization.to_json()))) == normalization
    assert FeatureNormalization.from_table(json.loads(json.dumps(normalization.table()))) == normalization


def test_the_table_has_no_word_of_a_level_that_is_left_as_it_is() -> None:
    assert PLAIN.table() == SIZES
    assert ROOT.table() == [
        SIZES[0],
        {**SIZES[1], "exponent": 0.5, "gain": 3.0},
        {**SIZES[2], "exponent": 0.5, "gain": math.sqrt(160)},
    ]
    assert str(ROOT) == "f2 3 / length^0.5, f3 12.6491 / length^0.5"
    assert str(PLAIN) == "as they come"


@pytest.mark.parametrize(
    ("exponents", "gains", "said"),
    [
        ((0, 0.5, 1.5), (1, 1, 1), r"feature exponents are \(0, 0.5, 1.5\); expected three numbers in \[0, 1\]"),
        ((0, -0.5, 0), (1, 1, 1), "feature exponents are"),
        ((0, math.nan, 0), (1, 1, 1), "feature exponents are"),
        ((0, 0), (1, 1, 1), "feature exponents are"),
        ((0, 0, 0), (1, 0, 1), r"feature gains are \(1, 0, 1\); expected three numbers above 0"),
        ((0, 0, 0), (1, math.inf, 1), "feature gains are"),
        ((0, 0, 0), (1, 1), "feature gains are"),
    ],
)
def test_values_out_of_range_are_refused(exponents: Any, gains: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        FeatureNormalization(exponents, gains)


@pytest.mark.parametrize("data", [{}, {"exponents": [0, 0, 0]}, {"exponents": [0, 0, "1"], "gains": [1, 1, 1]}])
def test_a_damaged_record_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="feature normalisation is incomplete or malformed"):
        FeatureNormalization.from_json(data)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (3, "feature table is malformed"),
        (["f1", "f2", "f3"], "feature table is malformed"),
        (SIZES[:2], "feature table is malformed"),
        ([*SIZES[:2], {**SIZES[2], "gain": None}], "feature table is malformed"),
        ([*SIZES[:2], {**SIZES[2], "gain": 3}], "describes another encoder"),
        ([*SIZES[:2], {**SIZES[2], "exponent": 2, "gain": 1}], "feature exponents are"),
        ([*SIZES[:2], {**SIZES[2], "mean": 0}], "describes another encoder"),
        ([*SIZES[:2], {**SIZES[2], "grid": 7}], "describes another encoder"),
    ],
)
def test_a_damaged_table_makes_no_artifact(rows: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        FeatureNormalization.from_table(rows)
    path = with_features(rows, tmp_path)
    with pytest.raises(ArtifactError, match=said) as caught:
        Artifact.open(path)
    assert "\n" not in str(caught.value)


def with_features(rows: Any, folder: Path) -> Path:
    path = artifact_of(2, folder)
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    (path / "manifest.json").write_text(json.dumps({**manifest, "features": rows}), encoding="utf-8")
    return path


def test_an_artifact_tells_its_normalization_and_is_named_by_its_encoder(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    plain = Artifact.open(artifact_of(2, tmp_path / "plain"))
    artifact = Artifact.open(with_features(ROOT.table(), tmp_path))
    assert (plain.normalization, artifact.normalization) == (PLAIN, ROOT)
    assert artifact.hash == plain.hash
    files = {**artifact.manifest["files"], "encoder.onnx": {"sha256": "0" * 64, "bytes": 12}}
    assert artifact_hash({**artifact.manifest, "files": files}) != artifact.hash
