"""The command socket: a Unix socket for this user alone, one JSON object a line each way.

A request like ``{"command": "trigger", "id": 7}`` is answered by ``{"ok": true, ..., "id": 7}``, in the order asked, or
by ``{"ok": false, "error": "one line", "code": "word"}``. What is no request is answered so too.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import stat
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Union

import msgspec

from ..errors import InputError, RegadError
from ..text import shown
from .loop_thread import LoopThread
from .pacing import Bucket, Queue

__all__ = ["Answer", "CommandServer", "Handle", "bind_unix"]

Answer = dict[str, Any]
Handle = Callable[[dict[str, Any]], Union[Answer, "Future[Answer]"]]
"""Takes a request and returns what it is answered with, or the future of that. It may not block."""

_FIRST = (500.0, 64, 4)  # requests a second, saved up, at once after that: of those that go first
_OTHERS = (100.0, 20, 5)  # of all others, of all clients together: one costs 100 us and more of Python's lock
_LINE = 65_536  # bytes of a request
_UNSENT = 65_536  # bytes of answers that wait for a slow client, before its requests do
_CLIENTS = 64
_PATIENCE = 10.0  # seconds that a client may leave an answer unread
_BACKLOG = 64


def bind_unix(path: Path) -> socket.socket:
    """Return a listening Unix socket at ``path``, mode 600 from the first moment.

    A socket that a dead process left there is replaced. Raises InputError where another process listens, something else
    lies there, or the folder cannot be written.
    """
    _check_free(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = path.parent / f".{secrets.token_hex(4)}"
    try:
        folder.mkdir(mode=0o700)  # nobody connects before the mode is set
        try:
            made.bind(str(folder / "s"))
            made.listen(_BACKLOG)
            made.setblocking(False)
            (folder / "s").chmod(0o600)
            (folder / "s").rename(path)
        finally:
            with suppress(FileNotFoundError):
                (folder / "s").unlink()
            folder.rmdir()
    except OSError as error:
        made.close()
        reason = error.strerror or str(error)
        raise InputError(
            f"commands.socket {shown(path)} cannot be made ({reason}); create {shown(path.parent)}, or choose "
            "a folder that can be written"
        ) from error
    return made


def _check_free(path: Path) -> None:
    """Raise InputError unless a socket may be put at ``path``."""
    try:
        kind = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(kind):
        raise InputError(f"commands.socket {shown(path)} is no socket; it is left as it is: choose another name")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except OSError:  # it listens: busy, or not for this user
            pass
    raise InputError(
        f"commands.socket {shown(path)} is in use: another station runs here; stop it, or choose another name"
    )


class CommandServer(LoopThread):
    """Serves ``handle`` on the Unix socket ``path``. No client can hold up another one, and no number the station.

    Clients take turns, and all together may ask so much; a line that holds ``first`` does not wait for the others.
    """

    def __init__(self, path: Path, handle: Handle, first: bytes = b'"trigger"') -> None:
        super().__init__("command socket")
        self.path = path
        self._handle = handle
        self._word = first
        self._first, self._others = Queue(Bucket(*_FIRST)), Queue(Bucket(*_OTHERS))
        self._socket: socket.socket | None = None
        self._inode = 0
        self._clients: set[asyncio.Task[None]] = set()

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    def _open(self) -> None:
        self._socket = bind_unix(self.path)
        self._inode = self.path.stat().st_ino

    async def _serve(self, ready: threading.Event) -> None:
        assert self._socket is not None
        server = await asyncio.start_unix_server(self._client, sock=self._socket, limit=_LINE)
        try:
            ready.set()
            await asyncio.Event().wait()
        finally:
            server.close()
            for client in tuple(self._clients):
                client.cancel()
            await asyncio.gather(*self._clients, return_exceptions=True)
            with suppress(OSError):
                if self.path.stat().st_ino == self._inode:
                    self.path.unlink()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        writer.transport.set_write_buffer_limits(high=_UNSENT)
        try:
            if len(self._clients) >= _CLIENTS:
                writer.write(_refused("too many clients; close one", "busy"))
                return
            self._clients.add(task)
            await self._converse(reader, writer)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._clients.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                writer.write(_refused(f"the line is longer than {_LINE} bytes; send a shorter one", "too_long"))
                return
            await (self._first if self._word in line else self._others).turn()
            writer.write(await self._answer(line))
            # Not wait_for: before Python 3.12 it may swallow a cancellation.
            timer = asyncio.get_running_loop().call_later(_PATIENCE, writer.transport.abort)
            try:
                await writer.drain()
            finally:
                timer.cancel()

    async def _answer(self, line: bytes) -> bytes:
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return _refused('this is no JSON object; send a line like {"command": "status"}', "not_json")
        number = request.get("id")
        try:
            answer = self._handle(request)
            if isinstance(answer, Future):
                answer = await asyncio.wrap_future(answer)
            return _line({"ok": True, **answer}, number)
        except RegadError as error:
            return _refused(str(error), error.code or "refused", number)
        except Exception as error:
            return _refused(f"the station failed: {type(error).__name__}: {error}", "internal", number)


def _line(answer: Answer, number: object = None) -> bytes:
    return msgspec.json.encode(answer if number is None else {**answer, "id": number}) + b"\n"


def _refused(text: str, code: str, number: object = None) -> bytes:
    return _line({"ok": False, "error": text, "code": code}, number)
