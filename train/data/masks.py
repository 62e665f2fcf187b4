"""Masks of defects, read by what their files declare: any sample that is not zero is defect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from regad.runtime.errors import InputError
from regad.runtime.formats.spec import InputSpec
from regad.runtime.imaging.preprocess import preprocess_mask
from regad.runtime.imaging.reading import opened_page, samples16
from regad.runtime.text import Say, shown, unsaid

__all__ = ["read_marked", "read_mask"]

_NEARLY_ALL = 0.95
_EMPTY = "it marks no defect, though its image is a defective one"
_LOST = "what it marks is too small to be left at 224x224, or lies outside what is judged"
_FULL = f"it marks over {_NEARLY_ALL:.0%} of its image as defect; is it inverted, or another kind of file?"
_LOSSY = "JPEG blurs: faint samples around a defect count as defect; masks are better stored as PNG"
_ODD_PALETTE = "colour 0 of its palette is not black, while another colour is; colour 0 is read as not defective"


def read_mask(path: Path, image_shape: tuple[int, ...], spec: InputSpec, say: Say = unsaid) -> NDArray[np.bool_]:
    """Read a defect mask as the encoder's input sees it, bool [224, 224]; ``say`` receives what is odd about it.

    Raises InputError when it cannot be read or its size is not that of its image, ``image_shape`` (height, width, ...).
    """
    marked = read_marked(path, say)
    if marked.shape != tuple(image_shape[:2]):
        sizes = [f"{shape[1]}x{shape[0]}" for shape in (marked.shape, image_shape)]
        raise InputError(f"mask {shown(path)} is {sizes[0]} pixels; its image is {sizes[1]}: expected the same size")
    seen = preprocess_mask(marked, spec)
    if not marked.any():
        say(_EMPTY)
    elif not seen.any():
        say(_LOST)
    elif marked.mean() > _NEARLY_ALL:
        say(_FULL)
    return seen


def read_marked(path: Path, say: Say = unsaid) -> NDArray[np.bool_]:
    """Read a mask as bool [H, W], True at defects, upright.

    Where the file has an alpha channel that leaves something transparent, what is not is defect. Of a palette, index 0
    is sound. Otherwise what is not black is defect, at any number of bits and with either end of the scale declared to
    be black. Raises InputError for a file that cannot be read, of several pages, or of 16 bits a colour.
    """
    with opened_page(path) as one:
        if one.deep and len(one.picture.getbands()) > 1:
            raise InputError(
                f"mask {shown(path)} has 16 bits a colour, of which the lower 8 are not read; store it as grey"
            )
        for note in one.notes:
            say(note)
        if one.file.format in ("JPEG", "MPO"):
            say(_LOSSY)
        return _marked(one.file, one.picture, say)


def _marked(file: Image.Image, picture: Image.Image, say: Say) -> NDArray[np.bool_]:
    samples = np.asarray(picture) if picture.mode in ("I", "F") else samples16(file, picture)
    if samples is not None:
        return np.asarray(samples != 0)
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        alpha = np.asarray(picture.convert("RGBA"))[..., 3]
        if alpha.min() == 0:
            return np.asarray(alpha != 0)
        picture.info.pop("transparency", None)
    not_black: NDArray[np.bool_] = np.not_equal(np.asarray(picture.convert("RGB")).max(axis=2), 0)
    if picture.mode == "P":
        index = np.asarray(picture)
        if (index == 0).any():
            if not_black[index == 0].all() and not not_black.all():
                say(_ODD_PALETTE)
            return np.asarray(index != 0)
    return not_black
