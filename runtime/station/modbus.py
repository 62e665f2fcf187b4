"""A Modbus TCP server for a PLC: an asyncio loop in a thread, a few peers, one writer. It knows nothing of the map."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from .config import ModbusConfig
from .listening import Door, bind
from .loop_thread import LoopThread
from .modbus_requests import (
    HEADER_SIZE,
    WRITING,
    Error,
    Header,
    Registers,
    Words,
    answer,
    read_header,
    refusal,
    with_header,
)
from .pacing import Bucket, Turns

__all__ = ["ModbusServer", "ModbusState", "Peer"]

_WRITER = (1000.0, 32, 4)  # requests a second, saved up, at once after that: of a PLC that polls each millisecond
_OTHERS = (400.0, 32, 10)  # of all other peers together: one request costs 30 us and more of Python's lock
_ARRIVALS = (100.0, 64, 4)  # connections
_BUFFER = 520  # bytes of requests that wait here for a peer's turn; more of them wait in the kernel
_UNSENT = 4096  # bytes of answers that wait for a slow peer, before its requests do
_KERNEL = 16_384  # bytes of answers that the kernel holds for a peer
_SILENCE = 60.0  # seconds after which a silent connection is given up
_SWEEP = 1.0


class ModbusState(NamedTuple):
    """What the server is doing: connections now, the writer's address, and counts since the start."""

    connections: int
    writer: str | None
    requests: int
    refused: int


