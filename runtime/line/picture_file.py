"""The file of one picture: PNG or JPEG with a comment in it that says who wrote it, by which it is known again."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from ..imaging.opencv import load_cv2
from ..imaging.reading import IMAGE_SUFFIXES
from ..text import system_reason

__all__ = ["encode", "foreign_pictures", "is_own", "own_pictures", "remove_own"]

_MARK = b"Software\0regad-run"
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_PNG_HEAD = len(_PNG) + 25  # the signature and the IHDR chunk, which has to come first


def encode(picture: NDArray[np.uint8], suffix: str, quality: int = 95) -> bytes:
    """Encode uint8 RGB [H, W, 3] as ``.png`` or ``.jpg`` (of ``quality``), with our mark.

    Raises OutputError when it is too large for the format.
    """
    cv2 = load_cv2()
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else []
    try:
        ok, data = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    except cv2.error as error:
        raise OutputError(f"a picture of {picture.shape[1]}x{picture.shape[0]} cannot be stored as {suffix}") from error
    if not ok:
        raise OutputError(f"a picture of {picture.shape[1]}x{picture.shape[0]} cannot be stored as {suffix}")
    return _marked(data.tobytes())


def _marked(data: bytes) -> bytes:
    """Put the mark where the format has room for text: a tEXt chunk of PNG, a comment segment of JPEG."""
    if data.startswith(_JPEG):
        return _JPEG + b"\xff\xfe" + struct.pack(">H", len(_MARK) + 2) + _MARK + data[len(_JPEG) :]
    chunk = b"tEXt" + _MARK
    text = struct.pack(">I", len(_MARK)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return data[:_PNG_HEAD] + text + data[_PNG_HEAD:]


def is_own(path: Path) -> bool | None:
    """Whether a picture bears our mark; None for a file that is no picture, as a power cut leaves it.

    Raises OSError if it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_PNG_HEAD + 8 + len(_MARK))
    if not head.strip(b"\0"):
        return None
    return _MARK in head


def _pictures(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise error

    for root, _, names in os.walk(folder, onerror=refuse):
        for path in (Path(root, name) for name in names if not name.startswith(".")):
            if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
                yield path


def foreign_pictures(folder: Path) -> Iterator[Path]:
    """Yield the images in ``folder`` and below it that we did not write. Raises OSError."""
    for path in _pictures(folder):
        if is_own(path) is False:
            yield path


def own_pictures(folder: Path) -> list[tuple[Path, int]]:
    """Return our pictures in ``folder`` and below it with their sizes in bytes, the oldest first. Raises OSError."""
    found = [(path, path.stat()) for path in _pictures(folder) if is_own(path)]
    found.sort(key=lambda pair: (pair[1].st_mtime_ns, pair[0].name))
    return [(path, state.st_size) for path, state in found]


def remove_own(path: Path) -> None:
    """Remove a picture if it is still there and still bears our mark. Raises OutputError where that is refused."""
    try:
        with suppress(FileNotFoundError):
            if is_own(path):
                path.unlink()
    except OSError as error:
        raise OutputError(
            f"cannot remove {path}: {system_reason(error)}; the bound on the pictures is not kept: "
            "allow writing in its folder, or empty it"
        ) from error
