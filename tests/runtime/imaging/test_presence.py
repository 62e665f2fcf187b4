"""Whether a frame shows a part: the measures, the compiled form against the reference, and the limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime import kernels
from regad.runtime.formats.limits import MEASURES, Limit
from regad.runtime.imaging.presence import Measures, absence, measure, measure_with_numpy


def grey(values: np.ndarray) -> np.ndarray:
    """Grey values [224, 224] as an encoder's input."""
    return np.repeat(values.astype(np.uint8)[:, :, None], 3, axis=2)


def random_input(seed: int, low: int, high: int, side: int) -> np.ndarray:
    """Squares of ``side`` pixels in random colours from ``low`` to ``high``, uint8 [224, 224, 3]."""
    rng = np.random.default_rng(seed)
    count = -(-224 // side)
    colours = rng.integers(min(low, high), max(low, high) + 1, (count, count, 3), np.uint8)
    return np.ascontiguousarray(np.kron(colours, np.ones((side, side, 1), np.uint8))[:224, :224])


@pytest.mark.skipif(not kernels.available(), reason="needs the compiled kernels: pip install from source with g++")
@given(st.integers(0, 2**32 - 1), st.integers(0, 255), st.integers(0, 255), st.integers(1, 224))
def test_the_compiled_form_gives_the_bits_of_the_reference(seed: int, low: int, high: int, side: int) -> None:
    image = random_input(seed, low, high, side)
    assert kernels.presence(image) == measure_with_numpy(image)
    assert kernels.presence(image[::-1, ::-1]) == measure_with_numpy(image[::-1, ::-1])


@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_a_plain_frame_has_brightness_and_nothing_else(value: int) -> None:
    assert measure(grey(np.full((224, 224), value))) == Measures(float(value), 0.0, 0.0, 0.0)


def test_blocks_of_two_values_have_the_contrast_of_their_difference() -> None:
    board = np.kron(np.indices((28, 28)).sum(axis=0) % 2, np.ones((8, 8)))
    measures = measure(grey(100 + 50 * board))
    assert measures.brightness == 125
    assert measures.contrast == 25
    assert measures.structure == 1
    assert measures.detail == pytest.approx(50 * 27 / 223)  # 27 of the 223 steps along a row


def test_noise_has_the_structure_of_an_eighth_and_its_contrast_is_averaged_away() -> None:
    noise = np.random.default_rng(0).normal(128, 20, (224, 224))
    measures = measure(grey(np.rint(noise)))
    assert measures.contrast == pytest.approx(20 / 8, rel=0.1)
    assert measures.structure == pytest.approx(1 / 8, rel=0.1)


def test_green_counts_more_than_red_and_blue() -> None:
    brightness = [measure(np.full((224, 224, 3), colour, np.uint8)).brightness for colour in np.eye(3) * 255]
    assert brightness == [77, 149, 29]


def test_the_first_limit_that_breaks_is_named_with_what_was_taught() -> None:
    limits = {
        "brightness": Limit(5.5, 240.0, (88.0, 140.25)),
        "contrast": Limit(2.0, None, (16.0, 18.0)),
        "detail": Limit(1.0, 30.0, (5.0, 6.0)),
    }
    assert absence(Measures(3.0, 0.0, 0.0, 0.0), limits) == "brightness 3, taught with 88 to 140"
    assert absence(Measures(241.26, 20.0, 5.0, 0.0), limits) == "brightness 241, taught with 88 to 140"
    assert absence(Measures(100.0, 0.0126, 5.0, 0.0), limits) == "contrast 0.0126, taught with 16 to 18"
    assert absence(Measures(100.0, 200.0, 31.0, 0.0), limits) == "detail 31, taught with 5 to 6"
    assert absence(Measures(5.5, 2.0, 30.0, 0.0), limits) == ""  # a limit itself is allowed
    assert absence(Measures(0.0, 0.0, 0.0, 0.0), {}) == ""
    assert Measures._fields == MEASURES
