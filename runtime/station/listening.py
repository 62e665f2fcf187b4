"""A TCP socket that listens for the PLC, or a line that says what is in the way; connections as fast as is allowed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from ..errors import InputError
from .pacing import Bucket

__all__ = ["Door", "bind"]

_BACKLOG = 64
_PAUSE = 1.0  # seconds after a connection that could not be taken


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
        raise InputError(f"modbus.port {port} at {host} cannot be used: {_why(error, port)}") from error
    return made


def _why(error: OSError, port: int) -> str:
    if isinstance(error, PermissionError):
        return "ports below 1024 need the right to bind them; choose 1502, or AmbientCapabilities=CAP_NET_BIND_SERVICE"
    text = (error.strerror or str(error)).lower()
    return f"{text}; find what uses it (ss -ltnp sport = :{port}), or choose another"


class Door:
    """Takes the connections of a listening socket, in a loop, as fast as ``bucket`` allows; each gets a protocol.

    asyncio's own servers take up to a hundred at once, and forget one that is being taken when they close.
    """

    def __init__(self, listening: socket.socket, make: Callable[[], asyncio.BaseProtocol], bucket: Bucket) -> None:
        self._listening, self._make, self._bucket = listening, make, bucket
        self._loop = asyncio.get_running_loop()
        self._arriving: set[asyncio.Task[object]] = set()

    def open(self) -> None:
        """Take connections from now on."""
        if self._listening.fileno() >= 0:
            self._loop.add_reader(self._listening, self._arrive)

    async def close(self) -> None:
        """Take no more of them, and wait for those that have come to get their protocol."""
        self._loop.remove_reader(self._listening)
        self._listening.close()
        await asyncio.gather(*self._arriving, return_exceptions=True)

    def _arrive(self) -> None:
        if not self._bucket.take():
            self._pause(self._bucket.wait())
            return
        try:
            connection, _ = self._listening.accept()
        except OSError:  # it is gone already, or this process may open no more files
            self._pause(_PAUSE)
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._make, connection))
        self._arriving.add(task)
        task.add_done_callback(self._arrived)

    def _arrived(self, task: asyncio.Task[object]) -> None:
        self._arriving.discard(task)
        if not task.cancelled():
            task.exception()  # a peer that is gone again is nobody's concern

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listening)
        self._loop.call_later(seconds, self.open)
