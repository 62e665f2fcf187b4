"""The runs of the line: each begins with a row that says clean = 0, and only an orderly end makes it 1."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from .database import transaction
from .inspection import Boot

__all__ = ["begin_boot", "end_boot"]

_SANE_WALL = 1_767_225_600.0
"""2026-01-01, seconds since 1970: a clock that shows less has not been set."""


def begin_boot(
    connection: sqlite3.Connection,
    folder: Path,
    wall: float,
    mono_ns: int,
    software: str,
    artifact: str,
    *,
    number: int | None = None,
) -> Boot:
    """Insert the row of a boot that begins at ``wall`` and ``mono_ns``. Raises sqlite3.Error.

    Its ``number`` is the next that neither a row nor a folder of pictures bears, unless it is given.
    """
    clock_ok = wall >= _SANE_WALL
    with transaction(connection):
        last = connection.execute("SELECT id, clean FROM boot ORDER BY id DESC LIMIT 1").fetchone()
        if number is None:
            folders = (int(path.name) for path in (folder / "images").glob("*") if path.name.isdecimal())
            number = max(0 if last is None else int(last[0]), *folders, 0) + 1
        connection.execute(
            "INSERT INTO boot VALUES (?, ?, ?, 0, ?, ?, ?, ?)",
            (number, wall, clock_ok, mono_ns, mono_ns, software, artifact),
        )
    return Boot(number, last is None or bool(last[1]), clock_ok)


def end_boot(connection: sqlite3.Connection, boot: int, mono_ns: int) -> None:
    """Say that a boot ended in order, and write all into the database's one file. Raises sqlite3.Error."""
    with transaction(connection):
        connection.execute("UPDATE boot SET clean = 1, mono_last = ? WHERE id = ?", (mono_ns, boot))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
