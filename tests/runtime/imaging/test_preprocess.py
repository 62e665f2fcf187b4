"""Reading and placing images: every kind of file, every geometry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from regad.runtime import kernels
from regad.runtime.errors import DeviceError, InputError
from regad.runtime.formats.spec import Fit, InputSpec, Resample
from regad.runtime.imaging.preprocess import as_rgb8, from_map, place, preprocess, preprocess_mask, resample_with_pillow
from regad.runtime.imaging.reading import read_image

SIDES = st.integers(1, 700)


def gradient(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x + y) % 256], -1).astype(np.uint8)


def test_an_rgb_file_comes_back_as_written(tmp_path: Path) -> None:
    image = gradient(40, 60)
    Image.fromarray(image).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == image).all()


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    image = gradient(40, 60)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to view
    Image.fromarray(image).save(tmp_path / "a.png", exif=exif)
    assert (read_image(tmp_path / "a.png") == np.rot90(image, -1)).all()


def test_of_16_bit_files_the_high_byte_is_taken(tmp_path: Path) -> None:
    grey = (np.arange(12, dtype=np.uint16) * 5000).reshape(3, 4)
    Image.fromarray(grey).save(tmp_path / "a.png")
    want = np.repeat((grey >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    assert (read_image(tmp_path / "a.png") == want).all()
    assert (as_rgb8(grey) == want).all()


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK", "LA"])
def test_every_8_bit_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "tif" if mode == "CMYK" else "png"
    Image.fromarray(gradient(8, 9)).convert(mode).save(tmp_path / f"a.{suffix}")
    got = read_image(tmp_path / f"a.{suffix}")
    assert got.shape == (8, 9, 3)
    assert got.dtype == np.uint8


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not an image")
    Image.fromarray(gradient(64, 64)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:100])
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tif")
    for name, word in (
        ("text.png", "not an image"),
        ("cut.png", "cannot be read"),
        ("float.tif", "32-bit"),
        ("no.png", "exist"),
    ):
        with pytest.raises(InputError, match=word) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_unusable_arrays_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(InputError, match="expected uint8"):
        as_rgb8(bad)


@given(SIDES, SIDES, st.sampled_from(["stretch", "letterbox", "crop"]))
def test_any_size_lands_inside_the_square(width: int, height: int, fit: str) -> None:
    spot = place(width, height, InputSpec(fit=fit))
    left, top, right, bottom = spot.box
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert 0 <= spot.left <= spot.left + spot.width <= 224
    assert 0 <= spot.top <= spot.top + spot.height <= 224
    if fit == "letterbox":
        assert max(spot.width, spot.height) == 224
    else:
        assert (spot.width, spot.height) == (224, 224)
    if fit == "crop":
        assert right - left == bottom - top == min(width, height)


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(["stretch", "letterbox", "crop"]))
def test_a_plain_image_stays_plain(width: int, height: int, fit: str) -> None:
    out = preprocess(np.full((height, width, 3), 77, np.uint8), InputSpec(fit=fit))
    assert out.shape == (224, 224, 3)
    assert out.dtype == np.uint8
    assert set(np.unique(out)) <= ({0, 77} if fit == "letterbox" else {77})


def test_box_is_the_mean_of_each_cell() -> None:
    image = np.random.default_rng(0).integers(0, 256, (448, 672, 3), dtype=np.uint8)
    want = image.reshape(224, 2, 224, 3, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(preprocess(image, InputSpec()) - want).max() <= 1.0


def test_the_region_of_interest_is_all_that_is_seen() -> None:
    image = gradient(300, 400)
    spec = InputSpec(roi=(50, 20, 224, 224))
    assert (preprocess(image, spec) == image[20:244, 50:274]).all()
    with pytest.raises(InputError, match="does not fit the image of 200x100"):
        preprocess(gradient(100, 200), spec)


def test_a_mask_takes_the_same_way_as_its_image() -> None:
    mask = np.zeros((300, 600), np.uint8)
    mask[100:200, 200:400] = 255
    for fit in ("stretch", "letterbox", "crop"):
        spec = InputSpec(fit=fit)
        image = preprocess(np.repeat(mask[:, :, None], 3, axis=2), spec)[:, :, 0] > 127
        assert (preprocess_mask(mask, spec) != image).mean() < 0.01, fit


def test_the_map_goes_back_to_where_it_was_seen() -> None:
    heat = np.zeros((224, 224), np.float32)
    heat[100:124, 100:124] = 1.0
    whole = from_map(heat, InputSpec(roi=(300, 100, 448, 448)), (600, 800))
    y, x = np.nonzero(whole > 0.5)
    assert (y.min(), y.max() + 1, x.min(), x.max() + 1) == (300, 348, 500, 548)
    assert whole[:100].max() == 0


@pytest.mark.skipif(not kernels.available(), reason="the compiled resampler was not built (no C++ compiler)")
@pytest.mark.parametrize("resample", ["box", "lanczos", "bilinear"])
@settings(max_examples=60)
@given(data=st.data(), height=st.integers(1, 1300), width=st.integers(1, 1300), seed=st.integers(0, 2**32 - 1))
def test_the_compiled_resampler_is_pillow(
    resample: Resample, data: st.DataObject, height: int, width: int, seed: int
) -> None:
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    roi = (x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    fits: tuple[Fit, ...] = ("stretch", "letterbox", "crop")
    spec = InputSpec(data.draw(st.sampled_from(fits)), resample, data.draw(st.sampled_from([None, roi])))
    whole = np.random.default_rng(seed).integers(0, 256, (height + 1, width + 2, 3), np.uint8)
    image = whole[:height, 1 : width + 1]  # ends with the memory of the array's last row but one
    turn = data.draw(st.sampled_from([(1, 1), (-1, 1), (1, -1)]))
    image = image[:: turn[0], :: turn[1]]
    spot = place(width, height, spec)
    np.testing.assert_array_equal(preprocess(image, spec), resample_with_pillow(image, spot, resample))
    tight = np.ascontiguousarray(image)  # ends with its memory
    np.testing.assert_array_equal(preprocess(tight, spec), resample_with_pillow(tight, spot, resample))


@settings(max_examples=20)
@given(height=st.integers(600, 1100), width=st.integers(900, 1300), threads=st.sampled_from([2, 3, 16, None]))
def test_threads_change_no_bit(height: int, width: int, threads: int | None) -> None:
    image = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    for spec in (InputSpec(), InputSpec(resample="lanczos", fit="letterbox")):
        np.testing.assert_array_equal(preprocess(image, spec, threads), preprocess(image, spec))


def test_only_a_large_region_wakes_other_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def pool(threads: int) -> int:
        asked.append(threads)
        return shared_pool(threads)

    shared_pool = kernels.shared_pool
    monkeypatch.setattr(kernels, "shared_pool", pool)
    image = np.zeros((1080, 1920, 3), np.uint8)
    for spec in (InputSpec(), InputSpec(roi=(10, 20, 640, 480))):
        preprocess(image, spec, 3)
    assert asked == [3, 1]


def test_without_the_compiled_resampler_pillow_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    image, spec = gradient(300, 400), InputSpec(fit="letterbox")
    expected = preprocess(image, spec)
    monkeypatch.setattr(kernels, "_library", lambda: None)
    np.testing.assert_array_equal(preprocess(image, spec), expected)
    with pytest.raises(DeviceError, match="were not built"):
        kernels.resample(image, (0, 0, 400, 300), (0, 0, 224, 224), "box")


@pytest.mark.parametrize(
    "wrong", [{"fit": "pad"}, {"resample": "cubic"}, {"roi": (0, 0, 0, 5)}, {"size": 256}, {"std": (1, 0, 1)}]
)
def test_a_wrong_spec_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        InputSpec(**wrong)  # type: ignore[arg-type]


def test_a_spec_survives_json() -> None:
    spec = InputSpec(fit="crop", resample="lanczos", roi=(1, 2, 3, 4), mean=(0.1, 0.2, 0.3), std=(1, 2, 3))
    assert InputSpec.from_json(spec.to_json()) == spec
    for name in spec.to_json():
        broken = {key: value for key, value in spec.to_json().items() if key != name}
        with pytest.raises(InputError):
            InputSpec.from_json(broken)
