"""Other people's Modbus clients drive a running line: the whole handshake, a job change, and a PLC that goes and comes.

The line is the real one, with its threads, trace and server; camera and backend are the tests' own.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from regad.runtime.formats.artifact import Artifact
from regad.runtime.station.codes import Control, State, Status, VerdictCode
from regad.runtime.station.config import ModbusConfig, TriggerConfig
from regad.runtime.station.image import ProcessImage
from regad.runtime.station.registers import OUTPUT_START, OUTPUT_WORDS
from regad.runtime.station.trace.reader import TraceReader

from ...needs import require
from ..run_doubles import ARTIFACT
from .station_doubles import BAD, GOOD, PATIENCE, Station, running

ENABLE, TRIGGER, ACK, SET_JOB = Control.ENABLE, Control.TRIGGER, Control.ACK, Control.SET_JOB
HEARTBEAT_MS = 300

Write = Callable[..., None]
Read = Callable[[], list[int]]


@pytest.fixture(autouse=True)
def artifact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Artifact, "open", lambda path, verify=True: ARTIFACT)


@contextmanager
def for_a_plc(folder: Path, heartbeat_ms: int = 0) -> Iterator[Station]:
    """A running station with a Modbus server, that waits for a PLC."""
    trigger = TriggerConfig(kind="modbus", deadline_ms=20_000, hold_ms=0)
    with running(folder, trigger=trigger, modbus=ModbusConfig(port=0, heartbeat_ms=heartbeat_ms)) as station:
        yield station


def port_of(station: Station) -> int:
    assert station.line.modbus is not None
    return station.line.modbus.port


def has(bit: Status) -> Callable[[ProcessImage], bool]:
    return lambda image: bit in image.status


def lacks(bit: Status) -> Callable[[ProcessImage], bool]:
    return lambda image: bit not in image.status


def drive(station: Station, write: Write, read: Read) -> None:
    """The handshake of docs/registers.md, over whatever client writes and reads: two parts, a job change, a third."""

    def verdict_on(seq: int) -> list[int]:
        station.until(lambda image: Status.VALID in image.status and image.shown.tag == seq)
        return read()

    def result(words: list[int]) -> tuple[int, int, int, int]:
        return words[10], words[11] << 16 | words[12], words[13], words[19]

    assert not Status(read()[0]) & Status.READY, "nothing without ENABLE"
    write(0, ENABLE)
    station.until(has(Status.READY))
    usual = Status.ONLINE | Status.READY | Status.JOB_OK
    assert Status(read()[0]) & ~Status.HEARTBEAT == usual
    station.camera.grey = GOOD
    write(0, ENABLE | TRIGGER, 41, 0, 1, 2)
    words = verdict_on(41)
    assert result(words) == (41, 65_538, VerdictCode.PASS, 41)
    assert Status(words[0]) & Status.TRIGGER_ACK and words[5] == 41 and words[14] == 60
    write(0, ENABLE | ACK)
    station.until(lacks(Status.VALID))
    words = read()
    assert words[10:18] == [0] * 8 and Status(words[0]) & Status.READY
    station.camera.grey = BAD
    write(0, ENABLE | TRIGGER, 42)
    words = verdict_on(42)
    assert result(words)[:1] + result(words)[2:] == (42, VerdictCode.REJECT, 42)
    assert words[6:9] == [2, 1, 0]
    write(2, 2)
    write(0, ENABLE | SET_JOB)
    station.until(lambda image: image.job == 2 and Status.READY in image.status)
    assert read()[4] == 2
    station.camera.grey = GOOD
    write(0, ENABLE | TRIGGER, 43)
    assert result(verdict_on(43))[0::2] == (43, VerdictCode.PASS)
    write(0, 0)
    station.until(lacks(Status.VALID))
    assert not Status(read()[0]) & (Status.READY | Status.VALID), "ENABLE away takes the result away"


def recorded(station: Station) -> list[tuple[Any, ...]]:
    station.line.close()
    with TraceReader(station.folder / "trace") as reader:
        return [(row["job"], row["output"], row["part_id"]) for row in reader.rows()]


DRIVEN = [(1, VerdictCode.PASS, 65_538), (1, VerdictCode.REJECT, 65_538), (2, VerdictCode.PASS, 65_538)]


class Pymodbus:
    """pymodbus' client, as a PLC of few words."""

    def __init__(self, port: int) -> None:
        module = pytest.importorskip("pymodbus.client", reason="needs pymodbus: pip install pymodbus")
        self.client = module.ModbusTcpClient("127.0.0.1", port=port, timeout=PATIENCE)
        assert self.client.connect()
        self.beats = 0

    def __enter__(self) -> Pymodbus:
        return self

    def __exit__(self, *_error: object) -> None:
        self.client.close()

    def write(self, address: int, *values: int) -> None:
        assert not self.client.write_registers(address, [int(value) for value in values]).isError()

    def read(self) -> list[int]:
        return list(self.client.read_holding_registers(OUTPUT_START, count=OUTPUT_WORDS).registers)

    def beat(self) -> None:
        self.beats += 1
        self.write(13, self.beats % 2 + 1)

    def until(self, station: Station, wanted: Callable[[ProcessImage], bool]) -> ProcessImage:
        """Wait as a living PLC does, whose heartbeat counts."""

        def look(image: ProcessImage) -> bool:
            self.beat()
            return wanted(image)

        return station.until(look)


