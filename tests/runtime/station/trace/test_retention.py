"""What makes room, in which order, and what never does: labelled, challenge and taught parts, and strangers' files."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regad.runtime.station.trace.boots import begin_boot
from regad.runtime.station.trace.database import open_writer, transaction
from regad.runtime.station.trace.files import FileStore
from regad.runtime.station.trace.inspection import TraceAlarm, TracePolicy
from regad.runtime.station.trace.retention import HOUR_NS, Retention
from regad.runtime.station.trace.rows import insert_inspection, record_file
from regad.runtime.station.trace.writer import Trace

from .parts import Alarms, Machine, ask, part, pictures

GREY = np.full((224, 224, 3), 90, np.uint8)
DAY = 24 * HOUR_NS
SPARING = TracePolicy(min_free_gb=1.0, full="all")


class Store:
    """A trace without its thread: rows and pictures put in by hand."""

    def __init__(self, folder: Path, policy: TracePolicy) -> None:
        self.folder = folder
        self.connection = open_writer(folder).connection
        self.free = 0
        self.files = FileStore(folder)
        self.boot = begin_boot(self.connection, folder, 1.8e9, 0, "test", "").id
        self.retention = Retention(self.connection, folder, policy, free=lambda path: self.free)
        self.seq = 0

    def begin_boot(self, wall: float = 1.8e9, mono_ns: int = 0) -> None:
        self.boot = begin_boot(self.connection, self.folder, wall, mono_ns, "test", "").id
        self.seq = 0

    def add(self, good: bool = True, mono_ns: int = 0, wall: float = 1.8e9) -> int:
        self.seq += 1
        one = part(
            self.seq, boot=self.boot, mono_ns=mono_ns, wall=wall, verdict=1 if good else 2, input=GREY, frame=GREY
        )
        with transaction(self.connection):
            row = insert_inspection(self.connection, one)
            record_file(self.connection, row, [self.files.write(one, "input"), self.files.write(one, "full")])
            self.connection.execute("UPDATE boot SET mono_last = ? WHERE id = ?", (mono_ns, self.boot))
        return row

    def keep(self, row: int, how: str) -> None:
        if how == "label":
            self.connection.execute("INSERT INTO label (inspection, value) VALUES (?, 'good')", (row,))
        elif how == "challenge":
            self.connection.execute("INSERT INTO challenge (expected, inspection, ok) VALUES (2, ?, 1)", (row,))
        elif how == "taught":
            self.connection.execute("UPDATE file SET keep = 1 WHERE inspection = ? AND kind = 'input'", (row,))

    def stored(self) -> list[tuple[int, str]]:
        return self.connection.execute("SELECT inspection, kind FROM file ORDER BY inspection, kind").fetchall()

    def rows(self) -> list[int]:
        return [row for (row,) in self.connection.execute("SELECT id FROM inspection ORDER BY id")]


@contextmanager
def store(policy: TracePolicy) -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        made = Store(Path(folder), policy)
        yield made
        made.connection.close()


def test_room_is_made_in_the_order_of_use_the_oldest_first() -> None:
    with store(SPARING) as trace:
        for good in (True, False, True):
            trace.add(good)
        gone = []
        before = trace.stored()
        while trace.retention.remove_pictures(1):
            left = trace.stored()
            gone += [item for item in before if item not in left]
            before = left
        assert gone == [(1, "full"), (3, "full"), (1, "input"), (3, "input"), (2, "full")]
        assert trace.stored() == [(2, "input")], "what a reject rests on only goes with its row"
        assert len(pictures(trace.folder)) == 1
        assert trace.rows() == [1, 2, 3]
        left = trace.connection.execute("SELECT input_file IS NULL, full_file IS NULL FROM inspection").fetchall()
        assert left == [(1, 1), (0, 1), (1, 1)]


def test_nothing_goes_while_there_is_room_and_under_stop_never() -> None:
    with store(SPARING) as trace:
        trace.add()
        trace.free = 10**10
        assert trace.retention.make_room()
        assert len(trace.stored()) == 2
    with store(TracePolicy(min_free_gb=1.0, full="all", on_disk_full="stop")) as trace:
        trace.add()
        assert not trace.retention.make_room()
        assert len(trace.stored()) == 2


def test_a_limit_on_the_trace_itself_counts_pictures_and_database() -> None:
    with store(TracePolicy(min_free_gb=0.0, max_gb=0.001, full="all")) as trace:
        for _ in range(3):
            trace.add()
        trace.retention.stored(10**6)
        assert trace.retention.make_room(), "something could be removed"
        assert trace.stored() == []
        assert not trace.retention.make_room()


def test_above_the_trace_s_own_limit_the_oldest_evidence_goes_too_but_nothing_that_is_kept() -> None:
    with store(TracePolicy(min_free_gb=1.0, max_gb=1.0)) as trace:
        trace.free = 10**12
        for how in ("label", "", "taught", "challenge", "", ""):
            trace.keep(trace.add(False), how)
        trace.retention.stored(10**9)
        assert trace.retention.make_room(), "something could be removed"
        assert trace.stored() == [(row, kind) for row in (1, 3, 4) for kind in ("full", "input")]
        assert not trace.retention.make_room()


def test_evidence_goes_no_further_than_the_limit_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Retention, "_total", lambda retention: retention._used)  # the database grows as rows change
    with store(TracePolicy(min_free_gb=0.0, max_gb=1.0)) as trace:
        for _ in range(4):
            trace.add(False)
        full, first = trace.connection.execute(
            "SELECT sum(bytes * (kind = 'full')), sum(bytes * (kind = 'input')) / 4 FROM file"
        ).fetchone()
        trace.retention._used = 10**9 + full + first
        while not trace.retention.has_room():
            assert trace.retention.remove_pictures(1)
        assert trace.stored() == [(2, "input"), (3, "input"), (4, "input")]


def test_a_disk_that_others_fill_costs_no_evidence() -> None:
    with store(TracePolicy(min_free_gb=1.0, max_gb=1.0)) as trace:
        trace.add(False)
        while trace.retention.remove_pictures():
            pass
        assert trace.stored() == [(1, "input")] and not trace.retention.make_room()


def test_a_picture_that_is_gone_already_is_written_off() -> None:
    with store(SPARING) as trace:
        trace.add()
        for name in pictures(trace.folder):
            (trace.folder / name).unlink()
        assert trace.retention.remove_pictures() == 2
        assert trace.stored() == []


def test_files_without_rows_are_never_deleted() -> None:
    with store(TracePolicy(min_free_gb=1.0, full="all", keep_days=1.0)) as trace:
        trace.add()
        beside = trace.folder / pictures(trace.folder)[0]
        stranger = beside.with_name("holiday.png")
        stranger.write_bytes(b"not ours")
        while trace.retention.remove_pictures() or trace.retention.expire(9 * DAY, trace.boot):
            pass
        assert trace.rows() == []
        assert pictures(trace.folder) == [str(stranger.relative_to(trace.folder))]


KEPT = st.sampled_from(["", "", "label", "challenge", "taught"])


@settings(max_examples=25)
@given(parts=st.lists(st.tuples(st.booleans(), KEPT), min_size=1, max_size=12), batch=st.integers(1, 5))
def test_what_is_kept_outlives_every_removal(parts: list[tuple[bool, str]], batch: int) -> None:
    with store(TracePolicy(min_free_gb=1.0, full="all", keep_days=0.001)) as trace:
        kept, rejects = [], []
        for good, how in parts:
            row = trace.add(good)
            trace.keep(row, how)
            kept += [row] if how else []
            rejects += [row] if not good and not how else []
        while trace.retention.remove_pictures(batch):
            pass
        whole = [(row, kind) for row in kept for kind in ("full", "input")]
        assert trace.stored() == sorted([*whole, *((row, "input") for row in rejects)])
        while trace.retention.expire(365 * DAY, trace.boot):
            pass
        assert trace.rows() == kept
        assert trace.stored() == whole
        assert len(pictures(trace.folder)) == len(whole)


def test_a_label_protects_its_part_even_against_a_mistaken_statement() -> None:
    with store(SPARING) as trace:
        trace.keep(trace.add(), "label")
        with pytest.raises(sqlite3.IntegrityError):
            trace.connection.execute("DELETE FROM inspection")


HOURS = [hour * HOUR_NS for hour in (0, 1, 24, 47, 48)]


def test_age_is_running_time_by_whole_hours_and_leaves_the_sums_behind() -> None:
    with store(TracePolicy(min_free_gb=0.0, full="all", keep_days=2.0)) as trace:
        for mono_ns in HOURS:
            trace.add(good=mono_ns > 0, mono_ns=mono_ns)
        assert trace.retention.expire(2 * DAY + HOUR_NS, trace.boot) == 0, "the first hour is just two days old"
        assert trace.retention.expire(2 * DAY + HOUR_NS + 1, trace.boot) == 1
        assert trace.retention.expire(2 * DAY + HOUR_NS + 1, trace.boot) == 0
        assert trace.rows() == [2, 3, 4, 5]
        names = "boot, hour, job, n, by_verdict, score_q, ms_p99"
        ((*head, verdicts, scores, slowest),) = trace.connection.execute(f"SELECT {names} FROM hour").fetchall()
        assert (head, json.loads(verdicts), json.loads(scores), slowest) == ([1, 0, 3, 1], {"2": 1}, [1.25] * 5, None)


def test_the_time_of_earlier_boots_counts_only_while_they_ran() -> None:
    with store(TracePolicy(min_free_gb=0.0, full="all", keep_days=2.0)) as trace:
        trace.add(mono_ns=0)
        trace.add(mono_ns=DAY)  # the first boot ran for a day
        trace.begin_boot(wall=1.8e9 + 3.2e8, mono_ns=50 * DAY)  # ten years later by the wall, after a restart
        trace.add(mono_ns=50 * DAY)
        assert trace.retention.expire(51 * DAY, trace.boot) == 0
        assert trace.retention.expire(51 * DAY + HOUR_NS + 1, trace.boot) == 1
        assert trace.rows() == [2, 3]


@given(jump=st.floats(-3e9, 3e9))
@settings(max_examples=20)
def test_a_wall_clock_that_jumps_removes_nothing(jump: float) -> None:
    with store(TracePolicy(min_free_gb=0.0, full="all", keep_days=0.05)) as trace:
        for number in range(3):
            trace.add(mono_ns=number * 10**9, wall=1.8e9 + (jump if number else 0.0))
        trace.begin_boot(wall=1.8e9 + jump, mono_ns=0)
        trace.add(mono_ns=1, wall=1.8e9 - jump)
        assert trace.retention.expire(10**9, trace.boot) == 0
        assert len(trace.rows()) == 4


def test_a_station_with_its_clock_in_2038_keeps_everything(tmp_path: Path) -> None:
    machine = Machine()
    trace = Trace(tmp_path, TracePolicy(keep_days=1.0, full="all"), host=machine.host)
    boot = trace.open()
    for seq in range(1, 9):
        machine.ns += 2_000_000_000
        machine.wall = 1.8e9 if seq < 4 else 2.16e9
        trace.add(part(seq, boot=boot.id, mono_ns=machine.ns, wall=machine.wall, input=GREY))
        assert trace.flushed(seq, 60.0)
    trace.close()
    assert ask(tmp_path, "SELECT count(*), count(input_file) FROM inspection") == [(8, 8)]


def test_on_a_short_disk_rows_go_on_without_pictures_until_there_is_room(tmp_path: Path) -> None:
    machine, alarms = Machine(), Alarms()
    trace = Trace(tmp_path, TracePolicy(min_free_gb=1.0), alarm=alarms, host=machine.host)
    trace.open()

    def add(seq: int, verdict: int = 1) -> bool:
        machine.ns += 10**9
        left_out = trace.lag.left_out
        trace.add(part(seq, verdict=verdict, mono_ns=machine.ns, input=GREY))
        assert trace.flushed(seq, 60.0)
        return trace.lag.left_out == left_out

    assert add(1) and add(2, verdict=2)
    machine.free = 10**8
    while TraceAlarm.DISK_SHORT not in alarms.codes():
        trace.event("info", 0, "time goes by")
        assert not trace.flushed(3, 0.05)
    assert not add(3)
    machine.free = 10**10
    seq = 3
    while not add(seq := seq + 1):
        assert seq < 100
    trace.close()
    stored = [seq for (seq,) in ask(tmp_path, "SELECT seq FROM inspection WHERE input_file IS NOT NULL ORDER BY id")]
    assert stored == [2, seq]
    assert ask(tmp_path, "SELECT count(*) FROM inspection") == [(seq,)]
    assert alarms.codes() == [TraceAlarm.DISK_SHORT]
    told = ask(tmp_path, "SELECT severity, code FROM event WHERE code > 0 ORDER BY id")
    assert told == [("alarm", TraceAlarm.DISK_SHORT), ("info", TraceAlarm.DISK_SHORT)]
