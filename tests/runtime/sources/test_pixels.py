"""Buffers of a GenICam camera as images: unit vectors for every format, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from regad.runtime.errors import InputError
from regad.runtime.sources.capture import to_rgb
from regad.runtime.sources.pixels import FORMATS, to_image

CODES = {form.name: code for code, form in FORMATS.items()}
COLOUR = {"R": 200, "G": 100, "B": 50}


def test_mono8_is_the_bytes_and_padding_is_passed_over() -> None:
    data = bytes([1, 2, 3, 0, 4, 5, 6])
    assert to_image(data, CODES["Mono8"], 3, 2, 1).tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(("name", "pixel"), [("RGB8", [200, 100, 50]), ("BGR8", [50, 100, 200])])
def test_a_coloured_pixel_becomes_the_same_rgb(name: str, pixel: list[int]) -> None:
    image = to_image(bytes(pixel * 2 + [0, 0] + pixel * 2), CODES[name], 2, 2, 2)
    assert to_rgb(image).tolist() == [[[200, 100, 50]] * 2] * 2


@pytest.mark.parametrize("name", ["BayerRG8", "BayerGB8", "BayerGR8", "BayerBG8"])
def test_a_bayer_mosaic_of_one_colour_is_that_colour(name: str) -> None:
    """The name says the first two pixels of the first row; below the first stands what is missing."""
    first, second = name[5], name[6]
    below = {"RG": "GB", "GB": "RG", "GR": "BG", "BG": "GR"}[first + second]
    cell = [[COLOUR[first], COLOUR[second]], [COLOUR[one] for one in below]]
    mosaic: NDArray[np.uint8] = np.tile(np.array(cell, np.uint8), (4, 5))
    image = to_rgb(to_image(mosaic.tobytes(), CODES[name], 10, 8))
    assert image.shape == (8, 10, 3)
    assert (image[2:-2, 2:-2] == [200, 100, 50]).all()


@pytest.mark.parametrize(
    ("code", "size", "words"), [(0x01100003, 40, "PixelFormat=Mono8"), (0x01080001, 19, "is incomplete")]
)
def test_an_unknown_format_and_a_short_buffer_are_refused(code: int, size: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        to_image(bytes(size), code, 5, 4)


@given(
    st.sampled_from(sorted(FORMATS)), st.integers(-2, 9), st.integers(-2, 9), st.integers(0, 3), st.binary(max_size=300)
)
def test_any_buffer_is_an_image_of_its_size_or_refused(
    code: int, width: int, height: int, padding: int, data: bytes
) -> None:
    try:
        image = to_image(data, code, width, height, padding)
    except InputError:
        return
    except Exception as error:  # OpenCV refuses mosaics of less than 2x2 or 3x3
        assert FORMATS[code].bayer and min(width, height) < 3, error
        return
    assert image.shape[:2] == (height, width) and image.dtype == np.uint8
