"""Masks are read by what their files declare."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from regad.runtime.errors import InputError
from regad.runtime.formats.spec import InputSpec
from regad.train.data.masks import read_marked, read_mask

from ...fuzz.seeds import packed12, saved, tiff

MARKED = np.zeros((12, 16), np.bool_)
MARKED[3:6, 4:9] = True


def read(folder: Path, data: bytes) -> tuple[NDArray[np.bool_], list[str]]:
    path, notes = folder / "mask.png", list[str]()
    path.write_bytes(data)
    return read_marked(path, notes.append), notes


def ints(value: int, dtype: type = np.uint8) -> NDArray[np.integer]:
    return MARKED.astype(dtype) * dtype(value)


def coloured(value: tuple[int, ...], ground: tuple[int, ...]) -> Image.Image:
    return Image.fromarray(np.where(MARKED[..., None], np.uint8(value), np.uint8(ground)))


def palette(colours: list[int], index: int = 1, ground: int = 0) -> Image.Image:
    image = Image.fromarray(np.where(MARKED, np.uint8(index), np.uint8(ground)), "P")
    image.putpalette(colours)
    return image


@pytest.mark.parametrize("value", [1, 255, 256, 65535])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_any_sample_of_16_bits_that_is_not_zero_is_defect(tmp_path: Path, value: int, kind: str) -> None:
    got, notes = read(tmp_path, saved(Image.fromarray(ints(value, np.uint16)), kind))
    np.testing.assert_array_equal(got, MARKED)
    assert notes == []


@pytest.mark.parametrize(
    "data",
    [
        saved(Image.fromarray(ints(1)), "PNG"),
        saved(Image.fromarray(MARKED), "PNG"),
        saved(Image.fromarray(ints(70_000, np.int32)), "TIFF"),
        saved(Image.fromarray(MARKED.astype(np.float32)), "TIFF"),
        saved(coloured((0, 0, 3), (0, 0, 0)), "PNG"),
        saved(coloured((0, 0, 0, 255), (255, 255, 255, 0)), "PNG"),  # opaque black on transparent white
        saved(coloured((255, 0, 0, 90), (0, 0, 0, 0)), "PNG"),
        saved(coloured((255, 255, 255, 255), (0, 0, 0, 255)), "PNG"),  # opaque throughout: colour decides
        saved(palette([255, 255, 255, 255, 0, 0]), "PNG"),  # index 0 is sound, whatever its colour
        saved(palette([0, 0, 0, 0, 0, 0]), "PNG"),
        saved(palette([0, 0, 0, 128, 0, 0]), "GIF"),
        saved(palette([90, 90, 90, 0, 0, 0, 255, 255, 255], 2, 1), "PNG"),  # no index 0: colour decides
        saved(palette([9, 9, 9, 200, 0, 0]), "PNG", transparency=0),
        tiff(8, 0, (~ints(255)).tobytes(), 16, 12),  # zero is declared to be white
        tiff(16, 0, (~ints(65535, np.uint16)).astype("<u2").tobytes(), 16, 12),
        tiff(12, 1, packed12(ints(1, np.uint16)), 16, 12),
    ],
)
def test_the_declared_meaning_decides(tmp_path: Path, data: bytes) -> None:
    got, notes = read(tmp_path, data)
    np.testing.assert_array_equal(got, MARKED)
    assert notes == []


def test_a_palette_whose_black_is_not_its_first_colour_is_said(tmp_path: Path) -> None:
    got, notes = read(tmp_path, saved(palette([255, 255, 255, 0, 0, 0]), "PNG"))
    np.testing.assert_array_equal(got, MARKED)
    assert "colour 0" in notes[0]


def test_what_a_mask_leaves_open_is_said(tmp_path: Path) -> None:
    def notes_of(mask: Image.Image, kind: str = "PNG", spec: InputSpec | None = None) -> str:
        path, notes = tmp_path / "mask.png", list[str]()
        path.write_bytes(saved(mask, kind))
        read_mask(path, (*mask.size[::-1], 3), spec or InputSpec(), notes.append)
        return "; ".join(notes)

    point = np.zeros((3000, 3000), np.uint8)
    point[1001, 1001] = 255
    assert "marks no defect" in notes_of(Image.new("L", (20, 10)))
    assert "over 95%" in notes_of(Image.new("L", (20, 10), 255))
    assert "too small" in notes_of(Image.fromarray(point))
    assert "JPEG" in notes_of(Image.fromarray(ints(255)), "JPEG")
    assert notes_of(Image.fromarray(ints(255))) == ""


def test_masks_that_cannot_be_read_exactly_are_refused(tmp_path: Path) -> None:
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    deep = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes([0, 0, 0, 1, 0, 0, 0, 1, 16, 2, 0, 0, 0]))
    deep += chunk(b"IDAT", zlib.compress(bytes(7))) + chunk(b"IEND", b"")
    with pytest.raises(InputError, match="16 bits a colour"):
        read(tmp_path, deep)
    page = Image.fromarray(ints(255))
    with pytest.raises(InputError, match="holds 2 pictures"):
        read(tmp_path, saved(page, "TIFF", save_all=True, append_images=[page]))


def test_a_mask_of_unknown_orientation_and_a_double_picture_are_said(tmp_path: Path) -> None:
    got, notes = read(tmp_path, saved(Image.fromarray(ints(255)), "PNG", exif=b"Exif\0\0garbage"))
    np.testing.assert_array_equal(got, MARKED)
    assert [note.split(",")[0] for note in notes] == ["its EXIF data cannot be read"]
    page = Image.fromarray(ints(255)).convert("RGB")
    _, notes = read(tmp_path, saved(page, "MPO", save_all=True, append_images=[page]))
    assert "MPO" in notes[0]
    assert "JPEG" in notes[1]