def test_pymodbus_drives_a_running_line_through_the_whole_handshake(tmp_path: Path) -> None:
    with for_a_plc(tmp_path) as station, Pymodbus(port_of(station)) as plc:
        drive(station, plc.write, plc.read)
        assert recorded(station) == DRIVEN


def test_mbpoll_drives_a_running_line_through_the_whole_handshake(tmp_path: Path) -> None:
    require("mbpoll")
    with for_a_plc(tmp_path) as station:
        common = ["mbpoll", "-m", "tcp", "-p", str(port_of(station)), "-0", "-1"]

        def call(*words: str) -> str:
            done = subprocess.run([*common, *words], capture_output=True, text=True, check=False, timeout=60)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        def write(address: int, *values: int) -> None:
            call("-r", str(address), "127.0.0.1", *(str(int(value)) for value in values))

        def read() -> list[int]:
            text = call("-r", str(OUTPUT_START), "-c", str(OUTPUT_WORDS), "127.0.0.1")
            return [int(word) for word in re.findall(r"^\[\d+\]:\s+(\d+)", text, re.MULTILINE)]

        drive(station, write, read)
        assert recorded(station) == DRIVEN


def part(station: Station, plc: Pymodbus, wanted: Callable[[ProcessImage], bool]) -> None:
    """Trigger until the outputs are as wanted: on a busy machine a beat may come late, and the part is lost."""
    plc.write(0, ENABLE)

    def look(image: ProcessImage) -> bool:
        if Status.READY in image.status and not wanted(image):
            plc.write(0, ENABLE | TRIGGER, plc.beats + 1)
        return wanted(image)

    plc.until(station, look)


def passing(station: Station, plc: Pymodbus) -> None:
    """Bring a PASS to the outputs."""
    part(station, plc, lambda image: image.passes)


def test_a_plc_whose_heartbeat_stands_still_finds_no_result_until_it_beats_again(tmp_path: Path) -> None:
    with for_a_plc(tmp_path, HEARTBEAT_MS) as station, Pymodbus(port_of(station)) as plc:
        passing(station, plc)
        image = station.until(lacks(Status.VALID))
        assert image.state is State.READY and Status.READY not in image.status and not image.fault
        words = plc.read()
        assert not Status(words[0]) & (Status.VALID | Status.READY) and words[10:18] == [0] * 8
        assert "the PLC is gone: its heartbeat has stopped" in station.said
        passing(station, plc)
        assert "the PLC is back" in station.said


def test_a_plc_whose_connection_is_cut_is_gone_and_comes_back_as_the_writer(tmp_path: Path) -> None:
    with for_a_plc(tmp_path, HEARTBEAT_MS) as station:
        assert station.line.modbus is not None
        with Pymodbus(port_of(station)) as plc:
            passing(station, plc)
            assert station.line.modbus.state.writer == "127.0.0.1"
        image = station.until(lacks(Status.VALID))
        assert Status.READY not in image.status and not image.passes
        with Pymodbus(port_of(station)) as plc:
            passing(station, plc)


def test_a_part_that_is_in_hand_as_the_plc_goes_cannot_pass(tmp_path: Path) -> None:
    with for_a_plc(tmp_path, HEARTBEAT_MS) as station:
        held = station.backend.hold()
        with Pymodbus(port_of(station)) as plc:
            part(station, plc, lambda image: Status.TRIGGER_ACK in image.status and Status.READY not in image.status)
        station.until(lambda image: "the PLC is gone: its heartbeat has stopped" in station.said)
        held.set()
        station.until(lacks(Status.BUSY))
        assert not station.line.image.passes
        assert {output for _, output, _ in recorded(station)} <= {VerdictCode.NOT_JUDGED, VerdictCode.MISSED}
