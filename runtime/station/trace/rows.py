"""From what the line gives to rows of the database."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from ...formats.category import Category
from ...formats.digest import sha256_of
from ...text import shown
from .entries import Correction, Event, NewCategory
from .files import Stored, array_sha256, pack_map
from .inspection import Inspection

__all__ = ["COLUMNS", "correct_output", "insert_category", "insert_event", "insert_inspection", "record_file"]

EVENTS = 100_000
"""So many events are kept: a PLC that clears a standing fault again and again does not fill the disk."""
_ARRAYS = ("input", "map", "frame")
_PLAIN = tuple(field.name for field in fields(Inspection) if field.name not in (*_ARRAYS, "category"))
COLUMNS = ("id", *_PLAIN, "category_version", "input_sha256", "input_file", "full_file")
"""The columns of the table ``inspection``."""
_TEXTS = frozenset({"trigger", "serial", "reason", "error", "prepared"})
_NUMBERS = frozenset(
    {
        *("wall", "score", "threshold", "deadline_ms", "ms_acquire", "ms_judge", "ms_total"),
        *("mean", "contrast", "sharp", "structure", "quality", "share", "angle", "shift_x", "shift_y", "scale"),
    }
)
_JOB = ("name", "category_version", "deadline_ms", "bands", "output_rules")
_OWN = (*_PLAIN, "category_version", "input_sha256")
_INSERT = f"INSERT INTO inspection ({', '.join(_OWN)}) VALUES ({', '.join('?' * len(_OWN))})"


def _value(part: Inspection, name: str) -> float | int | str | None:
    """One value as SQLite stores it: NumPy's numbers would become bytes, and infinity could not be exported."""
    value = getattr(part, name)
    if value is None:
        return None
    if name in _TEXTS:
        return shown(value)
    if name in _NUMBERS:
        return float(value) if math.isfinite(value) else None
    return int(value)


def insert_inspection(connection: sqlite3.Connection, part: Inspection) -> int:
    """Insert a part's row and map; return its id. Raises sqlite3.Error, TypeError, ValueError or OverflowError."""
    digest = None if part.input is None else array_sha256(part.input)
    packed = None if part.map is None else pack_map(part.map)
    values = [_value(part, name) for name in _PLAIN]
    cursor = connection.execute(_INSERT, (*values, _version_id(connection, part), digest))
    row = _id(cursor)
    if packed is not None:
        connection.execute("INSERT INTO heat VALUES (?, ?, ?)", (row, *packed))
    return row


def correct_output(connection: sqlite3.Connection, boot: int, correction: Correction) -> int:
    """Write what was put out for a part into its row; return how many rows there were. Raises sqlite3.Error."""
    return connection.execute(
        "UPDATE inspection SET output = ?, late = ? WHERE boot = ? AND seq = ?",
        (int(correction.output), int(correction.late), boot, correction.seq),
    ).rowcount


def _version_id(connection: sqlite3.Connection, part: Inspection) -> int | None:
    """The version of a job's category that is in force, by its hash; one that was never recorded gets a bare row."""
    if not part.category:
        return None
    found = connection.execute(
        "SELECT id FROM category_version WHERE hash = ? AND job IS ? ORDER BY retired_at IS NULL DESC, id DESC LIMIT 1",
        (part.category, part.job),
    ).fetchone()
    if found is not None:
        return int(found[0])
    cursor = connection.execute(
        "INSERT INTO category_version (job, hash, sha256, path) VALUES (?, ?, '', '')", (part.job, part.category)
    )
    return _id(cursor)


def insert_event(connection: sqlite3.Connection, boot: int, event: Event) -> int:
    """Insert an event, and let the oldest go beyond `EVENTS`; return its id. Raises sqlite3.Error."""
    cursor = connection.execute(
        "INSERT INTO event (boot, mono_ns, wall, severity, code, text) VALUES (?, ?, ?, ?, ?, ?)",
        (boot, event.mono_ns, event.wall, event.severity, int(event.code), shown(event.text)),
    )
    connection.execute("DELETE FROM event WHERE id <= ?", (_id(cursor) - EVENTS,))
    return _id(cursor)


