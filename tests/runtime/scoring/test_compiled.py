"""The compiled scorer against the NumPy reference, and the memory it reads in place."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from regad.runtime import kernels
from regad.runtime.commands.checks import check_scorer
from regad.runtime.errors import DeviceError
from regad.runtime.formats.encodings import ENCODINGS, Encoding, Statistics, StatisticsDtype, cast_statistics
from regad.runtime.formats.features import Features
from regad.runtime.formats.memory import PADDING, is_padded, padded, padded_empty
from regad.runtime.formats.scoring import Scoring
from regad.runtime.formats.spec import LEVELS
from regad.runtime.scoring.compiled import CompiledScorer
from regad.runtime.scoring.reference import Scorer, judge

from ..noise import noise

built = pytest.mark.skipif(not kernels.available(), reason="the compiled scorer was not built (no C++ compiler)")


def drawn(batch: int, seed: int = 1) -> Features:
    rng = np.random.default_rng(seed)
    levels = (rng.random((batch, level.positions, level.channels), dtype=np.float32) for level in LEVELS)
    return Features(*levels, np.zeros((batch, 3, 2, 3), np.float32))


def statistics(encoding: Encoding, rank: int, dtype: StatisticsDtype = "fp32") -> Statistics:
    """Tensors of the right shapes whose triangles are small, so that squares stay positive in every form."""
    shapes = ENCODINGS[encoding](rank).items()
    tensors = {
        name: noise(seed, shape, 1 if name.startswith("mean") else 0.02) for seed, (name, shape) in enumerate(shapes)
    }
    return cast_statistics(Statistics(encoding, rank, rank + 1, tensors), dtype)


@built
def test_what_the_library_refuses_and_what_memory_refuses_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    stats, cut = statistics("gram", 2), statistics("gram", 2)
    dict.popitem(cut.tensors)  # type: ignore[arg-type]  # which no reader lets through
    with pytest.raises(DeviceError, match=r"scorer of gram statistics does not take what it was given \(status 2\)"):
        CompiledScorer(cut)
    scorer, library = CompiledScorer(stats), kernels.library()
    full = SimpleNamespace(regad_embedded_scorer=lambda *args: 1, regad_embedded_score=lambda *args: 1)
    monkeypatch.setattr(kernels, "library", lambda: full)
    with pytest.raises(DeviceError, match="scorer of gram statistics ran out of memory; free some, or load fewer"):
        CompiledScorer(stats)
    monkeypatch.setattr(scorer, "_library", full)
    with pytest.raises(DeviceError, match="scorer ran out of memory; free some, or judge fewer images at a time"):
        scorer.score(drawn(1))
    scorer._library = library  # frees it


@built
@pytest.mark.parametrize("dtype", get_args(StatisticsDtype))
@pytest.mark.parametrize(
    ("encoding", "rank"),
    [
        *(("gram", rank) for rank in (1, 2, 16, 17, 43, 87)),
        *(("hybrid", rank) for rank in (21, 259)),
        ("cholesky", 3),
    ],
)
def test_it_is_the_reference(encoding: Encoding, rank: int, dtype: StatisticsDtype) -> None:
    stats, features = statistics(encoding, rank, dtype), drawn(2)
    expected = Scorer(stats)
    got = CompiledScorer(stats, threads=2)
    (distances,) = wanted = expected.mahalanobis(features)
    np.testing.assert_allclose(got.mahalanobis(features)[0], distances, rtol=0, atol=2e-6 * distances.max())
    for ours, theirs in zip(got.score(features), judge(wanted, Scoring()), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6 * theirs.max())


@built
def test_images_of_a_batch_and_numbers_of_threads_give_the_same_bits() -> None:
    stats, features = statistics("gram", 9), drawn(3)
    (together,) = CompiledScorer(stats, threads=2).mahalanobis(features)
    for image in range(3):
        alone = Features(*(level[image : image + 1] for level in features))
        assert np.array_equal(CompiledScorer(stats, threads=1).mahalanobis(alone)[0][0], together[image])


@built
def test_threads_share_a_scorer() -> None:
    scorer = CompiledScorer(statistics("hybrid", 5), threads=2)
    queries = [drawn(1, seed) for seed in range(4)]
    expected = [scorer.score(query)[0] for query in queries]
    got: list[list[NDArray[np.float32]]] = [[] for _ in queries]

    def work(index: int) -> None:
        got[index] = [scorer.score(queries[index])[0] for _ in range(5)]

    workers = [threading.Thread(target=work, args=(index,)) for index in range(len(queries))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(np.array_equal(heat, expected[index]) for index, maps in enumerate(got) for heat in maps)


@built
def test_statistics_are_read_where_they_lie() -> None:
    stats = statistics("gram", 4)
    mine = {name: padded(tensor) for name, tensor in stats.tensors.items()}
    scorer = CompiledScorer(Statistics("gram", 4, 5, mine))
    query = drawn(1)
    before = scorer.mahalanobis(query)
    mine["mean1"] += 1
    assert not np.array_equal(scorer.mahalanobis(query), before)


@built
def test_features_of_another_shape_are_refused() -> None:
    features = drawn(1)
    with pytest.raises(DeviceError, match=r"f2 is float64 .* expected float32 \[1, 784, 128\]"):
        CompiledScorer(statistics("gram", 2)).score(features._replace(f2=features.f2.astype(np.float64)))


@built
def test_a_library_of_another_version_says_how_to_build_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_VERSION", 0)
    monkeypatch.setattr(kernels, "_library", kernels._library.__wrapped__)
    (finding,) = check_scorer()
    assert (finding.level, finding.remedy) == ("problem", kernels.BUILD)
    assert finding.text.endswith(", expected 0")


def test_a_missing_library_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_library", lambda: None)
    (finding,) = check_scorer()
    assert (finding.level, finding.remedy) == ("note", kernels.BUILD)
    assert "not compiled" in finding.text
    with pytest.raises(DeviceError, match="were not built"):
        CompiledScorer(statistics("gram", 2))


@built
def test_the_doctor_names_the_instruction_set() -> None:
    (finding,) = check_scorer()
    assert finding.level == "ok"
    assert kernels.kernels() in finding.text


@settings(max_examples=50, deadline=None)
@given(shape=st.lists(st.integers(1, 9), min_size=1, max_size=3), half=st.booleans())
def test_padded_arrays(shape: list[int], half: bool) -> None:
    dtype = np.float16 if half else np.float32
    made = padded_empty(tuple(shape), dtype)
    assert made.shape == tuple(shape)
    assert made.dtype == dtype
    assert made.ctypes.data % 64 == 0
    assert is_padded(made)
    plain = np.arange(made.size, dtype=dtype).reshape(made.shape)
    copy = padded(plain)
    assert is_padded(copy)
    assert np.array_equal(copy, plain)
    assert padded(copy) is copy


def test_what_is_not_padded() -> None:
    assert not is_padded(np.zeros(8, np.float32))
    behind = np.ones(8 + PADDING, np.float32)
    assert not is_padded(behind[:8])
    assert not is_padded(padded_empty((8, 8), np.float32)[:, :4])