class ModbusServer(LoopThread):
    """Serves ``registers`` as `ModbusConfig` says. ``coils`` and ``inputs`` are the words whose bits these are.

    ``clock`` is monotonic, in seconds. No peer can hold up another one, and no number of them the station: what they
    may ask together, what waits for one and how long it may be silent is bounded. The writer goes first.
    """

    def __init__(
        self,
        config: ModbusConfig,
        registers: Registers,
        *,
        coils: int = 0,
        inputs: int = 100,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("Modbus server")
        self.config = config
        self.words = Words(registers, coils, inputs)
        self.clock = clock
        self._networks = config.networks()
        self._socket: socket.socket | None = None
        self._peers: set[Peer] = set()
        self._writer: Peer | None = None
        self._wrote = 0.0
        self._requests = self._refused = 0
        buckets = Bucket(*_WRITER, clock=clock), Bucket(*_OTHERS, clock=clock)
        self._turns = Turns(Peer.step, lambda: self._writer, *buckets)
        self._timer: asyncio.TimerHandle | None = None
        self.port = config.port

    @property
    def state(self) -> ModbusState:
        """A look at the server, from any thread."""
        writer = self._writer
        return ModbusState(len(self._peers), writer.name if writer else None, self._requests, self._refused)

    def respond(self, peer: Peer, header: Header, pdu: bytes) -> bytes:
        """Return the whole answer to a request of ``peer``."""
        self._requests += 1
        function = pdu[0]
        if self.config.unit and header.unit != self.config.unit:
            reply = refusal(function, Error.UNIT)
        elif function in WRITING and not self.config.control:
            reply = refusal(function, Error.FUNCTION)
        elif function in WRITING and not self._may_write(peer):
            reply = refusal(function, Error.BUSY)
        else:
            reply = answer(pdu, self.words)
        return with_header(header, reply)

    def admit(self, peer: Peer, address: str) -> bool:
        """Whether a new connection is taken. Where all are in use, the longest silent reader gives way."""
        if not self._allowed(address):
            self._refused += 1
            return False
        if len(self._peers) >= self.config.max_connections:
            readers = [one for one in self._peers if one is not self._writer]
            if not readers:
                self._refused += 1
                return False
            min(readers, key=lambda one: one.heard).drop()
        self._peers.add(peer)
        return True

    def ask(self, peer: Peer) -> bool:
        """Serve a peer that has sent something, now or in its turn; whether it has to wait."""
        self._turns.add(peer)
        self.serve()
        return peer in self._turns

    def serve(self) -> None:
        """Answer whose turn it is, and come back when there will be more."""
        if self._timer is not None:
            self._timer.cancel()
        wait = self._turns.serve()
        self._timer = None if wait is None or self._loop is None else self._loop.call_later(wait, self.serve)

    def leave(self, peer: Peer) -> None:
        """Forget a connection; a writer's place is free at once."""
        self._peers.discard(peer)
        self._turns.remove(peer)
        if self._writer is peer:
            self._writer = None

    def _may_write(self, peer: Peer) -> bool:
        silent = self.clock() - self._wrote > self.config.writer_silence_ms / 1000
        if self._writer is None or silent:
            self._writer = peer
        if self._writer is not peer:
            return False
        self._wrote = self.clock()
        return True

    def _allowed(self, address: str) -> bool:
        try:
            peer = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped:
            peer = peer.ipv4_mapped
        return any(peer.version == network.version and peer in network for network in self._networks)

    def _open(self) -> None:
        self._socket = bind(self.config.host, self.config.port)
        self.port = self._socket.getsockname()[1]

    async def _serve(self, ready: threading.Event) -> None:
        assert self._socket is not None
        door = Door(self._socket, lambda: Peer(self), Bucket(*_ARRIVALS))
        try:
            door.open()
            ready.set()
            while True:
                await asyncio.sleep(_SWEEP)
                self.sweep()
        finally:
            await door.close()
            for peer in tuple(self._peers):
                peer.drop()

    def sweep(self) -> None:
        """Give up the connections that have been silent for long: their peer may be gone without a word."""
        now = self.clock()
        for peer in [one for one in self._peers if now - one.heard > _SILENCE]:
            peer.drop()


class Peer(asyncio.BufferedProtocol):
    """One connection. It is read from only while it has no request that waits, and reads its answers."""

    def __init__(self, server: ModbusServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray(_BUFFER)
        self._filled = 0
        self._unread = False  # too many answers wait for it
        self.name = ""
        self.heard = server.clock()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the peer, or end the connection."""
        assert isinstance(transport, asyncio.Transport)
        address = transport.get_extra_info("peername")
        self.name = str(address[0]) if address else ""
        if not self._server.admit(self, self.name):
            transport.abort()
            return
        self._transport = transport
        transport.set_write_buffer_limits(high=_UNSENT)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the peer."""
        self._transport = None
        self._server.leave(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go: behind the part of a request that is already there."""
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Have what has come answered, and read no more until it is."""
        self._filled += nbytes
        self.heard = self._server.clock()
        if self._server.ask(self) and self._transport is not None:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """Take no more requests of a peer that does not read its answers."""
        self._unread = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        self._unread = False
        if self._transport is not None and not self._server.ask(self) and not self._unread:
            self._transport.resume_reading()

    def drop(self) -> None:
        """Close the connection now; what was not sent is lost."""
        if self._transport is not None:
            self._transport.abort()
        self._server.leave(self)

    def step(self) -> bool:
        """Answer one whole request of the buffer, and read on after the last; whether there is another one.

        A peer that does not speak Modbus is dropped.
        """
        if self._transport is None or self._transport.is_closing() or self._unread:
            return False
        end = self._end()
        if end:
            header = read_header(self._buffer)
            assert header is not None
            pdu = bytes(memoryview(self._buffer)[HEADER_SIZE:end])
            self._filled -= end
            self._buffer[: self._filled] = self._buffer[end : end + self._filled]
            self._transport.write(self._server.respond(self, header, pdu))
            end = self._end()
        if not end and not self._unread:
            self._transport.resume_reading()
        return end > 0

    def _end(self) -> int:
        """Where the first request ends, 0 where it is not whole yet; a peer that does not speak Modbus is dropped."""
        if self._filled < HEADER_SIZE:
            return 0
        header = read_header(self._buffer)
        if header is None:
            self.drop()
            return 0
        end = HEADER_SIZE + header.size
        return end if end <= self._filled else 0
