"""What a frame does not show: filled from the first support image without a seam, compiled as in the plain form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime import kernels
from regad.runtime.imaging.filling import fill, fill_with_numpy

GRID, SIZE = 56, 224
compiled_only = pytest.mark.skipif(not kernels.available(), reason="the compiled kernels were not built")


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def pixels(cells: np.ndarray) -> np.ndarray:
    return np.repeat(np.repeat(cells, 4, axis=0), 4, axis=1)


@pytest.mark.parametrize("filling", [fill, fill_with_numpy])
def test_the_rest_takes_over_the_light_of_the_frame(filling) -> None:  # type: ignore[no-untyped-def]
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    reference = np.repeat((100 + 40 * np.sin(x / 9) * np.sin(y / 7))[..., None], 3, axis=2).astype(np.uint8)
    seen = np.ones((GRID, GRID), np.float32)
    seen[:, 40:] = 0
    frame = (reference + np.array([20, 10, 30])).astype(np.uint8)
    frame[:, 160:] = 255
    filled = filling(frame, seen, reference).astype(int)
    assert np.abs(filled - reference - (20, 10, 30)).max() <= 1
    assert (filled[:, :160] == frame[:, :160]).all(), "what is seen stays"


def test_a_whole_frame_stays_and_of_nothing_the_reference_remains() -> None:
    frame, reference = noise(0), noise(1)
    assert fill(frame, np.ones((GRID, GRID), np.float32), reference) is frame
    for filling in (fill, fill_with_numpy):
        assert (filling(frame, np.full((GRID, GRID), 0.9, np.float32), reference) == reference).all()


@compiled_only
@given(st.integers(0, 2**32 - 1), st.sampled_from(["scattered", "half", "corner", "one"]))
def test_the_compiled_form_fills_as_the_plain_one_does(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    seen = np.ones((GRID, GRID), np.float32)
    if kind == "scattered":
        seen[rng.random((GRID, GRID)) < rng.random()] = 0.5
    elif kind == "half":
        seen[:, : rng.integers(1, GRID)] = 0
    elif kind == "corner":
        seen[rng.integers(0, 50) :, rng.integers(0, 50) :] = 0
    else:
        seen[:] = 0
        seen[tuple(rng.integers(0, GRID, 2))] = 1
    frame, reference = (rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8) for _ in range(2))
    before = frame.copy()
    off = np.abs(fill(frame, seen, reference).astype(int) - fill_with_numpy(frame, seen, reference))
    assert off.max() <= 1 and (off[pixels(seen >= 1)] == 0).all()
    assert (frame == before).all()
