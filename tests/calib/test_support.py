"""Folders of good images: what is taken, what is refused, what is said."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from regad.calib.folder import teach_folder
from regad.calib.support import draw_support, list_images, read_good_images, refuse_copies
from regad.calib.teach import teach
from regad.runtime.detector import Detector
from regad.runtime.errors import InputError
from regad.runtime.formats.spec import InputSpec
from regad.runtime.model import Model


def part(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8)


def save(folder: Path, name: str, seed: int) -> None:
    folder.mkdir(exist_ok=True)
    Image.fromarray(part(seed)).save(folder / name)


def unused() -> Detector:
    """A detector whose backend is not reached: copies are refused before anything is encoded."""
    backend = SimpleNamespace(working=nullcontext)
    return Detector(Model(cast(Any, SimpleNamespace(spec=InputSpec())), cast(Any, backend)), InputSpec())


def test_a_picture_saved_twice_in_other_formats_is_refused_with_both_names(tmp_path: Path) -> None:
    save(tmp_path, "a.png", 0)
    save(tmp_path, "b.bmp", 0)
    save(tmp_path, "c.png", 1)
    with pytest.raises(InputError, match=r"^a\.png and b\.bmp are the same picture, and a copy shows nothing new"):
        teach_folder(unused(), tmp_path)


def test_a_support_image_among_the_validation_images_is_refused(tmp_path: Path) -> None:
    for name, seed in (("a.png", 0), ("b.png", 1)):
        save(tmp_path / "support", name, seed)
    save(tmp_path / "validation", "a.png", 2)
    save(tmp_path / "validation", "z.tif", 1)
    with pytest.raises(InputError, match=rf"^b\.png and {tmp_path}/validation/z\.tif are the same picture"):
        teach_folder(unused(), tmp_path / "support", validation=tmp_path / "validation")


def test_the_same_array_twice_is_refused() -> None:
    image = part(0)
    with pytest.raises(InputError, match=r"^array 0 and array 1 are the same picture"):
        unused().fit([image, image.copy()])
    with pytest.raises(InputError, match=r"^array 1 and validation array 0 are the same picture"):
        teach(unused().model, [part(0), part(1)], InputSpec(), validation=[part(1)])


def test_grey_and_colour_of_one_picture_are_copies_and_a_turned_one_is_none() -> None:
    grey = part(0)[..., 0]
    with pytest.raises(InputError):
        refuse_copies([grey, np.repeat(grey[..., None], 3, axis=2)], ["a", "a"])
    refuse_copies([grey, grey.T, grey[::-1]], ["a", "b", "c"])
    refuse_copies([np.zeros((2, 6), np.uint8), np.zeros((3, 4), np.uint8)], ["a", "b"])


def test_what_else_is_in_the_folder_and_odd_about_the_photos_is_said(tmp_path: Path) -> None:
    for number in (1, 2):
        Image.fromarray((part(number)[..., 0].astype(np.uint16)) << 4).save(tmp_path / f"{number}.png")
    save(tmp_path, "3.png", 3)
    (tmp_path / "notes.txt").touch()
    said: list[str] = []
    read = read_good_images(list_images(tmp_path, said.append), said.append)
    assert [file.name for file in read.files] == ["1.png", "2.png", "3.png"]
    assert said[0] == f"{tmp_path}: passed over, being no image files: 1 .txt"
    assert said[1].startswith("1.png and 1 more: its 16-bit samples all stay below 4096")
    assert len(said) == 2


def test_folders_that_cannot_be_used_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        list_images(tmp_path / "absent")
    (tmp_path / "part.heic").touch()
    with pytest.raises(InputError, match=r"holds no image files; .*passed over, being no image files: 1 \.heic"):
        list_images(tmp_path)

    def denied(folder: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        list_images(tmp_path)


def test_names_that_are_not_utf8_are_stored_with_replacement(tmp_path: Path) -> None:
    save(tmp_path, "a.png", 0)
    (tmp_path / "a.png").rename(tmp_path / os.fsdecode(b"pr\xfcf.png"))
    (file,) = read_good_images(draw_support(list_images(tmp_path), None)).files
    assert file.name == "pr\ufffdf.png"
    file.name.encode()
