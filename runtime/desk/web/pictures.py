"""Pictures that a browser sends: JPEG or PNG, and of a size that is known before anything is decoded."""

from __future__ import annotations

import io
import warnings
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ...errors import InputError
from .errors import RequestError

__all__ = ["PIXELS", "decode_upload"]

PIXELS: Final = 64_000_000
"""Pixels of the largest picture."""
_FORMATS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG"}


def decode_upload(body: bytes) -> NDArray[np.uint8]:
    """Return an uploaded picture, uint8 RGB [H, W, 3], upright.

    Raises RequestError for another format than JPEG and PNG and for one of too many pixels, InputError for one that is
    damaged.
    """
    kind = next((name for mark, name in _FORMATS.items() if body.startswith(mark)), None)
    if kind is None:
        raise RequestError(415, "this is no JPEG or PNG picture", code="format")
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(body), formats=(kind,)) as picture:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            width, height = picture.size
            if width * height > PIXELS:
                raise RequestError(
                    413, f"the picture has {width} x {height} pixels; expected at most 64 million", code="size"
                )
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except Image.DecompressionBombError:
        raise RequestError(413, "the picture has over 100 million pixels; expected at most 64", code="size") from None
    except (OSError, ValueError, SyntaxError, MemoryError) as error:
        raise InputError(f"the picture is damaged ({type(error).__name__})") from error
