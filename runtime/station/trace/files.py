"""The pictures of the trace: the encoder's inputs as PNG, full pictures as JPEG, maps as compressed bytes.

Paths are relative to the trace folder and made of boot and sequence number, so that a name is known before its row is.
"""

from __future__ import annotations

import hashlib
import math
import os
import zlib
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...formats.atomic import atomic_write
from ...formats.spec import GRID, SIZE
from ...imaging.reading import read_picture
from ...line.picture_file import encode
from .inspection import Inspection, TracePolicy

__all__ = ["RANKS", "FileStore", "Kind", "Stored", "array_sha256", "map_of", "pack_map", "unpack_map", "wants_full"]

Kind = Literal["input", "full"]
_SUFFIX: dict[Kind, str] = {"input": ".png", "full": ".jpg"}
_QUALITY = 90
_PER_FOLDER = 1000

RANKS: dict[tuple[bool, Kind], int] = {(True, "full"): 0, (True, "input"): 1, (False, "full"): 2, (False, "input"): 3}
"""In which order pictures make room, by whether the part was good: 0 first, 3 only for the trace's own limit."""


class Stored(NamedTuple):
    """A picture that is on the disk; ``sha256`` is of the file's bytes."""

    path: str
    kind: Kind
    rank: int
    bytes: int
    sha256: str


def array_sha256(array: NDArray[np.uint8]) -> str:
    """Return the sha256 of an array's bytes, by which a category names the inputs that it was taught with."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def wants_full(inspection: Inspection, policy: TracePolicy) -> bool:
    """Whether the policy stores a part's full picture: of goods the share asked for, evenly spread over ``seq``."""
    if inspection.frame is None or policy.full == "none":
        return False
    if policy.full == "all" or not inspection.good:
        return True
    share = policy.full_goods_percent / 100.0
    return math.floor(inspection.seq * share) > math.floor((inspection.seq - 1) * share)


def pack_map(anomaly_map: NDArray[np.float32]) -> tuple[float, bytes] | None:
    """Return a map, float32 [224, 224] of values from 0, as its largest value and the 56x56 largest ones of each 4x4.

    The bytes are zlib's, of uint8 in 255ths of that value. None for a map that is not finite: nothing was scored.
    """
    side = SIZE // GRID
    coarse = anomaly_map.reshape(GRID, side, GRID, side).max(axis=(1, 3))
    top = float(np.max(coarse))
    if not math.isfinite(top) or not np.isfinite(coarse).all():
        return None
    steps = np.clip(np.rint(coarse.astype(np.float64) * (255.0 / top)), 0, 255) if top > 0 else np.zeros_like(coarse)
    return top, zlib.compress(steps.astype(np.uint8).tobytes(), 1)


def unpack_map(data: bytes) -> NDArray[np.uint8]:
    """Return the steps that `pack_map` packed, uint8 [56, 56]. Raises InputError for other bytes."""
    try:
        steps = zlib.decompressobj().decompress(data, GRID * GRID + 1)
    except zlib.error as error:
        raise InputError(f"a stored map is damaged: {error}") from error
    if len(steps) != GRID * GRID:
        raise InputError(f"a stored map has {len(steps)} values; expected {GRID * GRID}")
    return np.frombuffer(steps, np.uint8).reshape(GRID, GRID)


def map_of(top: float, steps: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return a map, float32 [56, 56], from its largest value and its steps in 255ths of that."""
    return steps.astype(np.float32) * np.float32(top / 255.0)


class FileStore:
    """Writes, reads and removes the pictures below ``folder``/images."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, inspection: Inspection, kind: Kind) -> Stored:
        """Write a part's ``input`` or full picture, whole; `sync` makes it safe. Raises OutputError."""
        picture = inspection.input if kind == "input" else inspection.frame
        assert picture is not None
        data = encode(picture, _SUFFIX[kind], _QUALITY)
        name = f"{inspection.seq:09d}-{kind}{_SUFFIX[kind]}"
        path = PurePosixPath("images", f"{inspection.boot:06d}", f"{inspection.seq // _PER_FOLDER:06d}", name)
        atomic_write(self._folder / path, data, sync=False)
        rank = RANKS[inspection.good, kind]
        return Stored(str(path), kind, rank, len(data), hashlib.sha256(data).hexdigest())

    def sync(self, path: str) -> None:
        """Wait until a picture that was written outlives a power cut. Raises OSError."""
        file = self.locate(path)
        for place in (file, file.parent):
            handle = os.open(place, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def remove(self, path: str) -> None:
        """Remove a picture, and its folder with the last one; one that is gone already is fine. Raises OSError."""
        full = self.locate(path)
        full.unlink(missing_ok=True)
        with suppress(OSError):  # it holds others
            full.parent.rmdir()

    def read_input(self, path: str, sha256: str) -> NDArray[np.uint8]:
        """Read a stored input, uint8 RGB [224, 224, 3]. Raises InputError if it is gone or not what was written."""
        data = self.read(path, sha256)
        image = read_picture(self.locate(path)).image
        if image.shape != (SIZE, SIZE, 3):
            raise InputError(f"{path} is {image.shape[1]}x{image.shape[0]}, {len(data)} bytes; expected {SIZE}x{SIZE}")
        return image

    def read(self, path: str, sha256: str) -> bytes:
        """Read a stored file. Raises InputError if it is gone or not what was written."""
        try:
            data = _read_inside(self._folder, self.locate(path))
        except OSError as error:
            raise InputError(f"the stored picture {path} cannot be read: {error.strerror or error}") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise InputError(f"the stored picture {path} was changed after it was written; it is not used")
        return data

    def locate(self, path: str) -> Path:
        """Return where a file of the trace lies. Raises InputError for a path that leads out of images/."""
        parts = PurePosixPath(path).parts
        if parts[:1] != ("images",) or ".." in parts:
            raise InputError(f"{path!r} is no path of a trace's pictures")
        return self._folder.joinpath(*parts)


def _read_inside(folder: Path, file: Path) -> bytes:
    """The bytes of a file below ``folder``, on whose way there is no link: one may lead anywhere. Raises OSError."""
    *parents, name = file.relative_to(folder).parts
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for parent in parents:
            inner = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
            os.close(handle)
            handle = inner
        with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=handle), "rb") as opened:
            return opened.read()
    finally:
        os.close(handle)
