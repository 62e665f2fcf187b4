"""Small JSON files that only the station's own user may read: users, tokens."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

import msgspec

from ..errors import InputError, OutputError
from ..formats.atomic import atomic_write
from ..text import shown, system_reason

__all__ = ["Fresh", "PrivateFileError", "PrivateNames"]

_MOST = 1_000_000  # bytes
_S = TypeVar("_S", bound=msgspec.Struct)
_T = TypeVar("_T")


class PrivateFileError(InputError):
    """A private file that cannot be used. Its message names the file: it is for the log, and for who is logged in."""


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
def _alone(path: Path) -> Iterator[None]:
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


def _read(path: Path, kind: type[_S], what: str, remedy: str) -> _S | None:
    """Return a file's struct, None where there is no file. Raises PrivateFileError for one that cannot be used, or is
    open to others; ``what`` is what it holds, and ``remedy`` how it is made again.
    """
    try:
        with path.open("rb") as file:
            open_to_others = os.fstat(file.fileno()).st_mode & 0o077
            data = file.read(_MOST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PrivateFileError(f"{shown(path)} cannot be read ({error.strerror}); check its owner and mode") from error
    if open_to_others:
        raise PrivateFileError(f"{shown(path)} may be read by other users; forbid it: chmod 600 {shown(path)}")
    try:
        if len(data) > _MOST:
            raise ValueError(f"more than {_MOST} bytes")
        return msgspec.json.decode(data, type=kind)
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise PrivateFileError(f"{shown(path)} is no {what} ({error})", remedy=remedy) from error


def _write(path: Path, value: msgspec.Struct) -> None:
    """Write a struct, readable by its owner alone from the first byte on. Raises OutputError."""
    data = msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"

    def write(file: BinaryIO) -> None:
        os.fchmod(file.fileno(), 0o600)  # before there is anything to read
        file.write(data)

    atomic_write(path, write)


class PrivateNames(Generic[_S]):
    """Structs by name, in the field ``{one}s`` of a private file of one ``kind``: users, tokens.

    ``file`` makes the file's struct of them, and ``remedy`` says how a file that cannot be used is made again.
    """

    def __init__(
        self, one: str, kind: type[msgspec.Struct], file: Callable[[dict[str, _S]], msgspec.Struct], remedy: str
    ) -> None:
        self._one, self._kind, self._file, self._remedy = one, kind, file, remedy

    def read(self, path: Path) -> dict[str, _S]:
        """Return them; none where the file is missing. Raises PrivateFileError for one that cannot be used."""
        found: Any = _read(path, self._kind, f"list of {self._one}s", self._remedy)
        return {} if found is None else dict(getattr(found, f"{self._one}s"))

    @contextmanager
    def changed(self, path: Path) -> Iterator[dict[str, _S]]:
        """Give them to change, and write them at the end of the block. Raises PrivateFileError, OutputError."""
        with _alone(path):
            found = self.read(path)
            yield found
            _write(path, self._file(found))

    def remove(self, path: Path, name: str) -> None:
        """Take one out. Raises InputError where there is none of that name, OutputError."""
        with self.changed(path) as found:
            if name not in found:
                known = ", ".join(sorted(found)) or "none"
                raise InputError(f"there is no {self._one} {name[:60]!r}; there are: {known}")
            del found[name]
