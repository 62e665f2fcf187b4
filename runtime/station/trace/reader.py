"""Reads a trace beside the station that writes it; nothing here can change it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...formats.spec import InputSpec
from .database import DATABASE, is_there
from .files import FileStore, map_of, unpack_map
from .retention import HOUR_NS
from .rows import COLUMNS
from .schema import VERSION, version_of

__all__ = ["EXPORTED", "Gap", "Heads", "Row", "Selection", "TraceReader"]

Row = dict[str, Any]
"""One row by the names of `EXPORTED`: int, float, str or None."""
EXPORTED = (*COLUMNS, "category", "label")
"""The columns of ``inspection``, the category's hash, and the value of the newest label or None."""

_PAGE = 500
_LABEL = "(SELECT value FROM label WHERE inspection = i.id AND replaced_by IS NULL ORDER BY id DESC LIMIT 1)"
_FROM = "FROM inspection AS i LEFT JOIN category_version AS v ON v.id = i.category_version"
_GAPS = f"""
WITH pairs AS (
    SELECT boot, seq, coalesce(lag(seq) OVER w, 0) AS before, coalesce(lag(mono_ns) OVER w, 0) / {HOUR_NS} AS hour,
           mono_ns / {HOUR_NS} AS this_hour
    FROM inspection WINDOW w AS (PARTITION BY boot ORDER BY seq))
SELECT boot, before, seq FROM pairs WHERE seq > before + 1 AND NOT EXISTS (
    SELECT 1 FROM hour WHERE hour.boot = pairs.boot AND hour.hour BETWEEN pairs.hour AND pairs.this_hour)
ORDER BY boot, seq"""


@dataclass(frozen=True)
class Selection:
    """Which parts: those that fit everything that is given. ``from_id`` and ``to_id`` are both included."""

    from_id: int = 1
    to_id: int | None = None
    job: int | None = None
    verdict: int | None = None
    part_id: int | None = None
    serial: str | None = None

    def conditions(self) -> tuple[str, list[int | str]]:
        """Return SQL to add to a WHERE of table ``i``, and its values."""
        values = {
            "i.id <= ?": self.to_id,
            "i.job = ?": self.job,
            "i.verdict = ?": self.verdict,
            "i.part_id = ?": self.part_id,
            "i.serial = ?": self.serial,
        }
        given = {text: value for text, value in values.items() if value is not None}
        return "".join(f" AND {text}" for text in given), list(given.values())


class Gap(NamedTuple):
    """Parts of a boot that have no row though later ones do: those after ``after`` and before ``before``, both seq."""

    boot: int
    after: int
    before: int


class Heads(NamedTuple):
    """The highest ids of a trace, 0 for none, and a name by which this trace is told from others of the station."""

    trace: str
    row: int
    event: int


