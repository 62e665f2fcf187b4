"""What learning asks of the trace: parts with their newest label, versions of a job, challenges. Reads only."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from ...errors import InputError
from ...station.codes import VerdictCode
from ...station.trace.reader import TraceReader
from .drift import Measured

__all__ = ["RECENT", "Challenged", "LearningTrace", "Part", "Version"]

RECENT: Final = 50_000
"""So many of the newest parts are looked through: a page must not wait for the whole trace."""

_LABEL = (
    "(SELECT l.value FROM label AS l WHERE l.inspection = i.id AND l.replaced_by IS NULL ORDER BY l.id DESC LIMIT 1)"
)
_PARTS = (
    "SELECT i.id, i.wall, i.job, i.category_version, i.verdict, i.late, i.score, i.threshold, i.serial, i.part_id, "
    "i.reason, i.spot_x, i.spot_y, i.input_file IS NOT NULL, i.full_file IS NOT NULL, i.mean, i.sharp, i.input_sha256, "
    f"{_LABEL} AS label FROM inspection AS i"
)
_SCORED = f"i.verdict IN ({int(VerdictCode.PASS)}, {int(VerdictCode.REJECT)}, {int(VerdictCode.REVIEW)})"
_JUDGED = f"({_SCORED} OR i.verdict = {int(VerdictCode.NO_PART)})"
_ASIDE = (
    f"(i.verdict IN ({int(VerdictCode.REJECT)}, {int(VerdictCode.REVIEW)}, {int(VerdictCode.NO_PART)}) OR i.late = 1)"
)
_OF_CATEGORY = "i.category_version IN (SELECT id FROM category_version WHERE hash = ? AND job = ?)"
_GOOD = f"(label = 'good' OR (label IS NULL AND i.verdict = {int(VerdictCode.PASS)}))"


class Part(NamedTuple):
    """A part as the trace has it, with its newest label (good, defect, unsure) or None."""

    id: int
    wall: float
    job: int | None
    version: int | None
    verdict: int
    late: bool
    score: float | None
    threshold: float | None
    serial: str
    part_id: int
    reason: str
    spot_x: int | None
    spot_y: int | None
    has_input: bool
    has_full: bool
    mean: float | None
    sharp: float | None
    input_sha256: str | None
    label: str | None

    @property
    def passed(self) -> bool:
        """Whether it was judged good."""
        return self.verdict == VerdictCode.PASS

    @property
    def good(self) -> bool:
        """Whether it is taken as good: labelled so, or judged so and not labelled otherwise."""
        return self.label == "good" or (self.label is None and self.passed)


class Version(NamedTuple):
    """A version of a job's category: a file by its sha256 with its limits. ``active``: the one in force."""

    id: int
    job: int
    hash: str
    sha256: str
    path: str
    threshold: float | None
    low: float | None
    method: str | None
    spec: str | None
    support: tuple[tuple[str, str], ...]
    approved_by: str | None
    made_at: float | None
    retired_at: float | None
    note: str | None
    active: bool


class Challenged(NamedTuple):
    """A challenge as it was recorded: ``expected`` and ``verdict`` are `VerdictCode`."""

    id: int
    job: int
    expected: int
    inspection: int | None
    ok: bool
    by: str
    at: float


