"""Registers, a transport and a clock for the tests of the Modbus server, and a blocking client of a few lines."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence
from typing import Any

from regad.runtime.station.modbus import ModbusServer, Peer

WORDS, WRITABLE = 120, 14


class Memory:
    """Words 0 to 119, of which the first 14 can be written; a value above 60000 cannot be."""

    def __init__(self) -> None:
        self.words = [0] * WRITABLE + list(range(WRITABLE, WORDS))
        self.writes: list[tuple[int, list[int]]] = []

    def read(self, address: int, count: int) -> list[int]:
        if address + count > WORDS:
            raise IndexError(address)
        return self.words[address : address + count]

    def write(self, address: int, values: Sequence[int]) -> None:
        if address + len(values) > WRITABLE:
            raise IndexError(address)
        if any(value > 60_000 for value in values):
            raise ValueError(values)
        self.writes.append((address, list(values)))
        self.words[address : address + len(values)] = values


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Line(asyncio.Transport):
    """The server's end of a connection, without a socket: what is sent is kept."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        super().__init__({"peername": (address, 50_000), "socket": self})
        self.sent = b""
        self.aborted = False
        self.reading = True

    def setsockopt(self, *_option: int) -> None: ...

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def write(self, data: Any) -> None:
        self.sent += bytes(data)

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def connect(server: ModbusServer, address: str = "127.0.0.1") -> tuple[Peer, Line]:
    """A connection of ``server`` without a socket."""
    line = Line(address)
    peer = Peer(server)
    peer.connection_made(line)
    return peer, line


def deliver(peer: Peer, line: Line, data: bytes) -> bytes:
    """Hand bytes to a connection as the loop does, and return those that it does not read now.

    It is given as many at once as its buffer takes, and none while it is not read from or after an abort.
    """
    while data and line.reading and not line.aborted:
        room = peer.get_buffer(-1)
        count = min(len(room), len(data))
        room[:count] = data[:count]
        room.release()
        peer.buffer_updated(count)
        data = data[count:]
    return data


def feed(peer: Peer, line: Line, data: bytes) -> None:
    """Hand bytes to a connection, and let time pass until all that is whole is answered."""
    server = peer._server
    data = deliver(peer, line, data)
    while not (line.reading or line.aborted):
        assert isinstance(server.clock, Clock)
        server.clock.now += 1.0
        server.serve()
        data = deliver(peer, line, data)


def frame(pdu: bytes, transaction: int = 1, unit: int = 1) -> bytes:
    """A request as it goes over the wire."""
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def exchange(peer: Peer, line: Line, pdu: bytes, unit: int = 1) -> bytes:
    """Send one request on a connection without a socket, and return the answer's PDU."""
    line.sent = b""
    feed(peer, line, frame(pdu, unit=unit))
    return line.sent[7:]


class Client:
    """A blocking Modbus client on a real socket."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_error: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self, count: int) -> bytes:
        """Exactly ``count`` bytes, or what came before the end."""
        data = b""
        while len(data) < count and (more := self.socket.recv(count - len(data))):
            data += more
        return data

    def ask(self, pdu: bytes) -> bytes:
        """The answer's PDU."""
        self.send(frame(pdu))
        header = self.receive(7)
        return self.receive(struct.unpack(">H", header[4:6])[0] - 1)

    def is_closed(self) -> bool:
        """Whether the server has ended the connection; waits for it."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
