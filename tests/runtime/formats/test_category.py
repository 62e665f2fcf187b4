"""The category file: round trip, and every way it can be wrong."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.errors import CategoryError, InputError, OutputError
from regad.runtime.formats.category import (
    Category,
    SupportImage,
    Threshold,
    load_category,
    save_category,
    tensors_sha256,
)
from regad.runtime.formats.encodings import (
    ENCODINGS,
    Encoding,
    Statistics,
    StatisticsDtype,
    cast_statistics,
    stored_dtype,
)
from regad.runtime.formats.limits import Limit
from regad.runtime.formats.scoring import SCORINGS, Calibration, Scoring
from regad.runtime.formats.spec import EDGE_GROUPS, InputSpec

from ..noise import noisy_statistics

ARTIFACT = "ab" * 32


def category(encoding: Encoding = "gram", rank: int = 2, dtype: StatisticsDtype = "fp32") -> Category:
    statistics = noisy_statistics(encoding, rank, dtype)
    return Category(
        artifact=ARTIFACT,
        statistics=(statistics,),
        threshold=Threshold(5.5, "leave-one-out", 0.01, (3.0, 4.0), "two scores"),
        spec=InputSpec(fit="letterbox", roi=(1, 2, 300, 400)),
        limits={"brightness": Limit(5.5, 240.0, (88.0, 140.25)), "contrast": Limit(2.0, None, (16.0, 18.0))},
        shot=2,
        support=(SupportImage("a.png", "00"), SupportImage("b.png", "11")),
        software={"regad": "0"},
        created="2026-01-01T00:00:00+00:00",
        data_sha256=tensors_sha256(statistics.tensors),
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("category") / "part.safetensors"
    save_category(category(), path)
    return path


def rewritten(saved: Path, out: Path, **changes: object) -> Path:
    """A copy whose metadata has ``changes``: of the file format where the key is one, else of the JSON inside."""
    raw = saved.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    meta = json.loads(header["__metadata__"]["meta"])
    for key, value in changes.items():
        (header["__metadata__"] if key in ("format", "version") else meta)[key] = value
    header["__metadata__"]["meta"] = json.dumps(meta)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    out.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])
    return out


@pytest.mark.parametrize(("encoding", "dtype"), [*((name, "fp32") for name in ENCODINGS), ("gram", "fp16")])
def test_a_category_comes_back_as_saved(tmp_path: Path, encoding: str, dtype: StatisticsDtype) -> None:
    before = category(encoding, dtype=dtype)
    save_category(before, tmp_path / "part.safetensors")
    after = load_category(tmp_path / "part.safetensors", ARTIFACT)
    assert after.statistics[0].dtype == dtype
    assert replace(after, statistics=before.statistics) == before
    for name, tensor in before.statistics[0].tensors.items():
        assert (after.statistics[0].tensors[name] == tensor).all()
        assert after.statistics[0].tensors[name].dtype == stored_dtype(name, dtype)
    assert list(tmp_path.iterdir()) == [tmp_path / "part.safetensors"]


def edge_category() -> Category:
    rng = np.random.default_rng(1)
    shapes = {levels: ENCODINGS["gram"](2, levels) for levels in EDGE_GROUPS}
    statistics = tuple(
        Statistics("gram", 2, 3, {n: rng.random(s, dtype=np.float32) for n, s in own.items()}, levels=levels)
        for levels, own in shapes.items()
    )
    calibration = Calibration(1 + rng.random((14, 14), dtype=np.float32), np.float32([9.0, 16.0]))
    made = replace(category(), statistics=statistics, scoring=SCORINGS["edge"], calibration=calibration)
    return replace(made, data_sha256=tensors_sha256(made.tensors))


def test_groups_and_their_calibration_come_back(tmp_path: Path) -> None:
    before, path = edge_category(), tmp_path / "part.safetensors"
    save_category(before, path)
    after = load_category(path)
    assert after.calibration is not None
    assert before.calibration is not None
    for got, wanted in zip(after.calibration, before.calibration, strict=True):
        assert np.array_equal(got, wanted)
    assert (after.encoding, after.scoring) == ("gram+gram", before.scoring)
    assert [group.levels for group in after.statistics] == list(EDGE_GROUPS)
    names = {name for levels in EDGE_GROUPS for name in ENCODINGS["gram"](2, levels)}
    assert set(after.tensors) == {*names, "scale", "norms"}
    for name, tensor in before.tensors.items():
        assert np.array_equal(after.tensors[name], tensor)


def test_a_calibration_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    good = edge_category()
    assert good.calibration is not None
    scale, norms = good.calibration
    for wrong in (scale[:-1], scale.astype(np.float64), np.full((14, 14), np.inf, np.float32)):
        with pytest.raises(CategoryError, match="scale"):
            replace(good, calibration=Calibration(wrong, norms))
    with pytest.raises(CategoryError, match="norms holds values that are not finite and above 0"):
        replace(good, calibration=Calibration(scale, 0 * norms))
    with pytest.raises(CategoryError, match="there is no calibration by held-out parts; the scoring has one"):
        replace(good, calibration=None)
    with pytest.raises(CategoryError, match="there is a calibration by held-out parts; the scoring has none"):
        replace(category(), calibration=good.calibration)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [({"scale": np.ones((14, 14))}, "scale is float64"), ({"norms": None}, "tensor norms is missing")],
)
def test_a_file_whose_calibration_is_damaged_is_refused(tmp_path: Path, tensors: dict[str, Any], words: str) -> None:
    good, path = edge_category(), tmp_path / "part.safetensors"
    save_category(good, path)
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    changed = {name: value for name, value in {**good.tensors, **tensors}.items() if value is not None}
    path.write_bytes(safetensors.numpy.save(changed, metadata))
    with pytest.raises(CategoryError, match=words):
        load_category(rewritten(path, path, data_sha256=tensors_sha256(changed)))


def test_groups_that_do_not_belong_together_are_refused() -> None:
    good = edge_category()
    f2, f3 = good.statistics
    other = Statistics(
        "gram", 3, 4, {n: np.ones(s, np.float32) for n, s in ENCODINGS["gram"](3, ("f3",)).items()}, levels=("f3",)
    )
    for groups, words in (
        ((f3, f2), "the statistics are of f3 and f2; expected"),
        ((f3,), "the statistics are of f3; expected"),
        ((), "of nothing; expected"),
        ((f2, other), "not of the same views"),
        ((f2, cast_statistics(f3, "fp16")), "not stored as the same dtype"),
        (category().statistics, r"the scoring is of f2 and f3, the statistics of f1\+f2\+f3"),
    ):
        with pytest.raises(CategoryError, match=words):
            replace(good, statistics=groups)


def test_tensors_and_keys_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    before = category()
    tensors = {**before.tensors, "later": np.arange(3.0)}
    save_category(before, tmp_path / "plain.safetensors")
    with safetensors.safe_open(tmp_path / "plain.safetensors", framework="numpy") as file:
        metadata = file.metadata()
    meta = {**json.loads(metadata["meta"]), "data_sha256": tensors_sha256(tensors), "later": {"a": 1}}
    path = tmp_path / "part.safetensors"
    path.write_bytes(safetensors.numpy.save(tensors, {**metadata, "meta": json.dumps(meta)}))
    after = load_category(path, ARTIFACT)
    assert set(after.tensors) == set(before.tensors)
    assert after.limits == before.limits


def test_another_artifact_is_refused_with_the_remedy(saved: Path) -> None:
    with pytest.raises(CategoryError, match="regad-calib"):
        load_category(saved, "cd" * 32)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"format": "other"}, "not a category file"),
        ({"version": "2"}, "version 2; .* teach the part again"),
        ({"requires": ["telepathy"]}, "requires telepathy, which this version does not provide; update regad"),
        ({"requires": "telepathy"}, "not a list of names"),
        ({"scoring": {**Scoring().to_json(), "share": 0.02}}, "scoring has share, which this version does not know"),
        ({"scoring": {**Scoring().to_json(), "levels": [["f2"]]}}, r"groups are .* expected one of f1\+f2\+f3"),
        ({"scoring": SCORINGS["edge"].to_json()}, "expected one for each of 2 groups"),
        ({"scoring": SCORINGS["edge"].to_json(), "encoding": "gram+gram"}, "tensor scale is missing"),
        ({"encoding": "gram+gram"}, "expected one for each of 1 groups"),
        ({"scoring": {"score": "max"}}, "scoring is incomplete"),
        ({"registration": {"reference": 0}}, "do not agree"),
        ({"limits": {"glare": {}}}, "limits glare, .* update regad"),
        ({"limits": []}, "malformed"),
        ({"data_sha256": "0" * 64}, "damaged"),
        ({"dtype": "fp16"}, "expected float16"),
        ({"dtype": "fp8"}, "fp8"),
        ({"epsilon": 0.5}, "epsilon"),
        ({"encoding": "dense"}, "encoding"),
        ({"rank": 3}, "rank"),
        ({"rank": float("inf")}, "malformed"),
        ({"limits": {"brightness": {"low": -(10**400), "high": None, "taught": [1, 2]}}}, "malformed"),
        ({"rank": 10**13, "views": 10**13 + 1}, "x1"),
        ({"threshold": {"value": 1.0}}, "malformed"),
        ({"threshold": {"value": float("nan"), "method": "manual", "scores": []}}, "threshold"),
        ({"input": {"size": 224}}, "malformed"),
    ],
)
def test_wrong_metadata_is_refused(saved: Path, tmp_path: Path, changes: dict[str, object], word: str) -> None:
    path = rewritten(saved, tmp_path / "bad.safetensors", **changes)
    with pytest.raises(CategoryError, match=word) as caught:
        load_category(path, ARTIFACT)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_keys_that_are_not_known_are_passed_over_at_every_level(saved: Path, tmp_path: Path) -> None:
    known = category()
    threshold = {**known.threshold.to_json(), "later": [1]}
    support = [{"name": one.name, "sha256": one.sha256, "later": 1} for one in known.support]
    loaded = load_category(rewritten(saved, tmp_path / "new", threshold=threshold, support=support))
    assert (loaded.threshold, loaded.support) == (known.threshold, known.support)


@pytest.mark.parametrize("rate", ["warn_frr", "target_frr"])
def test_a_rate_that_is_no_number_is_refused(saved: Path, tmp_path: Path, rate: str) -> None:
    threshold = {**category().threshold.to_json(), rate: "x"}
    with pytest.raises(CategoryError, match="malformed metadata"):
        load_category(rewritten(saved, tmp_path / "new", threshold=threshold))


def test_metadata_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep"
    meta = {"format": "regad-category", "version": "3", "meta": "[" * 100_000}
    path.write_bytes(safetensors.numpy.save({"x": np.zeros(1)}, meta))
    with pytest.raises(CategoryError, match="nested too deeply"):
        load_category(path)


def test_a_file_in_a_folder_that_cannot_be_entered_is_refused(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(CategoryError, match="Permission denied"):
        load_category(saved)


def test_an_altered_byte_is_noticed(saved: Path, tmp_path: Path) -> None:
    raw = bytearray(saved.read_bytes())
    raw[-5] ^= 1
    (tmp_path / "bad.safetensors").write_bytes(raw)
    with pytest.raises(CategoryError, match="sha256"):
        load_category(tmp_path / "bad.safetensors")


@given(st.floats(0, 1))
def test_a_truncated_file_is_refused(saved: Path, fraction: float) -> None:
    raw = saved.read_bytes()
    bad = saved.with_name("cut.safetensors")
    bad.write_bytes(raw[: min(int(len(raw) * fraction), len(raw) - 1)])
    with pytest.raises(CategoryError):
        load_category(bad)


@given(st.binary(max_size=300))
def test_noise_is_refused(saved: Path, noise: bytes) -> None:
    bad = saved.with_name("noise.safetensors")
    bad.write_bytes(noise)
    with pytest.raises(CategoryError):
        load_category(bad)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        save_category(category(), tmp_path / "part.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        save_category(category(), tmp_path / "file" / "part.safetensors")


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_a_threshold_is_finite_and_positive(value: float) -> None:
    with pytest.raises(InputError):
        Threshold(value, "manual")