class TraceReader:
    """Reads the trace in ``folder``; beside the writer, by one thread at a time. Use it in a ``with`` block.

    Every method raises InputError for a database that cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / DATABASE
        if not is_there(path, InputError):
            raise InputError(f"{path} does not exist; name the trace folder of a station that has run")
        self._path = path
        self.files = FileStore(folder)
        with ExitStack() as failed:
            with self._readable():
                self._connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)
                failed.callback(self._connection.close)
                found = version_of(self._connection)
                there = {row[1] for row in self._connection.execute("PRAGMA table_info(inspection)")}
            if not 1 <= found <= VERSION:
                raise InputError(f"{path} has version {found}; this program reads version 1 to {VERSION}: update regad")
            failed.pop_all()

        columns = (f"i.{name}" if name in there else "NULL" for name in COLUMNS)  # those of later versions
        self._rows = f"SELECT {', '.join(columns)}, v.hash, {_LABEL} {_FROM}"

    def __enter__(self) -> TraceReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise InputError(f"the trace {self._path} cannot be read: {error}") from error

    def _query(self, sql: str, *values: object) -> list[Any]:
        with self._readable():
            return self._connection.execute(sql, values).fetchall()

    def rows(self, selection: Selection | None = None, page: int = _PAGE) -> Iterator[Row]:
        """Yield the rows of a selection by rising id, ``page`` at a time: the writer is never held up."""
        wanted = selection or Selection()
        more, values = wanted.conditions()
        start = wanted.from_id
        while found := self._query(f"{self._rows} WHERE i.id >= ?{more} ORDER BY i.id LIMIT {page}", start, *values):
            for row in found:
                yield dict(zip(EXPORTED, row, strict=True))
            start = found[-1][0] + 1

    def heads(self) -> Heads:
        """Return where the trace ends; cheap enough to be asked many times a second.

        The name comes from its first boot: ids begin again where a damaged trace was set aside. It is "" without one.
        """
        found = self._query(
            "SELECT (SELECT max(id) FROM inspection), (SELECT max(id) FROM event), wall, mono_start "
            "FROM (SELECT 1) LEFT JOIN (SELECT wall, mono_start FROM boot ORDER BY id LIMIT 1)"
        )
        row, event, wall, start = found[0]
        name = "" if start is None else hashlib.sha256(f"{wall!r} {start}".encode()).hexdigest()[:8]
        return Heads(name, row or 0, event or 0)

    def row(self, inspection: int) -> Row:
        """Return one row. Raises InputError if there is none of that id."""
        for row in self.rows(Selection(inspection, inspection)):
            return row
        raise InputError(f"the trace has no part of id {inspection}; it was removed, or never there")

    def input(self, inspection: int) -> NDArray[np.uint8] | None:
        """Return what the encoder saw, uint8 RGB [224, 224, 3]; None if it is not stored. Raises InputError."""
        found = self._file(inspection, "input")
        return None if found is None else self.files.read_input(*found)

    def full(self, inspection: int) -> bytes | None:
        """Return the full picture's JPEG; None if it is not stored. Raises InputError."""
        found = self._file(inspection, "full")
        return None if found is None else self.files.read(*found)

    def input_file(self, inspection: int) -> bytes | None:
        """Return the PNG of `input`; None if it is not stored. Raises InputError."""
        found = self._file(inspection, "input")
        return None if found is None else self.files.read(*found)

    def _file(self, inspection: int, kind: str) -> tuple[str, str] | None:
        rows = self._query("SELECT path, sha256 FROM file WHERE inspection = ? AND kind = ?", inspection, kind)
        return tuple(rows[0]) if rows else None

    def heat(self, inspection: int) -> tuple[float, NDArray[np.uint8]] | None:
        """Return a map as it is stored: its largest value, and uint8 [56, 56] in 255ths of that; None if there is none.

        Raises InputError if it was damaged.
        """
        rows = self._query("SELECT top, map FROM heat WHERE inspection = ?", inspection)
        return (float(rows[0][0]), unpack_map(rows[0][1])) if rows else None

    def map(self, inspection: int) -> NDArray[np.float32] | None:
        """Return the map, float32 [56, 56]; None if there is none. Raises InputError if it was damaged."""
        found = self.heat(inspection)
        return None if found is None else map_of(*found)

    def category_file(self, inspection: int) -> tuple[Path, str] | None:
        """Return where the category's file lay and its sha256; None if it was never recorded."""
        rows = self._query(
            "SELECT v.path, v.sha256 FROM category_version AS v JOIN inspection AS i ON i.category_version = v.id "
            "WHERE i.id = ? AND v.sha256 != ''",
            inspection,
        )
        return (Path(rows[0][0]), rows[0][1]) if rows else None

    def warn_limits(self) -> dict[int, float | None]:
        """Return the warn limit of each category version, None where it has none."""
        return dict(self._query("SELECT id, low FROM category_version"))

    def specs(self) -> dict[int, InputSpec]:
        """Return what each category version was taught with, of those that were recorded. Raises InputError."""
        found = self._query("SELECT id, spec FROM category_version WHERE spec IS NOT NULL")
        try:
            return {number: InputSpec.from_json(json.loads(text)) for number, text in found}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"the trace {self._path} holds a damaged specification of an input: {error!r}") from error

    def boots(self) -> list[Row]:
        """Return every boot, the oldest first; ``clean`` is 0 for one that was cut off, or still runs."""
        names = ("id", "wall", "clock_ok", "clean", "mono_start", "mono_last", "software", "artifact")
        return [dict(zip(names, row, strict=True)) for row in self._query("SELECT * FROM boot ORDER BY id")]

    def events(self, from_id: int = 1) -> list[Row]:
        """Return the events from an id on, the oldest first."""
        names = ("id", "boot", "mono_ns", "wall", "severity", "code", "text")
        found = self._query(f"SELECT {', '.join(names)} FROM event WHERE id >= ? ORDER BY id", from_id)
        return [dict(zip(names, row, strict=True)) for row in found]

    def gaps(self) -> list[Gap]:
        """Return where rows are missing in the middle of a boot, other than by the policy's age."""
        return [Gap(*row) for row in self._query(_GAPS)]
