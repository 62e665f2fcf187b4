"""The native preprocessing against Pillow's, byte for byte."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from regad.runtime.cabi import PixelFormat, _Image, _view
from regad.runtime.errors import InputError
from regad.runtime.formats.scoring import Shown
from regad.runtime.formats.spec import Fit, InputSpec, Resample
from regad.runtime.imaging.preprocess import place, resample_with_pillow
from regad.runtime.scoring.reference import smoothing_matrix

FITS: tuple[Fit, ...] = ("stretch", "letterbox", "crop")
FORMATS: tuple[PixelFormat, ...] = ("RGB", "BGR", "RGBA", "BGRA", "GRAY")
RESAMPLES: tuple[Resample, ...] = ("box", "lanczos", "bilinear")
# Inside a sanitized run the bytes were compared before.
EXAMPLES = 15 if "REGAD_NATIVE_BUILD" in os.environ else 40


@pytest.fixture(scope="module")
def probe(native_build: Path) -> ctypes.CDLL:
    """The library's insides."""
    return ctypes.CDLL(str(native_build / "tests" / "libregad_probe.so"))


def preprocess(image: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    """The encoder's input as Pillow makes it."""
    rgb = np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image
    return resample_with_pillow(rgb, place(rgb.shape[1], rgb.shape[0], spec), spec.resample)


def native(
    probe: ctypes.CDLL,
    image: NDArray[np.uint8],
    spec: InputSpec,
    threads: int = 1,
    pixel_format: PixelFormat | None = None,
) -> NDArray[np.uint8] | None:
    """The library's input for an image, or None if it refuses it."""
    out = np.full((224, 224, 3), 99, np.uint8)
    view: _Image = _view(image, pixel_format)
    roi = None if spec.roi is None else (ctypes.c_int64 * 4)(*spec.roi)
    fit, resample = FITS.index(spec.fit), RESAMPLES.index(spec.resample)
    pointer = ctypes.c_void_p(out.ctypes.data)
    return out if probe.probe_preprocess(ctypes.byref(view), fit, resample, roi, threads, pointer) == 0 else None


class Case(NamedTuple):
    """An image in memory, and what Python is given for it."""

    image: NDArray[np.uint8]
    pixel_format: PixelFormat
    rgb: NDArray[np.uint8]


def content(rng: np.random.Generator, kind: str, height: int, width: int) -> NDArray[np.uint8]:
    """RGB noise, a smooth ramp, or hard black and white: the last makes lanczos ring beyond 0 and 255."""
    if kind == "noise":
        return rng.integers(0, 256, (height, width, 3), np.uint8)
    y, x = np.mgrid[0:height, 0:width]
    if kind == "ramp":
        return np.stack([y + x, 2 * y, x], axis=2).astype(np.uint8)
    return np.repeat((255 * ((x // 7 + y // 5) % 2)).astype(np.uint8)[:, :, None], 3, axis=2)


def in_memory(rng: np.random.Generator, rgb: NDArray[np.uint8], pixel_format: PixelFormat, gap: int) -> Case:
    """The image in a pixel format, with ``gap`` more pixels from one row to the next."""
    height, width, _ = rgb.shape
    if pixel_format == "GRAY":
        rows = rng.integers(0, 256, (height, width + gap), np.uint8)
        rows[:, :width] = rgb[:, :, 1]
        return Case(rows[:, :width], pixel_format, rows[:, :width].copy())
    rows = rng.integers(0, 256, (height, width + gap, len(pixel_format)), np.uint8)
    rows[:, :width, :3] = rgb[:, :, ::-1] if pixel_format.startswith("B") else rgb
    return Case(rows[:, :width], pixel_format, rgb)


@st.composite
def regions(draw: st.DrawFn, height: int, width: int) -> tuple[int, int, int, int] | None:
    """No region of interest, or one inside the image."""
    if draw(st.booleans()):
        return None
    x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return x, y, draw(st.integers(1, width - x)), draw(st.integers(1, height - y))


@pytest.mark.parametrize("resample", RESAMPLES)
@pytest.mark.parametrize("fit", FITS)
@settings(max_examples=EXAMPLES)
@given(data=st.data(), height=st.integers(1, 1200), width=st.integers(1, 1200), seed=st.integers(0, 2**32 - 1))
def test_every_byte_of_random_images(
    probe: ctypes.CDLL, fit: Fit, resample: Resample, data: st.DataObject, height: int, width: int, seed: int
) -> None:
    """Random sizes (larger and smaller than the input), contents, formats, strides, regions; 1 and 2 threads."""
    rng = np.random.default_rng(seed)
    rgb = content(rng, data.draw(st.sampled_from(["noise", "ramp", "edges"])), height, width)
    case = in_memory(rng, rgb, data.draw(st.sampled_from(FORMATS)), data.draw(st.integers(0, 5)))
    spec = InputSpec(fit=fit, resample=resample, roi=data.draw(regions(height, width)))
    got = native(probe, case.image, spec, data.draw(st.sampled_from([1, 2])), case.pixel_format)
    np.testing.assert_array_equal(got, preprocess(case.rgb, spec))


@pytest.mark.parametrize("size", [(224, 224), (224, 500), (500, 224), (1, 1), (1, 3000), (1080, 1920), (223, 225)])
def test_sizes_that_are_special(probe: ctypes.CDLL, size: tuple[int, int]) -> None:
    """Sides that need no pass, one pixel, a full camera frame."""
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    for fit in FITS:
        for resample in RESAMPLES:
            spec = InputSpec(fit=fit, resample=resample)
            np.testing.assert_array_equal(native(probe, image, spec), preprocess(image, spec))


def test_grey_alpha_and_strides(probe: ctypes.CDLL) -> None:
    """Grey is repeated, alpha ignored, rows may have gaps or run upwards."""
    rng = np.random.default_rng(2)
    spec = InputSpec(resample="lanczos")
    wide = rng.integers(0, 256, (300, 400, 4), np.uint8)
    grey = wide[:, :, 0].copy()
    np.testing.assert_array_equal(native(probe, grey, spec), preprocess(grey, spec))
    np.testing.assert_array_equal(native(probe, wide, spec), preprocess(wide[:, :, :3], spec))
    np.testing.assert_array_equal(native(probe, wide[:, 50:333], spec), preprocess(wide[:, 50:333, :3], spec))
    np.testing.assert_array_equal(native(probe, wide[::-1], spec), preprocess(wide[::-1, :, :3], spec))
    np.testing.assert_array_equal(native(probe, wide[::3], spec), preprocess(wide[::3, :, :3], spec))


def test_region_outside_the_image(probe: ctypes.CDLL) -> None:
    """Refused by both."""
    image = np.zeros((50, 60, 3), np.uint8)
    for roi in ((0, 0, 61, 5), (59, 0, 2, 5), (0, 50, 1, 1)):
        spec = InputSpec(roi=roi)
        with pytest.raises(InputError):
            preprocess(image, spec)
        assert native(probe, image, spec) is None


@pytest.mark.parametrize(("shown", "grid"), [("raw", 56), ("product", 28)])
def test_smoothing_matrix(probe: ctypes.CDLL, shown: Shown, grid: int) -> None:
    """The matrix that upsamples and smooths, to float32's last digits."""
    matrix = np.empty((224, grid), np.float32)
    probe.probe_smoothing_matrix(ctypes.c_size_t(grid), ctypes.c_void_p(matrix.ctypes.data))
    np.testing.assert_allclose(matrix, smoothing_matrix(shown), rtol=2e-6, atol=1e-9)
