"""Finds parts in a trace, the newest first, and counts them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from .reader import EXPORTED, Row, TraceReader

__all__ = ["GOOD", "Counts", "Query", "TraceSearch", "Version"]

GOOD = "(i.verdict = 1 AND i.output IN (0, 1) AND NOT i.late)"
"""SQL: a part was judged good and let pass, as `Inspection.good` says it."""

_VERSIONS = "id, job, hash, sha256, threshold, low, method, parent, made_by, approved_by, made_at, retired_at, note"


@dataclass(frozen=True)
class Query:
    """Which parts: those that fit everything that is given.

    ``serial`` is how the serial begins; ``good`` whether the part passed; ``label`` may be "none"; ``since`` and
    ``until`` are seconds since 1970; only ids above ``after`` and below ``before``.
    """

    verdict: int | None = None
    good: bool | None = None
    job: int | None = None
    part_id: int | None = None
    serial: str | None = None
    label: Literal["good", "defect", "unsure", "none", "any"] | None = None
    since: float | None = None
    until: float | None = None
    before: int | None = None
    after: int | None = None

    def where(self) -> tuple[str, list[object]]:
        """Return the SQL of the condition, and its values."""
        labelled = "SELECT inspection FROM label WHERE replaced_by IS NULL"
        serial = None if self.serial is None else _escaped(self.serial) + "%"
        values: list[tuple[str, object]] = [
            ("i.id < ?", self.before),
            ("i.id > ?", self.after),
            ("i.verdict = ?", self.verdict),
            ("i.job = ?", self.job),
            ("i.part_id = ?", self.part_id),
            ("i.serial LIKE ? ESCAPE '\\'", serial),
            ("i.wall >= ?", self.since),
            ("i.wall <= ?", self.until),
            (f"i.id IN ({labelled} AND value = ?)", self.label if self.label not in ("none", "any") else None),
        ]
        given = [(text, value) for text, value in values if value is not None]
        texts = [text for text, _ in given]
        if self.good is not None:
            texts.append(GOOD if self.good else f"NOT {GOOD}")
        if self.label in ("none", "any"):
            texts.append(f"i.id {'NOT ' if self.label == 'none' else ''}IN ({labelled})")
        return " AND ".join(texts) or "1", [value for _, value in given]


class Counts(NamedTuple):
    """How many parts from an id on, and how many of them did not pass; ``last`` is the newest that was counted."""

    parts: int
    rejects: int
    last: int


class Version(NamedTuple):
    """A category version as the trace knows it; ``path`` is where its file lay."""

    id: int
    job: int | None
    hash: str
    sha256: str
    path: str


class TraceSearch(TraceReader):
    """A `TraceReader` that also searches. Every method raises InputError for a database that cannot be read."""

    def __enter__(self) -> TraceSearch:
        return self

    def search(self, query: Query, limit: int) -> list[Row]:
        """Return the newest parts that fit, at most ``limit``."""
        where, values = query.where()
        found = self._query(f"{self._rows} WHERE {where} ORDER BY i.id DESC LIMIT ?", *values, limit)
        return [dict(zip(EXPORTED, row, strict=True)) for row in found]

    def newest(self) -> int:
        """Return the highest id, 0 for none."""
        return int(self._query("SELECT coalesce(max(id), 0) FROM inspection")[0][0])

    def first_since(self, wall: float) -> int:
        """Return the id of the first part after the last one that is older than ``wall``, seconds since 1970."""
        found = self._query("SELECT id FROM inspection WHERE wall < ? ORDER BY id DESC LIMIT 1", wall)
        return int(found[0][0]) + 1 if found else 1

    def counts(self, first: int) -> Counts:
        """Count the parts from an id on."""
        sql = f"SELECT count(*), coalesce(sum(NOT {GOOD}), 0), coalesce(max(id), 0) FROM inspection AS i WHERE id >= ?"
        return Counts(*(int(value) for value in self._query(sql, first)[0]))

    def versions(self) -> list[Row]:
        """Return every category version, the newest first, without where its file lies."""
        names = _VERSIONS.split(", ")
        found = self._query(f"SELECT {_VERSIONS} FROM category_version ORDER BY id DESC")
        return [dict(zip(names, row, strict=True)) for row in found]

    def version(self, number: int) -> Version | None:
        """Return a category version, None if there is none of that id."""
        found = self._query("SELECT id, job, hash, sha256, path FROM category_version WHERE id = ?", number)
        return Version(*found[0]) if found else None

    def labels(self, inspection: int) -> list[Row]:
        """Return every label that a part was ever given, the oldest first; ``replaced`` ones hold no more."""
        names = ("id", "value", "kind", "by", "at", "note", "replaced_by")
        found = self._query(f"SELECT {', '.join(names)} FROM label WHERE inspection = ? ORDER BY id", inspection)
        return [dict(zip(names, row, strict=True)) for row in found]

    def log(self, before: int | None, limit: int) -> list[Row]:
        """Return the newest events below an id."""
        names = ("id", "boot", "wall", "severity", "code", "text", "acked_by", "acked_at")
        sql = f"SELECT {', '.join(names)} FROM event WHERE id < ? ORDER BY id DESC LIMIT ?"
        found = self._query(sql, 1 << 62 if before is None else before, limit)
        return [dict(zip(names, row, strict=True)) for row in found]

    def audit(self, before: int | None, limit: int) -> list[Row]:
        """Return the newest entries of the audit trail below an id."""
        names = ("id", "wall", "user", "action", "before", "after")
        sql = f"SELECT {', '.join(names)} FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?"
        found = self._query(sql, 1 << 62 if before is None else before, limit)
        return [dict(zip(names, row, strict=True)) for row in found]

    def pictures(self, since: float) -> tuple[int, int]:
        """Return the bytes of all stored pictures, and of those of parts since ``since``."""
        total = self._query("SELECT coalesce(sum(bytes), 0) FROM file")[0][0]
        first = self.first_since(since)
        recent = self._query("SELECT coalesce(sum(bytes), 0) FROM file WHERE inspection >= ?", first)[0][0]
        return int(total), int(recent)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
