"""Other people's Modbus clients against our server: pymodbus, and mbpoll (libmodbus)."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator

import pytest

from regad.runtime.station.config import ModbusConfig
from regad.runtime.station.modbus import ModbusServer

from ...needs import require
from .modbus_doubles import Memory


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def server(memory: Memory) -> Iterator[ModbusServer]:
    with ModbusServer(ModbusConfig(port=0), memory) as made:
        made.start()
        yield made


def test_pymodbus_reads_and_writes_everything(server: ModbusServer, memory: Memory) -> None:
    pymodbus = pytest.importorskip("pymodbus.client", reason="needs pymodbus: pip install pymodbus")
    with pymodbus.ModbusTcpClient("127.0.0.1", port=server.port) as client:
        assert client.read_holding_registers(100, count=20).registers == list(range(100, 120))
        assert client.read_input_registers(100, count=2).registers == [100, 101]
        assert not client.write_registers(1, [7, 8, 9]).isError()
        assert not client.write_register(13, 1).isError()
        assert not client.write_coil(4, True).isError()
        assert not client.write_coils(0, [True, True]).isError()
        assert memory.words[:4] == [0b10011, 7, 8, 9]
        assert client.read_coils(0, count=5).bits[:5] == [True, True, False, False, True]
        assert client.read_discrete_inputs(0, count=8).bits[:8] == [bool(100 >> bit & 1) for bit in range(8)]
        both = client.readwrite_registers(read_address=0, read_count=2, write_address=1, values=[44])
        assert both.registers == [0b10011, 44]


def test_pymodbus_understands_the_exceptions(server: ModbusServer) -> None:
    pymodbus = pytest.importorskip("pymodbus.client", reason="needs pymodbus: pip install pymodbus")
    with pymodbus.ModbusTcpClient("127.0.0.1", port=server.port) as client:
        assert client.read_holding_registers(119, count=2).exception_code == 2
        assert client.write_register(100, 1).exception_code == 2
        assert client.write_register(0, 60_001).exception_code == 3
        assert client.mask_write_register(address=0, and_mask=1, or_mask=1).exception_code == 1


@pytest.fixture
def mbpoll(server: ModbusServer) -> Callable[..., tuple[int, str]]:
    require("mbpoll")

    def call(*options: str, values: tuple[str, ...] = ()) -> tuple[int, str]:
        words = ["mbpoll", "-m", "tcp", "-p", str(server.port), "-0", "-1", *options, "127.0.0.1", *values]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout + done.stderr

    return call


def test_mbpoll_reads_the_words(mbpoll: Callable[..., tuple[int, str]]) -> None:
    status, text = mbpoll("-r", "100", "-c", "20")
    assert status == 0
    assert re.findall(r"^\[(\d+)\]:\s+(\d+)", text, re.MULTILINE) == [(str(n), str(n)) for n in range(100, 120)]


def test_mbpoll_writes_words_and_coils(mbpoll: Callable[..., tuple[int, str]], memory: Memory) -> None:
    assert mbpoll("-r", "2", values=("5", "6"))[0] == 0
    assert mbpoll("-t", "0", "-r", "1", values=("1",))[0] == 0
    assert memory.words[:4] == [2, 0, 5, 6]


def test_mbpoll_is_told_what_is_wrong(mbpoll: Callable[..., tuple[int, str]]) -> None:
    status, text = mbpoll("-r", "100", values=("5",))
    assert status != 0
    assert "Illegal data address" in text
