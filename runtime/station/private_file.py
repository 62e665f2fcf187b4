"""Small JSON files that only the station's own user may read: users, tokens."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

import msgspec

from ..errors import InputError, OutputError
from ..formats.atomic import atomic_write
from ..text import shown, system_reason

__all__ = ["Fresh", "alone", "read_private", "write_private"]

_MOST = 1_000_000  # bytes
_S = TypeVar("_S", bound=msgspec.Struct)
_T = TypeVar("_T")


class Fresh(Generic[_T]):
    """What ``read`` makes of a file, as it is now: read again only where the file is another one. From any thread."""

    def __init__(self, path: Path, read: Callable[[Path], _T]) -> None:
        self.path, self._read = path, read
        self._lock = threading.Lock()
        self._known: tuple[tuple[int, ...], _T] | None = None

    def now(self) -> _T:
        """Return it. Raises what ``read`` raises."""
        try:
            found = self.path.stat()
            mark: tuple[int, ...] = (found.st_ino, found.st_ctime_ns, found.st_mtime_ns, found.st_size)
        except OSError:
            mark = ()
        with self._lock:
            if self._known is None or not mark or mark != self._known[0]:
                self._known = (mark, self._read(self.path))
            return self._known[1]


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let no other thread or process that asks so change the file ``path`` meanwhile: what one reads, changes and
    writes must not undo what another has written. Raises OutputError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"{shown(path.parent)} cannot be used ({system_reason(error)}); check its owner") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def read_private(path: Path, kind: type[_S], what: str, remedy: str) -> _S | None:
    """Return a file's struct, None where there is no file. Raises InputError for one that cannot be used, or is open to
    others; ``what`` is what it holds, and ``remedy`` how it is made again.
    """
    try:
        with path.open("rb") as file:
            open_to_others = os.fstat(file.fileno()).st_mode & 0o077
            data = file.read(_MOST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be read ({error.strerror}); check its owner and mode") from error
    if open_to_others:
        raise InputError(f"{shown(path)} may be read by other users; forbid it: chmod 600 {shown(path)}")
    try:
        if len(data) > _MOST:
            raise ValueError(f"more than {_MOST} bytes")
        return msgspec.json.decode(data, type=kind)
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise InputError(f"{shown(path)} is no {what} ({error})", remedy=remedy) from error


def write_private(path: Path, value: msgspec.Struct) -> None:
    """Write a struct, readable by its owner alone from the first byte on. Raises OutputError."""
    data = msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"

    def write(file: BinaryIO) -> None:
        os.fchmod(file.fileno(), 0o600)  # before there is anything to read
        file.write(data)

    atomic_write(path, write)
