"""Which pictures and rows make room, and which never do.

Room is made in the order of `files.RANKS`. The last rank, what rejects rest on, only makes room where the trace itself
is above its limit: that limit is kept, and the newest parts are worth more than the oldest ones. Where the disk is
short for whatever reason it stays, and pictures are not stored any more. Age is the station's running time, counted by
boots and their monotonic clocks: a wall clock that jumps deletes nothing. A part that is labelled, was a challenge or
was taught with is never touched, and only files that have a row are removed. A file goes before its row: what is cut
short in between is finished by the next pass, and a full disk has room again for the row's removal.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from .database import DATABASE, transaction
from .files import RANKS, FileStore
from .inspection import TracePolicy

__all__ = ["HOUR_NS", "UNKEPT", "Retention", "free_bytes"]

HOUR_NS = 3_600_000_000_000
_DAY_NS = 24 * HOUR_NS
_BATCH = 64
_SLACK = 1.02  # how much more than the limit has to be free before pictures are stored again

UNKEPT = (
    "NOT EXISTS (SELECT 1 FROM label WHERE label.inspection = {0})"
    " AND NOT EXISTS (SELECT 1 FROM challenge WHERE challenge.inspection = {0})"
    " AND NOT EXISTS (SELECT 1 FROM file AS kept WHERE kept.inspection = {0} AND kept.keep != 0)"
)
"""The condition, of the id ``{0}``, that a part may go."""
_CANDIDATES = f"SELECT path, bytes, kind, inspection FROM file WHERE rank = ? AND {UNKEPT.format('file.inspection')}"


def free_bytes(folder: Path) -> int:
    """Return how much of the disk an ordinary user could still fill. Raises OSError."""
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize


class _Block(NamedTuple):
    """The parts of one hour of one boot: ``after`` < id, in ``boot``, before ``end`` of its monotonic clock."""

    after: int
    boot: int
    hour: int

    @property
    def end(self) -> int:
        return (self.hour + 1) * HOUR_NS


class Retention:
    """Removes what the policy lets go of, a batch at a time, on the writer's connection."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        folder: Path,
        policy: TracePolicy,
        *,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self._connection, self._folder, self._policy, self._free = connection, folder, policy, free
        self._store = FileStore(folder)
        self._used = int(connection.execute("SELECT coalesce(sum(bytes), 0) FROM file").fetchone()[0])
        self._cursor = 0
        self.short = False

    def stored(self, count: int) -> None:
        """Count ``count`` bytes of new pictures."""
        self._used += count

    def has_room(self) -> bool:
        """Whether the limits are kept; once they were not, a little more than they ask for."""
        slack = _SLACK if self.short else 1.0
        try:
            if self._free(self._folder) < self._policy.min_free_gb * 1e9 * slack:
                return False
            return not self._is_above_limit(slack)
        except OSError:
            return False

    def _is_above_limit(self, slack: float = 1.0) -> bool:
        """Whether the trace itself is larger than the policy allows. Raises OSError."""
        return self._policy.max_gb is not None and self._total() * slack > self._policy.max_gb * 1e9

    def _total(self) -> int:
        database = (self._folder / f"{DATABASE}{suffix}" for suffix in ("", "-wal"))
        return self._used + sum(path.stat().st_size for path in database if path.exists())

    def make_room(self) -> bool:
        """Remove a batch of pictures if room is short; return whether pictures may be stored. Raises sqlite3.Error.

        Under the policy ``stop`` nothing is removed.
        """
        if self.has_room():
            self.short = False
        elif self._policy.on_disk_full == "stop" or not self.remove_pictures():
            self.short = True
        return not self.short

    def remove_pictures(self, count: int = _BATCH) -> int:
        """Remove up to ``count`` pictures, the least useful and oldest first; return how many. Raises sqlite3.Error."""
        removed = 0
        for rank in sorted(RANKS.values()):
            if rank == max(RANKS.values()) and not self._must_give_evidence():
                break
            with transaction(self._connection):
                found = self._connection.execute(
                    f"{_CANDIDATES} ORDER BY inspection LIMIT ?", (rank, count - removed)
                ).fetchall()
                gone = [row for row in found if self._unlink(row[0])]
                for path, _, kind, inspection in gone:
                    column = "input_file" if kind == "input" else "full_file"
                    self._connection.execute(f"UPDATE inspection SET {column} = NULL WHERE id = ?", (inspection,))
                    self._connection.execute("DELETE FROM file WHERE path = ?", (path,))
            self._used -= sum(size for _, size, _, _ in gone)
            removed += len(gone)
            if removed >= count:
                break
        return removed

    def _must_give_evidence(self) -> bool:
        """Whether what rejects rest on goes too: the trace is above its own limit, and all else is gone."""
        try:
            return self._is_above_limit(_SLACK if self.short else 1.0)
        except OSError:
            return False

    def _unlink(self, path: str) -> bool:
        try:
            self._store.remove(path)
        except OSError:
            return False
        return True

    def expire(self, now_ns: int, boot: int) -> int:
        """Remove a batch of parts that are older than the policy keeps; return how many rows went.

        ``now_ns`` is the monotonic time of the present ``boot``. An hour goes once all of it is too old; the table
        ``hour`` keeps its sums. Raises sqlite3.Error.
        """
        block = None if self._policy.keep_days is None else self._next_block()
        if block is None or not self._is_old(block, now_ns, boot):
            return 0
        freed = 0
        gone: list[int] = []
        with transaction(self._connection):
            self._sum_up(block)
            found = self._connection.execute(
                "SELECT id FROM inspection WHERE id > ? AND boot = ? AND mono_ns < ? "
                f"AND {UNKEPT.format('inspection.id')} ORDER BY id LIMIT ?",
                (block.after, block.boot, block.end, _BATCH),
            ).fetchall()
            for (row,) in found:
                size = self._remove_files(row)
                if size is not None:
                    freed += size
                    gone.append(row)
            self._connection.executemany("DELETE FROM inspection WHERE id = ?", [(row,) for row in gone])
        self._used -= freed
        if len(gone) < _BATCH:
            self._pass(block)
        return len(gone)

    def _next_block(self) -> _Block | None:
        row = self._connection.execute(
            "SELECT boot, mono_ns FROM inspection WHERE id > ? ORDER BY id LIMIT 1", (self._cursor,)
        ).fetchone()
        return None if row is None else _Block(self._cursor, row[0], row[1] // HOUR_NS)

    def _pass(self, block: _Block) -> None:
        """Go on behind a block; what is left of it is kept."""
        last = self._connection.execute(
            "SELECT max(id) FROM inspection WHERE id > ? AND boot = ? AND mono_ns < ?",
            (block.after, block.boot, block.end),
        ).fetchone()[0]
        if last is not None:
            self._cursor = int(last)

    def _is_old(self, block: _Block, now_ns: int, boot: int) -> bool:
        """Whether the station has run for ``keep_days`` since the block's end."""
        assert self._policy.keep_days is not None
        boots = self._connection.execute(
            "SELECT id, mono_start, mono_last FROM boot WHERE id >= ? AND id <= ?", (block.boot, boot)
        ).fetchall()
        run = 0
        for number, start, last in boots:
            start = max(start, block.end) if number == block.boot else start
            run += max(0, (now_ns if number == boot else last) - start)
        return run > self._policy.keep_days * _DAY_NS

    def _remove_files(self, row: int) -> int | None:
        """Remove a part's files; return their bytes, or None if one cannot be removed: its row then stays."""
        found = self._connection.execute("SELECT path, bytes FROM file WHERE inspection = ?", (row,)).fetchall()
        if not all(self._unlink(path) for path, _ in found):
            return None
        self._connection.execute("DELETE FROM file WHERE inspection = ?", (row,))
        return sum(int(size) for _, size in found)

    def _sum_up(self, block: _Block) -> None:
        """Write the sums of an hour, once, before the first of its rows goes."""
        rows = self._connection.execute(
            "SELECT coalesce(job, -1), coalesce(category_version, -1), wall, verdict, score, mean, ms_total "
            "FROM inspection WHERE id > ? AND boot = ? AND mono_ns < ?",
            (block.after, block.boot, block.end),
        ).fetchall()
        groups: dict[tuple[int, int], list[tuple[float, ...]]] = {}
        for job, version, *rest in rows:
            groups.setdefault((job, version), []).append(tuple(rest))
        for (job, version), group in groups.items():
            walls, verdicts, scores, means, times = zip(*group, strict=True)
            counts = {str(verdict): verdicts.count(verdict) for verdict in sorted(set(verdicts))}
            late = _quantiles(times, (0.99,))
            sums = (json.dumps(counts), json.dumps(_quantiles(scores)), json.dumps(_quantiles(means)))
            self._connection.execute(
                "INSERT OR IGNORE INTO hour VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (block.boot, block.hour, job, version, walls[0], len(group), *sums, late[0] if late else None),
            )


def _quantiles(
    values: Sequence[float | None], shares: Sequence[float] = (0.01, 0.1, 0.5, 0.9, 0.99)
) -> list[float] | None:
    """The values below which those shares lie (the nearest value, none made up); None of nothing."""
    known = sorted(value for value in values if value is not None)
    return [known[round(share * (len(known) - 1))] for share in shares] if known else None