def insert_category(connection: sqlite3.Connection, new: NewCategory) -> int:
    """Make a category the one of its job, and keep the parts that it was taught with for good; return its id.

    A file that the job has used before, with these limits, is that version again. Raises sqlite3.Error.
    """
    sha256 = new.sha256 or _file_sha256(new.path)
    category = new.category
    limits = category.threshold.value, category.threshold.warn
    found = connection.execute(
        "SELECT max(id) FROM category_version "
        "WHERE job = ? AND hash = ? AND sha256 = ? AND threshold IS ? AND low IS ?",
        (new.job, category.hash, sha256, *limits),
    ).fetchone()[0]
    version = int(found) if found is not None else _insert_version(connection, new, sha256)
    _put_job(connection, new, version)
    connection.execute(
        "UPDATE category_version SET retired_at = CASE WHEN id = ? THEN NULL ELSE coalesce(retired_at, ?) END "
        "WHERE job = ?",
        (version, new.wall, new.job),
    )
    keep_taught(connection, category)
    return version


def _put_job(connection: sqlite3.Connection, new: NewCategory, version: int) -> None:
    """Bring the row of a job up to date; what changes in it is audited, by whom and from what to what."""
    threshold = new.category.threshold
    bands = json.dumps({"low": threshold.warn, "threshold": threshold.value})
    rules = json.dumps({"review_is": new.review_is})
    row = (shown(new.name), version, new.deadline_ms, bands, rules)
    before = connection.execute(f"SELECT {', '.join(_JOB)} FROM job WHERE number = ?", (new.job,)).fetchone()
    if before == row:
        return
    connection.execute(
        f"INSERT INTO job (number, {', '.join(_JOB)}) VALUES (?, ?, ?, ?, ?, ?) "
        f"ON CONFLICT (number) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _JOB)}",
        (new.job, *row),
    )
    texts = (None if one is None else json.dumps(dict(zip(_JOB, one, strict=True))) for one in (before, row))
    connection.execute(
        "INSERT INTO audit (wall, user, action, before, after) VALUES (?, ?, ?, ?, ?)",
        (new.wall, shown(new.by) or "station.toml", f"job {new.job}", *texts),
    )


def _insert_version(connection: sqlite3.Connection, new: NewCategory, sha256: str) -> int:
    category, threshold = new.category, new.category.threshold
    support = [[item.name, item.sha256] for item in category.support]
    cursor = connection.execute(
        "INSERT INTO category_version (job, hash, sha256, path, threshold, low, method, spec, support_json, made_at,"
        " parent, approved_by, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT category_version FROM job"
        " WHERE number = ?), ?, ?)",
        (
            new.job,
            category.hash,
            sha256,
            shown(new.path),
            threshold.value,
            threshold.warn,
            threshold.method,
            json.dumps(category.spec.to_json()),
            json.dumps(support),
            new.wall,
            new.job,
            shown(new.by) or None,
            shown(new.note) or None,
        ),
    )
    return _id(cursor)


def keep_taught(connection: sqlite3.Connection, category: Category) -> None:
    """Mark the parts whose stored inputs a category was taught with, one part for each, so that they are kept."""
    connection.executemany(
        "UPDATE file SET keep = 1 WHERE inspection = (SELECT min(id) FROM inspection "
        "WHERE input_sha256 = ? AND input_file IS NOT NULL)",
        [(item.sha256,) for item in category.support],
    )


def _file_sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError:
        return ""


def record_file(connection: sqlite3.Connection, inspection: int, stored: Iterable[Stored]) -> None:
    """Record the pictures of a part. Raises sqlite3.Error."""
    for item in stored:
        connection.execute(
            "INSERT OR REPLACE INTO file (path, inspection, kind, rank, bytes, sha256) VALUES (?, ?, ?, ?, ?, ?)",
            (item.path, inspection, item.kind, item.rank, item.bytes, item.sha256),
        )
        column = "input_file" if item.kind == "input" else "full_file"
        connection.execute(f"UPDATE inspection SET {column} = ? WHERE id = ?", (item.path, inspection))


def _id(cursor: sqlite3.Cursor) -> int:
    assert cursor.lastrowid is not None
    return cursor.lastrowid
