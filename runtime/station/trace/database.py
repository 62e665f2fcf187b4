"""The database file: opened for one writer or for many readers, checked at the start, set aside when it is damaged."""

from __future__ import annotations

import errno
import fcntl
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, NamedTuple

from ...errors import OutputError, RegadError
from ...text import system_reason
from .schema import migrate, version_of

__all__ = [
    "DATABASE",
    "Opened",
    "is_damage",
    "is_full",
    "is_there",
    "lock_folder",
    "open_writer",
    "transaction",
    "write_access",
]

DATABASE = "trace.db"
_PATIENCE = 5.0  # seconds that a statement waits for another process's transaction
_CHECK_FOR = 20.0  # seconds: a database too large to be checked within them is opened all the same
_DAMAGE = (11, 26)  # SQLITE_CORRUPT, SQLITE_NOTADB
_FULL = (10, 13)  # SQLITE_IOERR, SQLITE_FULL


class Opened(NamedTuple):
    """A database ready to be written; ``trouble`` says in a line what was wrong with the one before, or is ""."""

    connection: sqlite3.Connection
    trouble: str


def is_there(path: Path, kind: type[RegadError]) -> bool:
    """Whether a database is there. Raises ``kind`` where the system does not say."""
    try:
        return path.is_file()
    except OSError as error:
        raise kind(f"the trace {path} cannot be read ({system_reason(error)}); run it as the station's user") from error


def lock_folder(folder: Path) -> IO[bytes]:
    """Make ``folder`` and lock it for this process until the file is closed. Raises OutputError if another has it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("ab")
    except OSError as error:
        raise OutputError(f"the trace folder {folder} cannot be written: {error.strerror or error}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        raise OutputError(f"the trace folder {folder} is in use by another station; end it first") from error
    return handle


def open_writer(folder: Path, *, damaged: str = "") -> Opened:
    """Open the database of a folder, a new one where there is none, and bring it to this version.

    A damaged one, or one of which ``damaged`` says what is wrong, is kept under another name. Raises OutputError for
    one of a later version or a folder that cannot be written.
    """
    path = folder / DATABASE
    trouble = ""
    if damaged:
        trouble = f"{path} is damaged ({damaged}); it was kept as {_set_aside(path)}, and a new one was begun"
    elif not path.exists() and any((folder / "images").glob("*/*/*")):
        trouble = f"{path} is missing, though there are pictures; a new one was begun, and the pictures are left alone"
        _set_aside(path)
    try:
        return Opened(_prepared(path), trouble)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise _unopened(path, error) from error
        trouble = f"{path} is damaged ({error}); it was kept as {_set_aside(path)}, and a new one was begun"
    try:
        return Opened(_prepared(path), trouble)
    except sqlite3.DatabaseError as error:
        raise _unopened(path, error) from error


def _unopened(path: Path, error: sqlite3.Error) -> OutputError:
    return OutputError(f"the trace's database {path} cannot be opened: {error}; free some space, or check the disk")


def is_damage(error: BaseException) -> bool:
    """Whether an error means that the database's file is not one, or damaged; a full or slow disk is not that."""
    return isinstance(error, _Damaged) or _has_code(error, _DAMAGE, ("malformed", "not a database"))


def is_full(error: BaseException | None) -> bool:
    """Whether an error may mean that the disk is full; SQLite's memory map says so only as a failure to write."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return error is not None and _has_code(error, _FULL, ("disk is full", "disk I/O error"))


def _has_code(error: BaseException, codes: tuple[int, ...], texts: tuple[str, ...]) -> bool:
    if not isinstance(error, sqlite3.Error):
        return False
    code = getattr(error, "sqlite_errorcode", None)  # Python 3.11 and later
    return any(text in str(error) for text in texts) if code is None else (code & 0xFF) in codes


class _Damaged(sqlite3.DatabaseError):
    """What quick_check found."""


def _prepared(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        if version_of(connection) == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only before the first table
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA wal_autocheckpoint = 250")  # pages: the log takes about 1 MB of a full disk
        _quick_check(connection)
        migrate(connection)
    except BaseException:
        with suppress(sqlite3.Error):
            connection.close()
        raise
    return connection


def _quick_check(connection: sqlite3.Connection) -> None:
    end = time.monotonic() + _CHECK_FOR
    connection.set_progress_handler(lambda: time.monotonic() > end, 100_000)
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if time.monotonic() <= end or is_damage(error):
            raise
        return
    finally:
        connection.set_progress_handler(None, 0)
    if found != "ok":
        raise _Damaged(f"quick_check: {' '.join(str(found).split())}")


def _set_aside(path: Path) -> str:
    """Rename the database and what belongs to it; return the new name."""
    stamp = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    number, name = 0, f"{path.name}.damaged-{stamp}"
    while (path.parent / name).exists():
        number += 1
        name = f"{path.name}.damaged-{stamp}-{number}"
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").replace(path.parent / f"{name}{suffix}")
    return name


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the write lock from the start, so that what is read in the block stays true; undo all on an error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite has undone it already after some errors
            connection.execute("ROLLBACK")
        raise


@contextmanager
def write_access(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the database beside a running station, for labels and re-judging. Raises OutputError; closes it after."""
    path = folder / DATABASE
    if not is_there(path, OutputError):
        raise OutputError(f"{path} does not exist; name the trace folder of a station that has run")
    connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        migrate(connection)
        yield connection
    except sqlite3.Error as error:
        raise OutputError(f"the trace's database {path} cannot be written: {error}") from error
    finally:
        connection.close()
