"""What the trace's thread does: commits rows, stores pictures, makes room, and carries on when any of it fails."""

from __future__ import annotations

import sqlite3
from collections import deque
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

from ...errors import OutputError
from .alarms import Alarms, Host, Losses
from .boots import begin_boot, end_boot
from .database import DATABASE, Opened, is_damage, is_full, open_writer, transaction
from .entries import Entry, settle
from .entry_rows import MissingRowError, insert_entry
from .files import FileStore, Kind, Stored
from .inbox import Inbox, picture_bytes
from .inspection import Boot, Inspection, TraceAlarm, TracePolicy
from .retention import Retention
from .rows import record_file
from .syncer import Flight, Syncer

__all__ = ["Recorder"]

_LOOK_NS = 1_000_000_000
_SHUT_NS = 10_000_000_000
"""For how long no pictures are stored after one could not be, though the disk seems to have room (a quota)."""
_IN_FLIGHT = 64  # parts whose pictures are being synced: of more the memory could not be bounded
_AT_ONCE = 500
"""Rows in one transaction: others that write, and a line that waits, get their turn in between."""
_UNFIT = (
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    TypeError,
    ValueError,
    OverflowError,
    AttributeError,
)
"""What an entry that cannot be stored at all raises; the disk raises others."""


class Recorder:
    """Works in the trace's thread alone, but for `waiting`, ``done`` and ``error``, which may be read from others.

    ``done``: every part up to that seq is finished with; ``error``: why rows cannot be written now, or "".
    """

    def __init__(
        self, folder: Path, policy: TracePolicy, inbox: Inbox, host: Host, alarms: Alarms, facts: tuple[str, str]
    ) -> None:
        """``facts``: what the boot's row says of the software and the artifact."""
        self._folder, self._policy, self._inbox, self._host, self._alarms = folder, policy, inbox, host, alarms
        self._facts = facts
        self._store = FileStore(folder)
        self._connection: sqlite3.Connection | None = None
        self._retention: Retention | None = None
        self._boot = Boot(0, True, False)
        self._pictures: deque[Flight] = deque()  # not yet written
        self._flights: deque[Flight] = deque()  # written, not yet named by their rows
        self._syncer = Syncer(self._store, inbox.leave_out, inbox.wake)
        self._committed = self._looked = self._shut_until = 0
        self._losses = Losses(alarms)
        self._inode = 0
        self.done = 0
        self.error = ""

    def open(self) -> Boot:
        """Open the database and begin a boot. Raises OutputError."""
        opened = open_writer(self._folder)
        try:
            self._boot = self._begun(opened)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise OutputError(f"the trace in {self._folder} cannot be started: {error}; free some space") from error
            opened = open_writer(self._folder, damaged=str(error))
            self._boot = self._begun(opened)
        if opened.trouble:
            self._alarms.begin(TraceAlarm.SET_ASIDE, opened.trouble)
        return self._boot

    def _begun(self, opened: Opened) -> Boot:
        try:
            self._use(opened.connection)
            return self._begin()
        except BaseException:
            self._let_go()
            raise

    def _use(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._retention = Retention(connection, self._folder, self._policy, free=self._host.free)
        self._inode = (self._folder / DATABASE).stat().st_ino

    def _begin(self, number: int | None = None) -> Boot:
        assert self._connection is not None and self._retention is not None
        facts = (self._host.wall(), self._host.monotonic_ns(), *self._facts)
        try:
            return begin_boot(self._connection, self._folder, *facts, number=number)
        except sqlite3.OperationalError as error:
            if not self._make_way(error):
                raise
            return begin_boot(self._connection, self._folder, *facts, number=number)

    def _make_way(self, error: BaseException | None) -> bool:
        """If the disk was full, shorten the log and remove what the policy lets go; whether to try again."""
        if self._connection is None or self._retention is None or not is_full(error):
            return False
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return self._policy.on_disk_full == "ring" and self._retention.remove_pictures() > 0

    def waiting(self) -> tuple[int, int | None]:
        """Return how many parts wait for their pictures to be stored, and since when the first does, nanoseconds."""
        count, first = len(self._flights) + len(self._pictures), self._first()
        return count, None if first is None else first.given

    def _first(self) -> Flight | None:
        for line in (self._flights, self._pictures):
            with suppress(IndexError):  # another thread may ask while this one is emptied
                return line[0]
        return None

    @property
    def can_store(self) -> bool:
        """Whether `store_next` has something to do."""
        return bool(self._pictures) and len(self._flights) < _IN_FLIGHT

    def commit(self) -> bool:
        """Commit what is queued and name the pictures that are stored; False: it stays queued, and ``error`` is set."""
        entries = self._inbox.take(_AT_ONCE)
        try:
            if self._connection is None:
                self._start_over("")
            landed = list(takewhile(lambda flight: flight.landed, self._flights))
            if not entries and not landed and not self.error:
                return True
            rows = self._write([entry for _, entry in entries], landed)
        except Exception as error:  # whatever it is, the rows are not lost, and the trace goes on
            self._inbox.give_back(entries)
            self._fail(error)
            return False
        for _ in landed:
            self._flights.popleft()
        for (given, entry), row in zip(entries, rows, strict=True):
            self._take(entry, row, given)
        self._recovered()
        self._advance()
        return True

    def _write(self, entries: list[Entry], landed: list[Flight]) -> list[int | Exception]:
        """One transaction; the ids of the entries' rows, or why one cannot be stored at all."""
        assert self._connection is not None
        with transaction(self._connection):
            for flight in landed:
                record_file(self._connection, flight.row, flight.stored)
            rows = [self._insert(self._connection, entry) for entry in entries]
            self._connection.execute(
                "UPDATE boot SET mono_last = ? WHERE id = ?", (self._host.monotonic_ns(), self._boot.id)
            )
        return rows

    def _insert(self, connection: sqlite3.Connection, entry: Entry) -> int | Exception:
        try:
            return insert_entry(connection, self._boot.id, entry, (self._host.monotonic_ns(), self._host.wall()))
        except _UNFIT as error:
            return error

    def _take(self, entry: Entry, row: int | Exception, given: int) -> None:
        """Queue a part's pictures, now that it has a row; let go of what it does not need any more."""
        if isinstance(entry, Inspection):
            self._committed = max(self._committed, entry.seq)
        if isinstance(row, int):
            settle(entry, row)
        if isinstance(row, MissingRowError):
            settle(entry, OutputError(str(row), code="unknown"))
        elif isinstance(row, Exception):
            what = f"part {entry.seq}" if isinstance(entry, Inspection) else f"a {type(entry).__name__}"
            text = f"{what} cannot be recorded as it is: {row!r}"
            settle(entry, OutputError(text))
            self._inbox.lose(entry)
            self._losses.told(1)
            self._alarms.tell(TraceAlarm.UNFIT, text)
        elif isinstance(entry, Inspection):
            if entry.input is not None or entry.frame is not None:
                self._pictures.append(Flight(row, entry, given, []))
            else:
                self._inbox.release(picture_bytes(entry))

    def _advance(self) -> None:
        """Every part before the first whose pictures wait is finished with."""
        first = self._first()
        self.done = self._committed if first is None else first.part.seq - 1

    def store_next(self) -> bool:
        """Write the pictures of the next part, and have them synced; False if none can be now."""
        if not self.can_store:
            return False
        flight = self._pictures[0]
        kinds: list[Kind] = ["input"] if flight.part.input is not None else []
        kinds += ["full"] if flight.part.frame is not None else []
        wanted = [] if self._inbox.closed_to_pictures else kinds
        flight.stored = [item for kind in wanted if (item := self._write_picture(flight.part, kind)) is not None]
        if len(flight.stored) < len(kinds):
            self._inbox.leave_out(len(kinds) - len(flight.stored))
        self._flights.append(flight)
        self._pictures.popleft()
        self._inbox.release(picture_bytes(flight.part))
        flight.part = replace(flight.part, input=None, map=None, frame=None)
        if self._retention is not None:
            self._retention.stored(sum(item.bytes for item in flight.stored))
        self._syncer.take(flight)
        return True

    def _write_picture(self, part: Inspection, kind: Kind) -> Stored | None:
        """Write one picture, after making room if the disk is full; None if it cannot be."""
        try:
            return self._store.write(part, kind)
        except Exception as error:  # a picture that no encoder takes must not end the trace
            cause, text = error.__cause__, str(error)
            if not isinstance(cause, OSError):
                self._alarms.tell(TraceAlarm.UNFIT, f"a picture of part {part.seq} cannot be stored: {text}")
                return None
        with suppress(sqlite3.Error, OutputError):
            if self._make_way(cause):
                return self._store.write(part, kind)
        self._shut_until = self._host.monotonic_ns() + _SHUT_NS
        self._alarms.begin(TraceAlarm.DISK_SHORT, f"pictures are not stored: {text}")
        return None

    def look_after(self) -> None:
        """Make room, let go of what is too old, see that the database is still there, and tell of losses."""
        now = self._host.monotonic_ns()
        try:
            self._make_room(now)
            if now - self._looked >= _LOOK_NS and not self.error:
                self._look(now)
        except Exception as error:
            self._fail(error)
        self._losses.tell(self._inbox, self.error, now)

    def _make_room(self, now: int) -> None:
        if self._retention is None:
            return
        room = self._retention.make_room()
        self._inbox.closed_to_pictures = not room or now < self._shut_until
        if not room:
            text = f"the disk of {self._folder} is short, and nothing more may be removed: pictures are not stored"
            self._alarms.begin(TraceAlarm.DISK_SHORT, text)
        elif not self._inbox.closed_to_pictures:
            self._alarms.end(TraceAlarm.DISK_SHORT, "pictures are stored again")

    def _look(self, now: int) -> None:
        assert self._connection is not None and self._retention is not None
        path = self._folder / DATABASE
        if not path.exists() or path.stat().st_ino != self._inode:
            self._start_over(f"{path} was removed or replaced while it was in use")
            return
        if self._retention.expire(now, self._boot.id):
            self._connection.execute("PRAGMA incremental_vacuum(64)")
        else:
            self._looked = now
        with transaction(self._connection):
            self._connection.execute("UPDATE boot SET mono_last = ? WHERE id = ?", (now, self._boot.id))

    def _start_over(self, trouble: str, *, damaged: bool = False) -> None:
        """Open the database anew, or a new one; the boot goes on under its number. Raises OutputError."""
        self._let_go()
        opened = open_writer(self._folder, damaged=trouble if damaged else "")
        self._use(opened.connection)
        exists = opened.connection.execute("SELECT 1 FROM boot WHERE id = ?", (self._boot.id,)).fetchone()
        if exists:
            return
        self._begin(self._boot.id)
        for flight in self._pictures:  # their rows are in the other database
            self._inbox.release(picture_bytes(flight.part))
        self._pictures.clear()
        self._flights.clear()
        self._alarms.tell(TraceAlarm.SET_ASIDE, opened.trouble or f"{trouble}; a new one was begun")

    def _fail(self, error: Exception) -> None:
        """Rows cannot be written: keep them in memory, and do what may help."""
        self.error = " ".join(str(error).split()) or type(error).__name__
        self._alarms.begin(TraceAlarm.RING, f"rows are kept in memory, since they cannot be written: {self.error}")
        with suppress(sqlite3.Error, OutputError, OSError):
            if is_damage(error):
                self._start_over(self.error, damaged=True)
            else:
                self._make_way(error)
            if isinstance(error, sqlite3.ProgrammingError):
                self._let_go()

    def _recovered(self) -> None:
        if self.error:
            self.error = ""
            self._alarms.end(TraceAlarm.RING, "rows are written again")

    def _let_go(self) -> None:
        connection, self._connection, self._retention = self._connection, None, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def close(self, *, clean: bool) -> None:
        """End the boot, cleanly or not, and close the database."""
        self._syncer.close()
        if self._connection is not None and clean:
            with suppress(sqlite3.Error):
                end_boot(self._connection, self._boot.id, self._host.monotonic_ns())
        self._let_go()
