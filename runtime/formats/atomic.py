"""Atomic writes: a reader sees the old file or the whole new one, never a part of it."""

from __future__ import annotations

import ctypes
import glob
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from ..errors import OutputError
from ..text import system_reason

__all__ = ["atomic_folder", "atomic_write", "recover_folder"]

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


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

    A process that is killed leaves the old folder or the new one; see `recover_folder`.

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


def recover_folder(path: Path) -> None:
    """Complete a replacement of the folder ``path`` that was cut off, where the system could not do it in one step.

    The new folder was whole before the old one stepped aside. Does nothing where ``path`` is there, or nothing can be
    done: whoever opens it says what is missing.
    """
    with suppress(OSError):
        if path.exists():
            return
        for aside in sorted(path.parent.glob(f".{glob.escape(path.name)}.old.*")):
            if not (aside / path.name).exists():
                continue  # that one was cut off before the old folder stepped aside
            token = aside.name.rpartition(".")[2]
            for whole in (path.parent / f".{path.name}.{token}", aside / path.name):
                with suppress(OSError):
                    whole.rename(path)
                    shutil.rmtree(aside, ignore_errors=True)
                    return


def _replace_folder(new: Path, path: Path) -> None:
    """Put ``new`` where ``path`` is, in one step where the system can exchange two folders (Linux).

    Raises OSError when that fails and all is as it was; OutputError when the old folder cannot be put back either.
    """
    if not path.exists():
        new.rename(path)
    elif _exchanged(new, path):
        _sync(path.parent)
        _remove(new)  # the old one, by now
    else:
        _replace_in_two_steps(new, path)


def _remove(old: Path) -> None:
    """Remove a folder, or what else had its name: a link to one, a file."""
    if old.is_dir() and not old.is_symlink():
        shutil.rmtree(old, ignore_errors=True)
        return
    with suppress(OSError):
        old.unlink()


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the system or the file system cannot."""
    rename = _renameat2()
    return rename is not None and not rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)


@lru_cache(maxsize=1)
def _renameat2() -> Callable[..., int] | None:
    """The system's call of that name, None where it has none."""
    try:
        found: Callable[..., int] | None = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    except (OSError, TypeError):
        return None
    return found


def _replace_in_two_steps(new: Path, path: Path) -> None:
    """The old folder steps aside first, under a name by which `recover_folder` finds it and the new one."""
    aside = path.parent / f".{path.name}.old.{new.name.rpartition('.')[2]}"
    aside.mkdir()
    old = aside / path.name
    try:
        path.rename(old)
        new.rename(path)
    except OSError as error:
        if path.exists() and not new.exists():  # a reader has completed it
            shutil.rmtree(aside, ignore_errors=True)
            return
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
