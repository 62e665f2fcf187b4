from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from regad.runtime.errors import InputError
from regad.train.data import episodes as data

from ..helpers import make_data

sizes = st.dictionaries(st.text("abcd", min_size=1, max_size=2), st.integers(4, 20), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(sizes, st.integers(1, 7), st.integers(1, 3), st.integers(0, 99), st.integers(0, 5))
def test_an_epoch_of_episodes(sizes: dict[str, int], batch: int, shot: int, seed: int, number: int) -> None:
    sampler = data.EpisodeSampler(sizes, batch, shot, seed)
    episodes = list(sampler.epoch(number))
    assert len(episodes) == len(sampler)
    seen: dict[str, list[int]] = {name: [] for name in sizes}
    for episode in episodes:
        size = sizes[episode.category]
        assert 1 <= len(episode.queries) <= batch
        assert episode.supports.shape == (len(episode.queries), shot)
        assert episode.supports.min() >= 0
        assert episode.supports.max() < size
        for query, supports in zip(episode.queries, episode.supports, strict=True):
            assert query not in supports
            assert len(set(supports.tolist())) == shot
        seen[episode.category] += episode.queries.tolist()
    assert {name: sorted(indices) for name, indices in seen.items()} == {
        name: list(range(size)) for name, size in sizes.items()
    }


def flat(sampler: data.EpisodeSampler, number: int) -> list[tuple[str, list[int], list[list[int]]]]:
    return [(e.category, e.queries.tolist(), e.supports.tolist()) for e in sampler.epoch(number)]


def test_episodes_depend_on_seed_and_epoch_only() -> None:
    sizes = {"a": 30, "b": 20}
    first, second = (data.EpisodeSampler(s, 8, 2, 5) for s in (sizes, dict(reversed(sizes.items()))))
    assert flat(first, 3) == flat(second, 3)
    assert flat(first, 3) == flat(first, 3)
    assert flat(first, 3) != flat(first, 4)
    assert flat(first, 3) != flat(data.EpisodeSampler(sizes, 8, 2, 6), 3)


def test_every_other_image_can_be_a_support() -> None:
    sampler = data.EpisodeSampler({"a": 4}, 4, 1, 0)
    pairs = {
        (int(q), int(s))
        for n in range(80)
        for e in sampler.epoch(n)
        for q, s in zip(e.queries, e.supports[:, 0], strict=True)
    }
    assert pairs == {(q, s) for q in range(4) for s in range(4) if q != s}


def test_training_images(tmp_path: Path) -> None:
    make_data(tmp_path, {"screw": 4, "nut": 3, "bolt": 5})
    (tmp_path / "notes").mkdir()
    (tmp_path / "nut" / "train" / "good" / "readme.txt").write_text("x")
    (tmp_path / "nut" / "train" / "good" / "._000.png").write_bytes(b"x")
    got = data.training_images(tmp_path, ["bolt"], 2)
    assert {name: [path.name for path in paths] for name, paths in got.items()} == {
        "nut": ["000.png", "001.png", "002.png"],
        "screw": ["000.png", "001.png", "002.png", "003.png"],
    }


def test_unusable_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; expected DIR/<category>/train/good"):
        data.training_images(tmp_path / "absent", [], 2)
    with pytest.raises(InputError, match="holds no category; expected DIR/<category>/train/good"):
        data.training_images(tmp_path, [], 2)
    make_data(tmp_path, {"screw": 4, "nut": 2})
    with pytest.raises(InputError, match="is one category; name the folder above it"):
        data.training_images(tmp_path / "screw", [], 2)
    with pytest.raises(InputError, match=r"nut has 2 good image\(s\); --shot 2 needs 3 or more"):
        data.training_images(tmp_path, [], 2)
    with pytest.raises(InputError, match=r"--hold-out bolt is not in .* it holds nut, screw"):
        data.training_images(tmp_path, ["bolt"], 2)
    make_data(tmp_path / "single", {"nut": 1})
    with pytest.raises(InputError, match=r"nut has 1 good image\(s\); --shot 1 needs 2 or more"):
        data.training_images(tmp_path / "single", [], 1)
    with pytest.raises(InputError, match="all categories"):
        data.training_images(tmp_path, ["nut", "screw"], 2)
    (tmp_path / "void" / "train" / "good").mkdir(parents=True)
    with pytest.raises(InputError, match="good holds no image of a good void"):
        data.training_images(tmp_path, ["nut"], 2)


def test_to_input() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    got = data.to_input(images)
    assert list(got.shape) == [2, 3, 224, 224]
    assert got.dtype == torch.float32
    assert np.array_equal(got[1, 2].numpy(), images[1, :, :, 2].astype(np.float32) / np.float32(255))
