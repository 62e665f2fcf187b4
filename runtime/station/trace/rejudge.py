"""Parts of the trace judged again, with another category or another threshold; the verdicts that change are listed."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from ...detector import Detector
from ...errors import CategoryError, InputError
from ..codes import VerdictCode
from ..judge import verdict_of
from .database import transaction, write_access
from .prepared import is_prepared_for, prepared_of
from .reader import Row, Selection, TraceReader

__all__ = ["Change", "Rejudged", "rejudge", "rejudge_threshold", "verdict_of"]

_BATCH = 200
_JUDGED = (VerdictCode.PASS, VerdictCode.REJECT, VerdictCode.REVIEW, VerdictCode.NO_PART)


class Change(NamedTuple):
    """A part whose verdict is another one now; ``score`` is None where nothing was scored."""

    inspection: int
    score_before: float | None
    score: float | None
    verdict_before: VerdictCode
    verdict: VerdictCode


@dataclass(frozen=True)
class Rejudged:
    """What came of it: ``run`` names it in the trace; ``same_scores`` counts those equal in every bit.

    ``left_out`` are parts that never were judged, or whose input is not stored any more; ``other_input`` those whose
    input was laid on another template, or cut out otherwise, than the category asks for: that takes the camera's frame.
    """

    run: int
    judged: int
    changed: int
    same_scores: int
    left_out: int
    other_input: int = 0


class _Again(NamedTuple):
    row: Row
    score: float | None
    verdict: VerdictCode


def rejudge(
    folder: Path,
    detector: Detector,
    selection: Selection | None = None,
    *,
    by: str = "",
    on_change: Callable[[Change], None] = lambda change: None,
    on_other_input: Callable[[int], None] = lambda inspection: None,
) -> Rejudged:
    """Judge the stored inputs of a selection again with the detector's category, one by one.

    With the category, machine, backend and threads of the first time the scores are the same in every bit; with one of
    the same `Category.preparation` they are what it would have given then. ``on_other_input`` receives each part
    whose input was made otherwise. Raises CategoryError without a category, InputError for a stored input that was
    damaged, OutputError.
    """
    category = detector.category
    if category is None:
        raise CategoryError("no category is loaded; call load_category(path) first")
    preparation = category.preparation
    others = 0
    with TraceReader(folder) as reader:
        specs = reader.specs()

        def again(row: Row) -> tuple[float | None, VerdictCode] | None:
            nonlocal others
            if not is_prepared_for(row, category, preparation, specs.get(row["category_version"])):
                others += 1
                on_other_input(row["id"])
                return None
            image = reader.input(row["id"])
            if image is None:
                return None
            (result,) = detector.predict_prepared([prepared_of(row, image, category.registration)])
            return (None if result.refusal else result.score), verdict_of(result)

        done = _run(folder, reader, selection, again, category.hash, category.threshold.value, by, on_change)
    return replace(done, left_out=done.left_out - others, other_input=others)


def rejudge_threshold(
    folder: Path,
    threshold: float,
    selection: Selection | None = None,
    *,
    by: str = "",
    on_change: Callable[[Change], None] = lambda change: None,
) -> Rejudged:
    """Hold the stored scores of a selection against another threshold; nothing is scored again.

    A warn limit stays where it is below. Raises InputError unless ``threshold`` is a number above 0, OutputError.
    """
    if not 0 < threshold < float("inf"):
        raise InputError(f"the threshold is {threshold}; expected a number above 0")
    with TraceReader(folder) as reader:
        lows = reader.warn_limits()

        def again(row: Row) -> tuple[float | None, VerdictCode] | None:
            score = row["score"]
            if score is None:
                return None
            low = lows.get(row["category_version"])
            if score > threshold:
                return score, VerdictCode.REJECT
            return score, VerdictCode.REVIEW if low is not None and score > low else VerdictCode.PASS

        return _run(folder, reader, selection, again, "", threshold, by, on_change)


_Judge = Callable[[Row], "tuple[float | None, VerdictCode] | None"]


def _run(
    folder: Path,
    reader: TraceReader,
    selection: Selection | None,
    judge: _Judge,
    category: str,
    threshold: float | None,
    by: str,
    on_change: Callable[[Change], None],
) -> Rejudged:
    """Judge row by row and store the verdicts a batch at a time, so that the station is never held up."""
    wanted = selection or Selection()
    judged = changed = same = left_out = 0
    batch: list[_Again] = []
    with write_access(folder) as connection:
        run = _begin(connection, wanted, category, threshold, by)
        for row, found in _judged(reader, wanted, judge):
            if found is None:
                left_out += 1
                continue
            done = _Again(row, *found)
            judged += 1
            same += done.score == row["score"]
            if done.verdict != row["verdict"]:
                changed += 1
                on_change(Change(row["id"], row["score"], done.score, VerdictCode(row["verdict"]), done.verdict))
            batch.append(done)
            if len(batch) == _BATCH:
                _store(connection, run, batch)
                batch = []
        _store(connection, run, batch)
    return Rejudged(run, judged, changed, same, left_out)


def _judged(
    reader: TraceReader, selection: Selection, judge: _Judge
) -> Iterator[tuple[Row, tuple[float | None, VerdictCode] | None]]:
    for row in reader.rows(selection):
        yield row, judge(row) if row["verdict"] in _JUDGED else None


def _begin(
    connection: sqlite3.Connection, selection: Selection, category: str, threshold: float | None, by: str
) -> int:
    with transaction(connection):
        version = _version(connection, category) if category else None
        last = connection.execute("SELECT coalesce(max(id), 0) FROM inspection").fetchone()[0]
        cursor = connection.execute(
            "INSERT INTO rejudge_run (category_version, threshold, from_id, to_id, by, at) VALUES (?, ?, ?, ?, ?, ?)",
            (version, threshold, selection.from_id, min(selection.to_id or last, last), by, time.time()),
        )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _version(connection: sqlite3.Connection, category: str) -> int | None:
    found = connection.execute("SELECT max(id) FROM category_version WHERE hash = ?", (category,)).fetchone()[0]
    if found is not None:
        return int(found)
    return connection.execute(
        "INSERT INTO category_version (hash, sha256, path) VALUES (?, '', '')", (category,)
    ).lastrowid


def _store(connection: sqlite3.Connection, run: int, batch: list[_Again]) -> None:
    """Store a batch; a part that was removed meanwhile is passed over."""
    with transaction(connection):
        connection.executemany(
            "INSERT INTO rejudge SELECT ?, id, ?, ? FROM inspection WHERE id = ?",
            [(run, done.score, int(done.verdict), done.row["id"]) for done in batch],
        )
