"""Atomic writes: a reader sees the old file or the whole new one, never a part of it."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import OutputError
from ..text import system_reason

__all__ = ["atomic_folder", "atomic_write"]


def _failed(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot write {path}: {system_reason(error)}; nothing half-written is left: "
        "free some space or choose another place"
    )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def atomic_write(path: Path, data: bytes | Callable[[BinaryIO], None], *, sync: bool = True) -> None:
    """Write ``data`` (bytes, or a function that writes to an open file) to ``path``: temporary file, fsync, rename.

    Without ``sync`` the fsync is left out (milliseconds): the file is whole for every reader, but a power cut may lose
    it. Raises OutputError when the folder cannot be written or the disk is full; ``path`` is then as it was.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = _temporary_file(path)
        with os.fdopen(handle, "wb") as file:
            if callable(data):
                data(file)
            else:
                file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
        temporary = None
        if sync:
            _sync(path.parent)
    except OSError as error:
        raise _failed(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _temporary_file(path: Path) -> tuple[int, Path]:
    """Create a new file beside ``path``. The system applies the umask, which Python can only read by changing it."""
    while True:
        temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}"
        with suppress(FileExistsError):
            return os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666), temporary


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling folder to fill; on success it takes ``path``'s place, on any error it is removed.

    Raises OutputError when it cannot be written.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        temporary.chmod(0o755)
        yield temporary
        for entry in temporary.rglob("*"):
            _sync(entry)
        _replace_folder(temporary, path)
        temporary = None
        _sync(path.parent)
    except OSError as error:
        raise _failed(path, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _replace_folder(new: Path, path: Path) -> None:
    """Put ``new`` where ``path`` is. A folder cannot be replaced by rename: the old one steps aside first.

    Raises OSError when that fails and all is as it was; OutputError when the old folder cannot be put back either.
    """
    if not path.exists():
        new.rename(path)
        return
    aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
    old = aside / path.name
    try:
        path.rename(old)
        new.rename(path)
    except OSError as error:
        if old.exists():
            _put_back(old, path, error)
        aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _put_back(old: Path, path: Path, error: OSError) -> None:
    try:
        old.rename(path)
    except OSError:
        raise OutputError(
            f"cannot write {path}: {system_reason(error)}; what was there is kept in {old}: move it back"
        ) from error
