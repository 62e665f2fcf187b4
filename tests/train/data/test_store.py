from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from regad.runtime.errors import InputError, OutputError
from regad.runtime.formats.spec import InputSpec
from regad.runtime.imaging.preprocess import preprocess
from regad.runtime.imaging.reading import LOW_SAMPLES, Picture, read_image, read_picture
from regad.train.data import store
from regad.train.data.layouts import good_images
from regad.train.data.store import ImageStore, ahead

from ..helpers import make_data

SPEC = InputSpec(fit="letterbox", resample="lanczos")
IMAGE = 224 * 224 * 3


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, list[Path]]:
    root = make_data(tmp_path / "data", {"a": 8, "b": 5})
    return {name: good_images(root, name) for name in ("a", "b")}


def expected(paths: dict[str, list[Path]], name: str, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
    images = [preprocess(read_image(paths[name][index]), SPEC) for index in indices.ravel()]
    return np.stack(images).reshape(*indices.shape, 224, 224, 3)


@pytest.mark.parametrize("kind", ["memory", "disk"])
@pytest.mark.parametrize(("bound", "kept"), [(0, 0), (1, 6), (100, 13)])
def test_images_are_the_runtimes_whatever_is_kept(
    tmp_path: Path, paths: dict[str, list[Path]], kind: str, bound: int, kept: int
) -> None:
    images = ImageStore(paths, SPEC, bound, workers=2)
    told: list[int] = []
    images.fill(tmp_path / "train.images" if kind == "disk" else None, told.append)
    assert images.kept == kept == len(told)
    assert told == list(range(1, kept + 1))
    assert images.sizes == {"a": 8, "b": 5}
    for name, indices in (("a", np.array([7, 0, 5])), ("b", np.array([[0, 4], [1, 1]]))):
        got = images.take(name, indices)
        assert got.dtype == np.uint8
        assert np.array_equal(got, expected(paths, name, indices))
    images.close()
    if kind == "disk" and kept:
        assert (tmp_path / "train.images").stat().st_size == kept * IMAGE
        assert not (tmp_path / "train.part").exists()


def reads(paths: dict[str, list[Path]], file: Path, monkeypatch: pytest.MonkeyPatch, bound: int = 100) -> int:
    """Fill from ``file`` and count the images decoded for it; what comes out must be right."""
    count = 0

    def counting(path: Path) -> Picture:
        nonlocal count
        count += 1
        return read_picture(path)

    monkeypatch.setattr(store, "read_picture", counting)
    images = ImageStore(paths, SPEC, bound, workers=1)
    images.fill(file)
    filled = count
    assert np.array_equal(images.take("a", np.arange(3)), expected(paths, "a", np.arange(3)))
    images.close()
    return filled


def test_a_file_is_used_again_only_for_the_same_images(
    tmp_path: Path, paths: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "train.images"
    assert reads(paths, file, monkeypatch) == 13
    assert reads(paths, file, monkeypatch) == 0
    assert reads(paths, file, monkeypatch, bound=1) == 6
    assert reads(paths, file, monkeypatch) == 13
    changed = paths["a"][0]
    os.utime(changed, ns=(1, 1))
    assert reads(paths, file, monkeypatch) == 13
    file.write_bytes(file.read_bytes()[:-1])
    assert reads(paths, file, monkeypatch) == 13
    file.with_suffix(".key").unlink()
    assert reads(paths, file, monkeypatch) == 13


def test_a_file_that_was_cut_short_by_a_failure_is_not_used(
    tmp_path: Path, paths: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "train.images"
    whole = paths["b"][2].read_bytes()
    paths["b"][2].write_bytes(whole[:60])
    with pytest.raises(InputError, match=r"002\.png"):
        ImageStore(paths, SPEC, 100, workers=1).fill(file)
    assert not file.exists()
    paths["b"][2].write_bytes(whole)
    assert reads(paths, file, monkeypatch) == 13


def test_a_corrupt_image_is_named(paths: dict[str, list[Path]]) -> None:
    paths["a"][1].write_bytes(paths["a"][1].read_bytes()[:60])
    with pytest.raises(InputError, match=r"001\.png"):
        ImageStore(paths, SPEC, 100, workers=2).fill()
    beyond = ImageStore(paths, SPEC, 0, workers=2)
    beyond.fill()
    with pytest.raises(InputError, match=r"001\.png"):
        beyond.take("a", np.array([0, 1]))


def test_a_folder_that_cannot_be_written(tmp_path: Path, paths: dict[str, list[Path]]) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"cannot write .*use --cache memory"):
        ImageStore(paths, SPEC, 100, workers=1).fill(tmp_path / "file" / "train.images")


@pytest.mark.parametrize("threaded", [True, False])
def test_ahead_keeps_the_order_and_passes_errors_on(threaded: bool) -> None:
    assert list(ahead(iter(range(20)), lambda n: n * n, threaded)) == [n * n for n in range(20)]
    assert list(ahead(iter(()), lambda n: n, threaded)) == []

    def fail(number: int) -> int:
        if number == 3:
            raise InputError("three")
        return number

    got: list[int] = []
    with pytest.raises(InputError, match="three"):
        got.extend(ahead(iter(range(9)), fail, threaded))
    assert len(got) <= 3


def test_the_next_batches_are_made_while_one_is_used() -> None:
    made = [threading.Event() for _ in range(5)]

    def make(number: int) -> int:
        made[number].set()
        return number

    batches: Iterator[int] = ahead(iter(range(5)), make)
    assert next(batches) == 0
    assert made[1].wait(10)
    assert made[2].wait(10)
    assert not made[4].is_set()
    assert list(batches) == [1, 2, 3, 4]


def make_low(path: Path, level: int) -> None:
    """Write 16-bit samples that are all low, of which a note says so."""
    Image.fromarray(np.full((20, 30), level, np.uint16)).save(path)


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_what_is_odd_is_said_once_with_the_number_of_images(
    tmp_path: Path, paths: dict[str, list[Path]], kind: str
) -> None:
    for index in (1, 3, 4):
        make_low(paths["a"][index], 1000 + index)
    said: list[str] = []
    images = ImageStore(paths, SPEC, 100, workers=4, say=said.append)
    images.fill(tmp_path / "train.images" if kind == "disk" else None)
    assert said == [f"{paths['a'][1]} and 2 more: {LOW_SAMPLES}"]
    images.take("a", np.arange(8))
    images.close()
    assert len(said) == 1


def test_a_file_that_is_used_again_says_what_was_odd(
    tmp_path: Path, paths: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_low(paths["b"][2], 1000)
    said: list[str] = []
    for _ in range(2):
        ImageStore(paths, SPEC, 100, workers=1, say=said.append).fill(tmp_path / "train.images")
        monkeypatch.setattr(store, "read_picture", lambda path: pytest.fail("decoded again"))
    assert said == 2 * [f"{paths['b'][2]}: {LOW_SAMPLES}"]


def test_what_is_odd_of_images_that_are_not_kept_is_said_once(paths: dict[str, list[Path]]) -> None:
    for index in range(8):
        make_low(paths["a"][index], 1000 + index)
    said: list[str] = []
    images = ImageStore(paths, SPEC, 0, workers=4, say=said.append)
    images.fill()
    for _ in range(3):
        images.take("a", np.arange(8))
    images.close()
    assert said == [f"{paths['a'][0]}, and perhaps others that are not kept: {LOW_SAMPLES}"]
