"""A Modbus TCP server for a PLC: an asyncio loop in a thread, a few peers, one writer. It knows nothing of the map."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from ..errors import InputError
from .config import ModbusConfig
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

__all__ = ["ModbusServer", "ModbusState", "Peer", "bind"]

_BUFFER = 520  # bytes read at once: the requests of one peer that are served before another peer's turn
_UNSENT = 4096  # bytes of answers that wait for a slow peer, before its requests do
_KERNEL = 16_384  # bytes of answers that the kernel holds for a peer
_SILENCE = 60.0  # seconds after which a silent connection is given up
_SWEEP = 1.0
_BACKLOG = 64
_ACCEPTING = 5  # turns of the loop from an accepted connection to its peer


class ModbusState(NamedTuple):
    """What the server is doing: connections now, the writer's address, and counts since the start."""

    connections: int
    writer: str | None
    requests: int
    refused: int


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises InputError, with the remedy, where the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InputError(f"modbus.host is {host!r}, no address ({error.strerror}); give this machine's own") from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(_BACKLOG)
        made.setblocking(False)
    except OSError as error:
        made.close()
        raise InputError(f"modbus.port {port} at {host} cannot be had: {_why(error, port)}") from error
    return made


def _why(error: OSError, port: int) -> str:
    if isinstance(error, PermissionError):
        return "ports below 1024 need the right to bind them; choose 1502, or AmbientCapabilities=CAP_NET_BIND_SERVICE"
    text = (error.strerror or str(error)).lower()
    return f"{text}; look who holds it (ss -ltnp sport = :{port}), or choose another"


class ModbusServer(LoopThread):
    """Serves ``registers`` as `ModbusConfig` says. ``coils`` and ``inputs`` are the words whose bits these are.

    ``clock`` is monotonic, in seconds. No peer can hold up another one, or the station: what it may ask at once, what
    waits for it and how long it may be silent is bounded.
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

    def leave(self, peer: Peer) -> None:
        """Forget a connection; a writer's place is free at once."""
        self._peers.discard(peer)
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
        server = await asyncio.get_running_loop().create_server(lambda: Peer(self), sock=self._socket)
        try:
            ready.set()
            while True:
                await asyncio.sleep(_SWEEP)
                self.sweep()
        finally:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            for _ in range(_ACCEPTING):  # asyncio forgets a connection that is being accepted when a server closes
                await asyncio.sleep(0)
            server.close()
            for peer in tuple(self._peers):
                peer.drop()

    def sweep(self) -> None:
        """Give up the connections that have been silent for long: their peer may be gone without a word."""
        now = self.clock()
        for peer in [one for one in self._peers if now - one.heard > _SILENCE]:
            peer.drop()


class Peer(asyncio.BufferedProtocol):
    """One connection. What is read at once is little, so that peers take turns however much one of them asks."""

    def __init__(self, server: ModbusServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray(_BUFFER)
        self._filled = 0
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
        """Answer what is complete."""
        self._filled += nbytes
        self.heard = self._server.clock()
        self._answer_all()

    def pause_writing(self) -> None:
        """Take no more requests of a peer that does not read its answers."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        if self._transport is not None:
            self._transport.resume_reading()

    def drop(self) -> None:
        """Close the connection now; what was not sent is lost."""
        if self._transport is not None:
            self._transport.abort()
        self._server.leave(self)

    def _answer_all(self) -> None:
        """Answer every whole request in the buffer; a peer that does not speak Modbus is dropped."""
        start = 0
        while self._transport is not None and self._filled - start >= HEADER_SIZE:
            header = read_header(memoryview(self._buffer)[start : start + HEADER_SIZE])
            if header is None:
                self.drop()
                return
            end = start + HEADER_SIZE + header.size
            if end > self._filled:
                break
            pdu = bytes(memoryview(self._buffer)[start + HEADER_SIZE : end])
            self._transport.write(self._server.respond(self, header, pdu))
            start = end
        self._filled -= start
        self._buffer[: self._filled] = self._buffer[start : start + self._filled]
