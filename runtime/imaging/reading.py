"""Reading image files by what they declare: orientation, bits a sample, photometric interpretation, pages.

Whatever a decoder raises becomes an `InputError`: no file ends a run. What is worth saying beside the picture is
returned as ``notes``, for the caller to print.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..errors import InputError
from ..text import shown, system_reason
from .preprocess import as_rgb8

__all__ = [
    "IMAGE_SUFFIXES",
    "LOW_SAMPLES",
    "Page",
    "Picture",
    "are_low",
    "count_pages",
    "opened",
    "opened_page",
    "prepare_pillow",
    "read_image",
    "read_picture",
    "samples16",
]

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif", ".avif"}
    | {".pgm", ".ppm", ".pbm", ".pnm"}
)
"""The files of a folder that are taken for images, whatever the installed Pillow can decode of them."""

_FORMATS = frozenset({"PNG", "JPEG", "MPO", "BMP", "DIB", "TIFF", "WEBP", "GIF", "AVIF", "PPM"})
_READABLE = "PNG, JPEG, BMP, TIFF, WebP, GIF, AVIF, PGM"

_LARGEST = 2**28  # pixels; such a picture takes about 2 GB while it is read
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SUBFILE_TYPE, _ORIENTATION = 258, 262, 254, 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

LOW_SAMPLES = (
    "its 16-bit samples all stay below 4096, so it is seen almost black; if the camera delivers 12 bits, store them "
    "in the upper bits"
)
_DOUBLE = "it holds further pictures for its camera's own use (MPO); the first is used"
_BROKEN_EXIF = "its EXIF data cannot be read, so no orientation is known; it is taken as it is stored"


class Picture(NamedTuple):
    """A picture as uint8 RGB [H, W, 3], upright; ``notes`` are what should be said of it; ``pages`` its file's."""

    image: NDArray[np.uint8]
    notes: tuple[str, ...] = ()
    pages: int = 1


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Read an image file as uint8 RGB [H, W, 3]; see `read_picture`, which also says what is odd about it."""
    return read_picture(path).image


def read_picture(path: str | Path, page: int | None = None, data: bytes | None = None) -> Picture:
    """Read an image file, or its ``page`` counted from 0; of ``data``, a file's bytes, ``path`` is but the name.

    The EXIF orientation is applied, grey is repeated over the three channels, an alpha channel is dropped. Of 16-bit
    samples the high byte is taken, of 12-bit ones the upper 8 bits; where zero is declared to be white it is.
    Raises InputError for a file that is missing, damaged, of no known format, of 32-bit samples, or, without a
    ``page``, of several pages.
    """
    with opened_page(path, page, data) as one:
        samples = samples16(one.file, one.picture)
        if samples is not None:
            image, low = as_rgb8(samples), one.deep and are_low(samples)
        else:
            image = _rgb8(one.picture)
            low = one.deep and int(np.max(image)) < 1 << 4
        return Picture(image, (*one.notes, LOW_SAMPLES) if low else one.notes, one.pages)


def count_pages(path: str | Path) -> int:
    """Return how many pictures an image file declares; 1 where even that cannot be read."""
    try:
        with opened(path) as file:
            return len(_pages_of(file))
    except InputError:
        return 1


def are_low(samples: NDArray[Any]) -> bool:
    """Whether samples are uint16 and all below 4096: 12 bits or less that were not scaled to 16 (`LOW_SAMPLES`)."""
    return samples.dtype == np.uint16 and samples.size > 0 and int(samples.max()) < 1 << 12


@contextmanager
def opened(path: str | Path, data: bytes | None = None) -> Iterator[Image.Image]:
    """Open an image file, or its ``data``; whatever fails in the block is raised as an InputError that names it."""
    name = shown(path)
    try:
        with Image.open(path if data is None else io.BytesIO(data)) as file:
            if file.format not in _FORMATS:
                raise InputError(f"{name} is a {file.format} file; expected {_READABLE}: convert it")
            if 0 in file.size:
                raise InputError(f"{name} is {file.width}x{file.height} pixels; expected a picture")
            yield file
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist; name an image file") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{name} is not an image file that can be read ({_READABLE})") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise InputError(
            f"{name} has more than the {limit / 1e6:.0f} million pixels that are read; scale it down or cut it up"
        ) from error
    except Exception as error:  # a decoder may raise anything, and a file must not end a run
        raise InputError(f"{name} cannot be read as an image: {_reason(error)}") from error


class Page(NamedTuple):
    """A page of an open image file, loaded: ``picture`` is it upright, ``pages`` how many there are.

    ``deep``: its samples have 16 bits, scaled by no maximum. ``notes`` are what should be said of it.
    """

    file: Image.Image
    picture: Image.Image
    pages: int
    deep: bool
    notes: tuple[str, ...]


@contextmanager
def opened_page(path: str | Path, page: int | None = None, data: bytes | None = None) -> Iterator[Page]:
    """Open an image file as `opened` does and load a page, counted from 0.

    Raises InputError, also, without a ``page``, for a file of several.
    """
    with opened(path, data) as file:
        pages = _pages_of(file)
        if page is None and len(pages) > 1:
            raise InputError(f"{shown(path)} holds {len(pages)} pictures; expected one: save each as a file of its own")
        if page:
            file.seek(pages[page])
        notes = [_DOUBLE] if file.format == "MPO" else []
        deep = _has_16_bits(file)
        file.load()
        picture, sound = _upright(file)
        if not sound:
            notes.append(_BROKEN_EXIF)
        yield Page(file, picture, len(pages), deep, tuple(notes))


def prepare_pillow() -> None:
    """Raise Pillow's limit for this process to 268 million pixels, and silence its warnings, which name no file.

    For programs: a library leaves both to the program that it is part of.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    Image.MAX_IMAGE_PIXELS = _LARGEST // 2  # Pillow refuses what is above twice this


