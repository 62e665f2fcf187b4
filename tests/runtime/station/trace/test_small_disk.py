"""A disk that is really full: a tmpfs of 3 MiB, where the system lets this user mount one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from regad.runtime.station.trace.inspection import OnDiskFull, TraceAlarm, TracePolicy
from regad.runtime.station.trace.writer import Trace

from .parts import Alarms, ask, part, picture

BALLAST = "ballast"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs root and the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Leave no byte free."""
    with (disk / BALLAST).open("ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            with suppress(OSError):
                while file.write(b"x" * size):
                    pass


def test_on_a_full_disk_goods_make_room_and_no_row_is_lost(disk: Path) -> None:
    alarms = Alarms()
    trace = Trace(disk, TracePolicy(min_free_gb=0.0), alarm=alarms)
    trace.open()
    for seq in range(1, 201):
        trace.add(part(seq, verdict=2 if seq % 20 == 0 else 1, input=picture(seq)))
        assert trace.flushed(seq, 60.0)
    trace.close()
    assert ask(disk, "SELECT count(*) FROM inspection") == [(200,)]
    ((kept, rejects),) = ask(disk, "SELECT count(*), sum(verdict = 2) FROM inspection WHERE input_file IS NOT NULL")
    assert rejects == 10, "a reject's input does not make room"
    assert 10 < kept < 200
    assert ask(disk, "SELECT seq FROM inspection ORDER BY input_file IS NULL, seq DESC LIMIT 1") == [(200,)]
    assert alarms == []


@pytest.mark.parametrize("policy", ["ring", "stop"])
def test_rows_wait_in_memory_for_a_disk_without_room_and_are_written_later(disk: Path, policy: OnDiskFull) -> None:
    alarms = Alarms()
    trace = Trace(disk, TracePolicy(min_free_gb=0.0, on_disk_full=policy), alarm=alarms)
    trace.open()
    trace.add(part(1))
    assert trace.flushed(1, 60.0)
    fill(disk)
    seq = 1
    while TraceAlarm.RING not in alarms.codes():
        seq += 1
        assert seq < 20_000
        trace.add(part(seq, error="x" * 2000))
        trace.flushed(seq, 0.5)
    for _ in range(5):
        seq += 1
        trace.add(part(seq))
    assert not trace.flushed(seq, 0.0)
    assert trace.lag.error and trace.lag.lost_rows == 0
    assert trace.must_stop == (policy == "stop")
    (disk / BALLAST).unlink()
    assert trace.flushed(seq, 60.0)
    assert not trace.must_stop
    trace.close()
    assert ask(disk, "SELECT count(*), max(seq) FROM inspection") == [(seq, seq)]
    assert ask(disk, "SELECT severity, code FROM event ORDER BY id") == [
        ("alarm", TraceAlarm.RING),
        ("info", TraceAlarm.RING),
    ]


def test_what_is_in_memory_when_a_full_disk_ends_the_run_is_counted_as_lost(disk: Path) -> None:
    alarms = Alarms()
    trace = Trace(disk, TracePolicy(min_free_gb=0.0), alarm=alarms)
    trace.open()
    fill(disk)
    seq = 0
    while TraceAlarm.RING not in alarms.codes():
        seq += 1
        trace.add(part(seq, error="x" * 2000))
        trace.flushed(seq, 0.5)
    trace.close()
    assert alarms.codes() == [TraceAlarm.RING, TraceAlarm.LOST]
    ((stored,),) = ask(disk, "SELECT count(*) FROM inspection")
    ended = 1 + 1  # the events of both alarms, the second after the end
    assert trace.lag.lost_rows == seq - stored + ended
    assert ask(disk, "SELECT clean FROM boot") == [(0,)]