class LearningTrace(TraceReader):
    """`TraceReader`, and what learning asks. Every method raises InputError for a database that cannot be read."""

    def __enter__(self) -> LearningTrace:
        return self

    def _parts(self, where: str, values: Iterable[object], order: str, limit: int) -> list[Part]:
        rows = self._query(f"{_PARTS} WHERE {where} ORDER BY {order} LIMIT ?", *values, limit)
        return [Part(*row)._replace(late=bool(row[5]), has_input=bool(row[13]), has_full=bool(row[14])) for row in rows]

    def newest(self) -> int:
        """The id of the newest part; 0 where there is none."""
        return int(self._query("SELECT coalesce(max(id), 0) FROM inspection")[0][0])

    def part(self, inspection: int) -> Part:
        """Return one part. Raises InputError if there is none of that id."""
        found = self._parts("i.id = ?", (inspection,), "i.id", 1)
        if not found:
            raise InputError(f"the trace has no part of id {inspection}; it was removed, or never there")
        return found[0]

    def aside(self, job: int | None, *, labelled: bool, nearest: bool, limit: int) -> list[Part]:
        """Return parts that did not pass or were late, without a label unless ``labelled``.

        The newest first, or those whose score is nearest to its threshold. Parts without a score come last then.
        """
        where, values = f"i.id > ? AND {_ASIDE}", [max(0, self.newest() - RECENT)]
        if job is not None:
            where, values = f"{where} AND i.job = ?", [*values, job]
        if not labelled:
            where += " AND label IS NULL"
        order = "i.score IS NULL, abs(i.score / i.threshold - 1), i.id DESC" if nearest else "i.id DESC"
        return self._parts(where, values, order, limit)

    def labelled(self, job: int) -> list[Part]:
        """Return every part of a job that has a label, the oldest first."""
        where = "i.id IN (SELECT inspection FROM label WHERE replaced_by IS NULL) AND i.job = ?"
        return self._parts(where, (job,), "i.id", -1)

    def scored(self, job: int, category: str, limit: int) -> list[Part]:
        """Return the newest parts of a job that a category (its hash) gave a score, the newest first."""
        where = f"i.id > ? AND i.job = ? AND {_SCORED} AND i.score > 0 AND {_OF_CATEGORY}"
        return self._parts(where, (max(0, self.newest() - RECENT), job, category, job), "i.id DESC", limit)

    def goods(self, job: int, limit: int, *, stored: bool = False) -> list[Part]:
        """Return the newest parts of a job that are taken as good (`Part.good`), the newest first.

        ``stored``: only those whose input is stored.
        """
        where = f"i.id > ? AND i.job = ? AND {_GOOD}" + (" AND i.input_file IS NOT NULL" if stored else "")
        return self._parts(where, (max(0, self.newest() - RECENT), job), "i.id DESC", limit)

    def parts(self, inspections: Iterable[int]) -> list[Part]:
        """Return these parts, by rising id. Raises InputError naming the first that the trace does not have."""
        wanted = sorted(set(inspections))
        return [self.part(one) for one in wanted]

    def input_of(self, sha256: str) -> int | None:
        """Return a part whose stored input has that sha256; None where there is none."""
        rows = self._query(
            "SELECT id FROM inspection WHERE input_sha256 = ? AND input_file IS NOT NULL ORDER BY id LIMIT 1", sha256
        )
        return int(rows[0][0]) if rows else None

    def measured(self, job: int, after: int, limit: int) -> list[tuple[Measured, int | None]]:
        """Return what drift watches of the parts of a job after an id, by rising id, each with its version."""
        found = self._parts(f"i.id > ? AND i.job = ? AND {_JUDGED}", (after, job), "i.id", limit)
        return [(Measured(one.id, one.score, one.mean, one.sharp, one.good, one.passed), one.version) for one in found]

    def first_of(self, version: int) -> int | None:
        """Return the first part that a version judged."""
        rows = self._query("SELECT min(id) FROM inspection WHERE category_version = ?", version)
        return None if rows[0][0] is None else int(rows[0][0])

    def versions(self, job: int) -> list[Version]:
        """Return the versions of a job, the newest first."""
        rows = self._query(
            "SELECT v.id, v.job, v.hash, v.sha256, v.path, v.threshold, v.low, v.method, v.spec, v.support_json, "
            "v.approved_by, v.made_at, v.retired_at, v.note, v.id = j.category_version FROM category_version AS v "
            "LEFT JOIN job AS j ON j.number = v.job WHERE v.job = ? AND v.sha256 != '' ORDER BY v.id DESC",
            job,
        )
        return [_version(row) for row in rows]

    def version(self, job: int, number: int | None = None) -> Version:
        """Return a version of a job by its id, or the one in force. Raises InputError if there is none."""
        for one in self.versions(job):
            if one.active if number is None else one.id == number:
                return one
        what = "no version in force; start the line" if number is None else f"no version {number}"
        raise InputError(f"job {job} has {what}")

    def challenges(self, job: int | None = None, limit: int = 100) -> list[Challenged]:
        """Return the newest challenges, the newest first."""
        where, values = ("WHERE job = ?", (job,)) if job is not None else ("", ())
        rows = self._query(
            f"SELECT id, job, expected, inspection, ok, by, at FROM challenge {where} ORDER BY id DESC LIMIT ?",
            *values,
            limit,
        )
        return [Challenged(*row)._replace(ok=bool(row[4])) for row in rows]

    def mark(self, job: int) -> tuple[int, int]:
        """Return the newest label and challenge of a job: what was said of it until then."""
        label = (
            "SELECT coalesce(max(l.id), 0) FROM label AS l JOIN inspection AS i ON i.id = l.inspection WHERE i.job = ?"
        )
        challenge = "SELECT coalesce(max(id), 0) FROM challenge WHERE job = ?"
        return int(self._query(label, job)[0][0]), int(self._query(challenge, job)[0][0])


def _version(row: tuple[Any, ...]) -> Version:
    named = dict(zip(Version._fields, row, strict=True))
    return Version(**{**named, "support": _support(named["support"]), "active": bool(named["active"])})


def _support(text: Any) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), str(sha256)) for name, sha256 in json.loads(text)) if text else ()
