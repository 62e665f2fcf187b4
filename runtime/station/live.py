"""The camera's last picture for the desk, in a file in memory. Nothing is copied unless the desk says that it looks on.

The file is one page of numbers, then the picture. ``number`` is odd while the picture is written: a reader that finds
it even, and the same before and after, has a whole one.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..backends.lifecycle import Closing
from .worker import Clock

__all__ = ["LiveFrame", "LiveReader", "LiveWriter", "live_path"]

_HEAD = 4096
_MARK = int.from_bytes(b"RGLIVE01", "little")
_MARKED, _WATCHED, _NUMBER, _TAKEN, _HEIGHT, _WIDTH, _STEP = range(7)  # places of 64 bits each
_LOOKS_NS = 2_000_000_000  # so long the desk's word that it looks on holds
_LEAST_NS = 100_000_000  # between two pictures
_LARGEST = 2048  # pixels of the longer side; of a larger picture every second, third, ... pixel is taken
_TRIES = 3


def live_path(socket: Path) -> Path:
    """Return where the picture of the station with this command socket lies: in memory, where it can."""
    name = hashlib.sha256(os.fsencode(socket.absolute())).hexdigest()[:16]
    memory = Path("/dev/shm")
    folder = memory if os.access(memory, os.W_OK) else socket.parent
    return folder / f"regad-{os.getuid()}-{name}"


class LiveFrame(NamedTuple):
    """A picture, uint8 RGB [H, W, 3], its number, and when it was taken: nanoseconds of the monotonic clock.

    It is every ``step``-th pixel of the camera's: 1 where it is whole.
    """

    number: int
    taken_ns: int
    image: NDArray[np.uint8]
    step: int = 1


class LiveWriter(Closing):
    """The line's end. It never raises: where the file cannot be had there is no live picture."""

    def __init__(self, path: Path, clock: Clock = time.monotonic_ns) -> None:
        self._path, self._clock = path, clock
        self._shown_ns = -_LEAST_NS
        self._map: mmap.mmap | None = None
        self._handle = -1
        with suppress(OSError):
            path.unlink(missing_ok=True)
            self._handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600)
            _numbers(self._grow(0))[_NUMBER] = clock() & ~1  # no number of a line before this one comes again

    @property
    def watched(self) -> bool:
        """Whether somebody looks on."""
        mapped = self._map
        return mapped is not None and self._clock() - int(_numbers(mapped)[_WATCHED]) < _LOOKS_NS

    def show(self, image: NDArray[np.uint8], taken_ns: int) -> None:
        """Give a picture, uint8 RGB [H, W, 3]; it is copied at most ten times a second, and only if `watched`."""
        now = self._clock()
        if now - self._shown_ns < _LEAST_NS or not self.watched:
            return
        self._shown_ns = now
        step = -(-max(image.shape[:2]) // _LARGEST)
        try:
            self._write(image[::step, ::step], taken_ns, step)
        except (OSError, ValueError):  # no memory is left for it
            self.close()

    def _write(self, image: NDArray[np.uint8], taken_ns: int, step: int) -> None:
        mapped = self._map
        if mapped is None or len(mapped) < _HEAD + image.nbytes:
            mapped = self._grow(image.nbytes)
        numbers = _numbers(mapped)
        numbers[_NUMBER] += 1
        numbers[_TAKEN], numbers[_HEIGHT], numbers[_WIDTH] = taken_ns, image.shape[0], image.shape[1]
        numbers[_STEP] = step
        np.copyto(np.frombuffer(mapped, np.uint8, image.size, _HEAD).reshape(image.shape), image)
        numbers[_NUMBER] += 1

    def _grow(self, size: int) -> mmap.mmap:
        """Make room. It is asked for beforehand: writing to a mapped file without room would end the process."""
        os.posix_fallocate(self._handle, 0, _HEAD + size)
        self._map = mapped = mmap.mmap(self._handle, _HEAD + size)
        _numbers(mapped)[_MARKED] = _MARK
        return mapped

    def close(self) -> None:
        """Remove the file."""
        self._map = None
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


class LiveReader(Closing):
    """The desk's end; used by one thread at a time. A line that was started anew has another file, which is found."""

    def __init__(self, path: Path, clock: Clock = time.monotonic_ns) -> None:
        self._path, self._clock = path, clock
        self._map: mmap.mmap | None = None
        self._file = (0, 0)  # the file that is mapped: its inode and size

    def watch(self) -> bool:
        """Say that somebody looks on; holds for two seconds. Returns whether there is a line to hear it."""
        self._open()
        if self._map is None:
            return False
        _numbers(self._map)[_WATCHED] = self._clock()
        return True

    @property
    def number(self) -> int:
        """The number of the last whole picture, 0 for none."""
        if self._map is None or not _numbers(self._map)[_HEIGHT]:
            return 0
        return int(_numbers(self._map)[_NUMBER]) & ~1

    def read(self) -> LiveFrame | None:
        """Return the last picture, None where there is none, or none can be had whole."""
        for _ in range(_TRIES):
            self._open()
            mapped = self._map
            if mapped is None:
                return None
            _, _, number, taken, height, width, step = (int(value) for value in _numbers(mapped))
            size = height * width * 3
            if number and number % 2 == 0 and 0 < size <= len(mapped) - _HEAD:
                image = np.frombuffer(mapped, np.uint8, size, _HEAD).reshape(height, width, 3).copy()
                if int(_numbers(mapped)[_NUMBER]) == number:
                    return LiveFrame(number, taken, image, step)
        return None

    def close(self) -> None:
        """Let go of the file."""
        self._map = None

    def _open(self) -> None:
        try:
            found = self._path.lstat()
            if (found.st_ino, found.st_size) == self._file and self._map is not None:
                return
            self._map = None
            handle = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            self._map = None
            return
        try:
            found = os.fstat(handle)
            if found.st_uid == os.getuid() and found.st_size >= _HEAD:
                mapped = mmap.mmap(handle, found.st_size)
                if int(_numbers(mapped)[_MARKED]) == _MARK:
                    self._map, self._file = mapped, (found.st_ino, found.st_size)
        finally:
            os.close(handle)


def _numbers(mapped: mmap.mmap) -> NDArray[np.int64]:
    return np.frombuffer(mapped, np.int64, 7)
