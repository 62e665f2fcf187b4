"""The photos that int8 ranges are set from: of every category, in any layout, and what is passed over is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from regad.calib.int8 import MAX_IMAGES, calibration_images, quantize_encoder
from regad.export.samples import good_groups
from regad.runtime.errors import InputError
from regad.runtime.formats.spec import InputSpec


def test_calibration_images_come_from_every_category(parts: Path) -> None:
    images = calibration_images(good_groups(parts), InputSpec())
    assert images.shape == (8, 224, 224, 3)
    assert calibration_images(good_groups(parts / "wide" / "train" / "good"), InputSpec()).shape[0] == 4
    (parts / "empty" / "train" / "good").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no image of a good empty"):
        good_groups(parts)
    (parts / "empty" / "train" / "good").rmdir()
    with pytest.raises(InputError, match="expected one of minmax"):
        quantize_encoder(onnx.ModelProto(), images, "best")  # type: ignore[arg-type]


def test_no_category_is_left_out_of_calibration(tmp_path: Path) -> None:
    groups = []
    for number in range(MAX_IMAGES + 1):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(path)
        groups.append([path])
    images = calibration_images(groups, InputSpec())
    assert images[:, 0, 0, 0].tolist() == list(range(MAX_IMAGES + 1))
    twos = [[*groups[0], *groups[1]], *groups[2:41]]  # 40 categories: one image each
    assert len(calibration_images(twos, InputSpec())) == 40
    assert len(calibration_images(twos[:32], InputSpec())) == 33


@pytest.mark.parametrize("good", ["train/good", "train/ok", "good"])
def test_calibration_reads_every_layout_and_says_what_it_passes_over(tmp_path: Path, good: str) -> None:
    for name in ("nut", "screw"):
        (tmp_path / name / good).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name / good / "0.png")
    (tmp_path / "nut" / good / "readme.txt").touch()
    (tmp_path / "other").mkdir()
    said: list[str] = []
    groups = good_groups(tmp_path, said.append)
    assert groups == [[tmp_path / name / good / "0.png"] for name in ("nut", "screw")]
    assert said == [
        f"{tmp_path}: passed over, being no category: other",
        f"{tmp_path}/nut/{good}: passed over, being no image files: 1 .txt",
    ]


def test_a_category_that_cannot_be_read_is_not_left_out(parts: Path, lock: Callable[[Path], None]) -> None:
    lock(parts / "narrow")
    with pytest.raises(InputError, match=r"narrow/train/good cannot be read: Permission denied"):
        good_groups(parts)


def test_a_folder_of_photos_is_one_group(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "0.png")
    (tmp_path / "raw").mkdir()
    said: list[str] = []
    assert good_groups(tmp_path, said.append) == [[tmp_path / "0.png"]]
    assert said == [f"{tmp_path}: passed over, being no image files: 1 folder(s)"]
