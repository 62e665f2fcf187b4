"""The writer before a disk that hangs, is slow, full, or fails: the line goes on, and every loss is counted."""

from __future__ import annotations

import errno
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from regad.runtime.errors import OutputError
from regad.runtime.station.trace.alarms import Alarms as TraceAlarms
from regad.runtime.station.trace.alarms import Losses
from regad.runtime.station.trace.files import FileStore
from regad.runtime.station.trace.inbox import Inbox
from regad.runtime.station.trace.inspection import Inspection, TraceAlarm, TracePolicy
from regad.runtime.station.trace.reader import TraceReader
from regad.runtime.station.trace.writer import Trace

from .parts import Alarms, ask, heat, part, picture, pictures


class Blocked:
    """A disk on which every picture hangs until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began, self.go = threading.Event(), threading.Event()
        write = FileStore.write

        def hang(store: FileStore, *args: object) -> object:
            self.began.set()
            assert self.go.wait(60.0)
            return write(store, *args)  # type: ignore[arg-type]

        monkeypatch.setattr(FileStore, "write", hang)


def held_up(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> Blocked:
    """A disk that hangs at part 1's picture, and 30 rejects with full pictures behind it."""
    disk = Blocked(monkeypatch)
    trace.add(part(1, input=picture(1)))
    assert disk.began.wait(60.0)
    big = np.zeros((1080, 1920, 3), np.uint8)
    for seq in range(2, 32):
        trace.add(part(seq, verdict=2, input=picture(2), frame=big))
    return disk


def test_a_disk_that_hangs_never_holds_up_the_line_and_the_loss_is_counted(
    tmp_path: Path, trace: Trace, alarms: Alarms, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = held_up(trace, monkeypatch)
    for seq in range(32, 10_103):
        trace.add(part(seq))
    lag = trace.lag
    assert (lag.rows, lag.lost_rows) == (10_000, 101)  # 2 to 102 found no room
    assert lag.left_out == 20  # of 30 full pictures 10 fit into 64 MiB; every input did
    disk.go.set()
    trace.close()
    assert ask(tmp_path, "SELECT count(*), min(seq), max(seq) FROM inspection WHERE seq > 1") == [(10_000, 103, 10_102)]
    with TraceReader(tmp_path) as reader:
        assert reader.gaps() == [(1, 1, 103)]
    assert TraceAlarm.LOST in alarms.codes()
    assert not trace.flushed(50, 0.0)


def test_a_slow_disk_leaves_out_full_pictures_before_inputs_and_tells_once(
    tmp_path: Path, trace: Trace, alarms: Alarms, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = held_up(trace, monkeypatch)
    disk.go.set()
    trace.close()
    assert trace.flushed(31, 0.0), "its row is there, though its full picture is not"
    assert ask(tmp_path, "SELECT count(*), count(input_file), count(full_file) FROM inspection") == [(31, 31, 10)]
    assert alarms.codes() == [TraceAlarm.SLOW]


def test_losses_that_come_and_go_are_one_trouble_until_a_minute_is_calm() -> None:
    told: list[str] = []
    losses, inbox = Losses(TraceAlarms(told.append, None, lambda *event: None)), Inbox()
    for second, slow in ((1, 1), (2, 1), (3, 5), (30, 9), (89, 9), (90, 9), (91, 9)):
        inbox.slow = slow
        losses.tell(inbox, "", second * 10**9)
    assert told == [
        "pictures of 1 part(s) are left out so far: the disk is slower than the line",
        "pictures are stored in time again",
    ]


def test_the_memory_for_pictures_is_free_again_once_they_are_stored(tmp_path: Path, trace: Trace) -> None:
    def store(start: int) -> int:
        for seq in range(start, start + 60):
            trace.add(part(seq, input=picture(seq % 5), map=heat(0)))
            assert trace.flushed(seq, 60.0)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first = store(1)
        last = store(121 - 60)
    finally:
        tracemalloc.stop()
    assert last - first < 100_000
    assert trace._inbox._held == 0


def refuse(code: int) -> OutputError:
    error = OutputError("cannot write it")
    error.__cause__ = OSError(code, "refused")
    return error


def test_on_a_full_disk_old_pictures_of_goods_make_room_for_new_ones(
    tmp_path: Path, trace: Trace, alarms: Alarms, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seq in range(1, 4):
        trace.add(part(seq, input=picture(seq)))
    assert trace.flushed(3, 60.0)
    write, failed = FileStore.write, []

    def fail_once(store: FileStore, inspection: Inspection, *kind: object) -> object:
        if inspection.seq not in failed:
            failed.append(inspection.seq)
            raise refuse(errno.ENOSPC)
        return write(store, inspection, *kind)  # type: ignore[arg-type]

    monkeypatch.setattr(FileStore, "write", fail_once)
    trace.add(part(4, input=picture(4)))
    assert trace.flushed(4, 60.0)
    assert [name[-15:] for name in pictures(tmp_path)] == ["00004-input.png"]
    assert ask(tmp_path, "SELECT count(*), count(input_file) FROM inspection") == [(4, 1)]
    assert alarms == []


@pytest.mark.parametrize(("code", "policy"), [(errno.EROFS, "ring"), (errno.ENOSPC, "stop")])
def test_rows_are_kept_where_pictures_cannot_be_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, policy: str
) -> None:
    alarms = Alarms()
    trace = Trace(tmp_path, TracePolicy(min_free_gb=0.0, on_disk_full=policy), alarm=alarms)  # type: ignore[arg-type]
    trace.open()
    trace.add(part(1, input=picture(1)))
    assert trace.flushed(1, 60.0)

    def fail(*args: object) -> object:
        raise refuse(code)

    monkeypatch.setattr(FileStore, "write", fail)
    trace.add(part(2, input=picture(2)))
    assert trace.flushed(2, 60.0) and alarms
    trace.add(part(3, input=picture(3)))
    assert trace.must_stop == (policy == "stop")
    trace.close()
    assert ask(tmp_path, "SELECT count(*), count(input_file) FROM inspection") == [(3, 1)]
    assert len(pictures(tmp_path)) == 1, "no picture may go: that would not help, or is not allowed"
    assert alarms.codes() == [TraceAlarm.DISK_SHORT]


def test_a_sync_that_hangs_holds_up_no_row_and_no_row_names_a_picture_before_it(
    tmp_path: Path, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, began, go = FileStore.sync, threading.Event(), threading.Event()

    def hang(store: FileStore, path: str) -> None:
        began.set()
        assert go.wait(60.0)
        sync(store, path)

    monkeypatch.setattr(FileStore, "sync", hang)
    trace.add(part(1, input=picture(1)))
    assert began.wait(60.0)
    for seq in range(2, 80):
        trace.add(part(seq, input=picture(1)))
    while ask(tmp_path, "SELECT count(*), count(input_file) FROM inspection") != [(79, 0)]:
        assert not trace.flushed(1, 0.05)
    go.set()
    assert trace.flushed(79, 60.0)
    assert ask(tmp_path, "SELECT count(*), count(input_file) FROM inspection") == [(79, 79)]


def test_a_picture_that_cannot_be_synced_is_not_named_and_counted(
    tmp_path: Path, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(store: FileStore, path: str) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(FileStore, "sync", fail)
    trace.add(part(1, input=picture(1)))
    trace.close()
    assert ask(tmp_path, "SELECT seq, input_file FROM inspection") == [(1, None)]
    assert ask(tmp_path, "SELECT count(*) FROM file") == [(0,)]
    assert trace.lag.left_out == 1
    assert trace.flushed(1, 0.0)