def samples16(file: Image.Image, picture: Image.Image) -> NDArray[np.uint16] | None:
    """Return the grey samples [H, W] of more than 8 bits, scaled to 16 bits as the file declares them; else None.

    ``picture`` is the loaded file, upright. Raises InputError for 32-bit samples.
    """
    mode = picture.mode
    if mode == "I" and file.format in ("PNG", "PPM"):  # what Pillow makes of 16 bits there, scaled by a PGM's maximum
        return np.asarray(picture).clip(0, 65535).astype(np.uint16)
    if mode in ("I", "F"):
        name = shown(getattr(file, "filename", "") or "the file")
        raise InputError(
            f"{name} holds 32-bit samples; expected 8 or 16 bits a channel: convert it to 16-bit PNG first"
        )
    if not mode.startswith("I;16"):
        return None
    samples = np.asarray(picture).astype(np.uint16)
    if file.format == "TIFF":
        tags: Any = file.tag_v2  # type: ignore[attr-defined]
        samples = samples << np.uint16(16 - max(tags.get(_BITS_PER_SAMPLE, (16,))))
        if tags.get(_PHOTOMETRIC) == 0:  # zero is white; Pillow turns 8-bit samples round, but not these
            samples = ~samples
    return samples


def _rgb8(picture: Image.Image) -> NDArray[np.uint8]:
    picture.info.pop("transparency", None)  # alpha is dropped; Pillow would warn of it
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _has_16_bits(file: Image.Image) -> bool:
    """Whether a file that is not yet loaded holds 16 bits a sample and no maximum that they are scaled by."""
    return any(";16" in str(tile[3]) for tile in getattr(file, "tile", ()))


def _upright(file: Image.Image) -> tuple[Image.Image, bool]:
    """Turn a loaded file as its orientation says, reading that tag alone; also whether its EXIF data could be read."""
    try:
        turn = _TURNS.get(file.getexif().get(_ORIENTATION, 1))
    except Exception:  # other tags, and what they hold, do not matter
        return file, False
    return (file if turn is None else file.transpose(turn)), True


def _pages_of(file: Image.Image) -> list[int]:
    """The numbers of a file's pictures. Thumbnails, pyramids and masks of a TIFF, and an MPO's others, are no pages."""
    count = getattr(file, "n_frames", 1)
    if count == 1 or file.format == "MPO":
        return [0]
    if file.format != "TIFF":
        return list(range(count))
    pages = [0]
    for number in range(1, count):
        file.seek(number)
        if not int(file.tag_v2.get(_SUBFILE_TYPE, 0)) & 0b101:  # type: ignore[attr-defined]
            pages.append(number)
    file.seek(0)
    return pages


def _reason(error: Exception) -> str:
    """What went wrong, in one line without the path, which stands before it."""
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    return system_reason(error)
