"""Pixels as a GenICam camera sends them (PFNC formats of 8 bits) to an image as `Capture` gives it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..imaging.opencv import load_cv2

__all__ = ["FORMATS", "PixelFormat", "to_image"]


class PixelFormat(NamedTuple):
    """A pixel format: its PFNC name, bytes a pixel, and for a Bayer pattern OpenCV's name of its conversion."""

    name: str
    bytes: int
    bayer: str = ""


FORMATS = {
    0x01080001: PixelFormat("Mono8", 1),
    0x01080008: PixelFormat("BayerGR8", 1, "COLOR_BayerGRBG2BGR"),
    0x01080009: PixelFormat("BayerRG8", 1, "COLOR_BayerRGGB2BGR"),
    0x0108000A: PixelFormat("BayerGB8", 1, "COLOR_BayerGBRG2BGR"),
    0x0108000B: PixelFormat("BayerBG8", 1, "COLOR_BayerBGGR2BGR"),
    0x02180014: PixelFormat("RGB8", 3),
    0x02180015: PixelFormat("BGR8", 3),
}
"""By PFNC number. The first letters of a Bayer format are the first two pixels of the first row."""


def to_image(data: bytes, code: int, width: int, height: int, padding: int = 0) -> NDArray[np.uint8]:
    """Turn the bytes of a buffer into uint8 grey [H, W] or BGR [H, W, 3]; ``padding`` bytes follow each row.

    Raises InputError for a format that is not known or a buffer that is too short; DeviceError for a Bayer pattern
    without OpenCV.
    """
    form = FORMATS.get(code)
    if form is None:
        names = ", ".join(one.name for one in FORMATS.values())
        raise InputError(
            f"the camera sends pixel format 0x{code:08x}; expected {names}: add PixelFormat=Mono8 to the source"
        )
    row = width * form.bytes
    if width < 1 or height < 1 or len(data) < (row + padding) * height - padding:
        raise InputError(f"the camera sent {len(data)} bytes for {width}x{height} {form.name}; the frame is incomplete")
    flat = np.frombuffer(data, np.uint8)
    rows = np.lib.stride_tricks.as_strided(flat, (height, row), (row + padding, 1), writeable=False)
    if form.bytes == 3:
        image = rows.reshape(height, width, 3)
        return np.ascontiguousarray(image[:, :, ::-1] if form.name == "RGB8" else image)
    if not form.bayer:
        return np.ascontiguousarray(rows)
    cv2 = load_cv2()
    colour: NDArray[np.uint8] = cv2.cvtColor(np.ascontiguousarray(rows), getattr(cv2, form.bayer))
    return colour
