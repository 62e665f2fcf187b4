"""Every entry of the trace's queue as a row of its table; what people say names rows that have to be there."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from ...text import shown
from .entries import (
    Acknowledgement,
    Audit,
    Challenge,
    Correction,
    Entry,
    Event,
    Label,
    NewCategory,
    Notice,
    PartName,
)
from .inspection import Inspection, TraceAlarm
from .rows import correct_output, insert_category, insert_event, insert_inspection

__all__ = ["MissingRowError", "insert_entry"]


class MissingRowError(ValueError):
    """What was said names a part, event or job that the trace does not have."""


def insert_entry(connection: sqlite3.Connection, boot: int, entry: Entry, now: tuple[int, float]) -> int:
    """Write an entry in this ``boot``; return its row's id (of a correction: how many rows it changed).

    ``now`` is the time, monotonic nanoseconds and seconds since 1970. What names a row that is not there becomes an
    event, and MissingRowError is raised; for what cannot be stored sqlite3.Error, TypeError, ValueError or
    OverflowError.
    """
    try:
        return _INSERTS[type(entry)](connection, boot, entry)
    except MissingRowError as error:
        insert_event(connection, boot, Event("warning", TraceAlarm.UNKNOWN, str(error), *now))
        raise


def _insert_label(connection: sqlite3.Connection, boot: int, label: Label) -> int:
    inspection = _part_id(connection, boot, label.part, f"the label {label.value!r} by {label.by}")
    row = connection.execute(
        "INSERT INTO label (inspection, value, kind, by, at, note) VALUES (?, ?, ?, ?, ?, ?)",
        (inspection, label.value, shown(label.kind), shown(label.by), float(label.at), shown(label.note)),
    ).lastrowid
    assert row is not None
    connection.execute(
        "UPDATE label SET replaced_by = ? WHERE inspection = ? AND replaced_by IS NULL AND id != ?",
        (row, inspection, row),
    )
    return row


def _insert_challenge(connection: sqlite3.Connection, boot: int, challenge: Challenge) -> int:
    what = f"the challenge of job {challenge.job} by {challenge.by}"
    inspection = None if challenge.part is None else _part_id(connection, boot, challenge.part, what)
    row = connection.execute(
        "INSERT INTO challenge (job, expected, inspection, ok, by, at) VALUES (?, ?, ?, ?, ?, ?)",
        (
            int(challenge.job),
            int(challenge.expected),
            inspection,
            bool(challenge.ok),
            shown(challenge.by),
            float(challenge.at),
        ),
    ).lastrowid
    assert row is not None
    return row


def _insert_audit(connection: sqlite3.Connection, boot: int, audit: Audit) -> int:
    before, after = (None if text is None else shown(text) for text in (audit.before, audit.after))
    row = connection.execute(
        "INSERT INTO audit (wall, user, action, before, after) VALUES (?, ?, ?, ?, ?)",
        (float(audit.at), shown(audit.by), shown(audit.action), before, after),
    ).lastrowid
    assert row is not None
    return row


def _insert_notice(connection: sqlite3.Connection, boot: int, notice: Notice) -> int:
    event = Event(notice.severity, notice.code, notice.text, notice.mono_ns, float(notice.at))
    return insert_event(connection, boot, event)


def _acknowledge(connection: sqlite3.Connection, boot: int, seen: Acknowledgement) -> int:
    """Only once: who looks later has not been the first to see it."""
    if connection.execute("SELECT 1 FROM event WHERE id = ?", (seen.event,)).fetchone() is None:
        raise MissingRowError(f"the trace has no event {seen.event}, which {shown(seen.by)} has seen")
    connection.execute(
        "UPDATE event SET acked_by = ?, acked_at = ? WHERE id = ? AND acked_by IS NULL",
        (shown(seen.by), float(seen.at), seen.event),
    )
    return seen.event


def _part_id(connection: sqlite3.Connection, boot: int, part: PartName, what: str) -> int:
    """The id of a part's row. Raises MissingRowError."""
    if part.inspection is None:
        name, condition = f"part of seq {part.seq} since the start", "boot = ? AND seq = ?"
        values: tuple[int | None, ...] = (boot, part.seq)
    else:
        name, condition, values = f"part {part.inspection}", "id = ?", (part.inspection,)
    found = connection.execute(f"SELECT id FROM inspection WHERE {condition}", values).fetchone()
    if found is None:
        raise MissingRowError(f"{shown(what)} was not recorded: the trace has no {name}")
    return int(found[0])


_INSERTS: dict[type, Callable[[sqlite3.Connection, int, Any], int]] = {
    Inspection: lambda connection, boot, entry: insert_inspection(connection, entry),
    Event: insert_event,
    NewCategory: lambda connection, boot, entry: insert_category(connection, entry),
    Correction: correct_output,
    Label: _insert_label,
    Challenge: _insert_challenge,
    Audit: _insert_audit,
    Acknowledgement: _acknowledge,
    Notice: _insert_notice,
}
