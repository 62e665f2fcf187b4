"""Image files are read by what they declare, and none ends a run."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import EpsImagePlugin, Image, ImageOps, JpegImagePlugin

from regad.runtime.errors import InputError
from regad.runtime.imaging import reading
from regad.runtime.imaging.reading import LOW_SAMPLES, count_pages, read_image, read_picture

from ...fuzz.seeds import odd_exif, packed12, pixels, saved, tiff

RGB = Image.fromarray(pixels())
GREY12 = (np.arange(24, dtype=np.uint16) * 170).reshape(4, 6)


def stored(folder: Path, data: bytes, name: str = "part.png") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def before(data: bytes) -> NDArray[np.uint8]:
    """How 8-bit files were read before: the pixels that categories were taught with."""
    with Image.open(io.BytesIO(data)) as file:
        file.load()
        return np.asarray(ImageOps.exif_transpose(file).convert("RGB"))


# What has always been read is read as before


MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
    "JPEG": ("L", "RGB", "CMYK"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"),
    "PPM": ("1", "L", "RGB"),
    "GIF": ("1", "L", "P"),
}


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, modes in MODES.items() for mode in modes])
def test_8_bit_files_keep_their_pixels(tmp_path: Path, kind: str, mode: str) -> None:
    data = saved(RGB.convert(mode), kind)
    got = read_picture(stored(tmp_path, data))
    np.testing.assert_array_equal(got.image, before(data))
    np.testing.assert_array_equal(read_picture("its name", data=data).image, got.image)
    assert (got.notes, got.pages) == ((), 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_every_orientation_is_turned_upright(tmp_path: Path, orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(RGB, kind, exif=exif)
    np.testing.assert_array_equal(read_image(stored(tmp_path, data)), before(data))


# EXIF


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("tag", [2, 7, 10])
def test_odd_exif_data_do_not_hinder_the_orientation(tmp_path: Path, kind: str, tag: int) -> None:
    options = {"exif": odd_exif(tag)} | ({"lossless": True} if kind == "WEBP" else {})
    got = read_image(stored(tmp_path, saved(RGB, kind, **options)))
    plain = read_image(stored(tmp_path, saved(RGB, kind, **({"lossless": True} if kind == "WEBP" else {}))))
    np.testing.assert_array_equal(got, np.rot90(plain, -1))


def test_broken_exif_data_are_said(tmp_path: Path) -> None:
    got = read_picture(stored(tmp_path, saved(RGB, "PNG", exif=b"Exif\0\0garbage")))
    np.testing.assert_array_equal(got.image, pixels())
    assert "EXIF" in got.notes[0]


# Bits


def test_12_bit_tiffs_are_scaled_by_their_bits(tmp_path: Path) -> None:
    got = read_picture(stored(tmp_path, tiff(12, 1, packed12(GREY12), 6, 4)))
    np.testing.assert_array_equal(got.image[..., 0], GREY12 >> 4)
    assert got.notes == ()


def test_a_pgm_is_scaled_by_its_maximum(tmp_path: Path) -> None:
    got = read_picture(stored(tmp_path, b"P5 6 4 4095\n" + GREY12.astype(">u2").tobytes()))
    want = np.rint(GREY12 / 4095 * 65535).astype(int) >> 8
    assert np.abs(got.image[..., 0].astype(int) - want).max() <= 1
    assert got.notes == ()
    whole = (GREY12 * 16).astype(">u2")
    got = read_picture(stored(tmp_path, b"P5 6 4 65535\n" + whole.tobytes()))
    np.testing.assert_array_equal(got.image[..., 0], whole >> 8)


def test_16_bit_files_of_12_bits_are_said(tmp_path: Path) -> None:
    assert read_picture(stored(tmp_path, saved(Image.fromarray(GREY12), "PNG"))).notes == (LOW_SAMPLES,)
    assert read_picture(stored(tmp_path, saved(Image.fromarray(GREY12 * 16), "PNG"))).notes == ()
    assert read_picture(stored(tmp_path, b"P5 6 4 65535\n" + GREY12.astype(">u2").tobytes())).notes == (LOW_SAMPLES,)


def test_where_zero_is_declared_to_be_white_it_is(tmp_path: Path) -> None:
    samples = (GREY12 * 16).astype("<u2")
    np.testing.assert_array_equal(
        read_image(stored(tmp_path, tiff(16, 0, samples.tobytes(), 6, 4)))[..., 0], (65535 - samples) >> 8
    )
    eight = (GREY12 >> 4).astype(np.uint8)
    np.testing.assert_array_equal(read_image(stored(tmp_path, tiff(8, 0, eight.tobytes(), 6, 4)))[..., 0], 255 - eight)


# Pages


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "WEBP", "PNG"])
def test_several_pages_are_refused_or_read_one_by_one(tmp_path: Path, kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    pages = [Image.new("RGB", (8, 6), (level, level, level)) for level in (10, 90, 200)]
    path = stored(tmp_path, saved(pages[0], kind, save_all=True, append_images=pages[1:], **options))
    with pytest.raises(InputError, match=r"part\.png holds 3 pictures; expected one"):
        read_picture(path)
    got = [read_picture(path, page) for page in range(3)]
    assert [int(picture.image[0, 0, 0]) for picture in got] == [10, 90, 200]
    assert {picture.pages for picture in got} == {3}
    assert count_pages(path) == 3


def test_what_cannot_be_opened_counts_as_one_picture(tmp_path: Path) -> None:
    assert count_pages(tmp_path / "gone.tif") == count_pages(stored(tmp_path, b"no image")) == 1


def test_a_thumbnail_is_no_page(tmp_path: Path) -> None:
    data = io.BytesIO()
    small = RGB.resize((4, 3))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    RGB.save(data, "TIFF", save_all=True, append_images=[small])
    assert read_picture(stored(tmp_path, data.getvalue())).pages == 1


def test_of_a_phones_double_picture_the_first_is_taken_and_said(tmp_path: Path) -> None:
    got = read_picture(stored(tmp_path, saved(RGB, "MPO", save_all=True, append_images=[RGB.rotate(180)])))
    np.testing.assert_array_equal(got.image, read_image(stored(tmp_path, saved(RGB, "JPEG"))))
    assert "MPO" in got.notes[0]


# What cannot be read


@pytest.mark.parametrize(
    "error", [RuntimeError("boom\nbang"), MemoryError(), TypeError("a bytes-like object"), KeyError(5)]
)
def test_whatever_a_decoder_raises_is_an_input_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def load(file: Image.Image) -> None:
        raise error

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", load)
    with pytest.raises(InputError, match=r"part\.png cannot be read as an image: .") as caught:
        read_image(stored(tmp_path, saved(RGB, "JPEG")))
    assert "\n" not in str(caught.value)


def test_an_eps_under_another_name_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EpsImagePlugin.EpsImageFile, "load", lambda *_: pytest.fail("it was interpreted"))
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n%%EOF\n"
    with pytest.raises(InputError, match="is a EPS file; expected PNG, JPEG"):
        read_image(stored(tmp_path, eps))


def test_a_picture_above_the_limit_names_the_limit_and_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stored(tmp_path, saved(Image.new("1", (2000, 1500)), "PNG"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    with pytest.raises(InputError, match=r"more than the 2 million pixels that are read; scale it down or cut it up"):
        read_image(path)
    monkeypatch.setattr(reading, "_LARGEST", 4_000_000)
    reading.prepare_pillow()
    assert read_image(path).shape == (1500, 2000, 3)


def test_programs_read_pictures_of_16384_by_12000(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    reading.prepare_pillow()
    assert 2 * (Image.MAX_IMAGE_PIXELS or 0) >= 16384 * 12000


def test_what_is_denied_or_no_file_is_named(tmp_path: Path) -> None:
    for path, word in (
        (tmp_path, "Is a directory"),
        (tmp_path / "no.png", "does not exist"),
        (tmp_path / "\0", "null"),
    ):
        with pytest.raises(InputError, match=word):
            read_image(path)
