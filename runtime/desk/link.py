"""The desk's end of the command socket: one request, one answer. The line never waits for it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from ..backends.lifecycle import Closing
from ..text import shown
from .errors import LinkError

__all__ = ["StationLink"]

_MOST = 1 << 20  # bytes of an answer
_PATIENCE = 5.0  # seconds that an answer may take


class StationLink(Closing):
    """Asks the station that listens on the Unix socket ``path``; from any thread, one request at a time.

    The connection is made at the first request, and anew after one that failed.
    """

    def __init__(self, path: Path, patience: float = _PATIENCE) -> None:
        self._path = path
        self._patience = patience
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._rest = b""

    def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        """Send a request and return the answer without its ``ok``. Raises LinkError, also for a refusal.

        A request whose answer does not come may have been carried out.
        """
        line = msgspec.json.encode({"command": command, **fields}) + b"\n"
        with self._lock:
            try:
                answer = msgspec.json.decode(self._exchanged(line), type=dict[str, Any])
            except (OSError, msgspec.MsgspecError) as error:
                self._drop()
                raise LinkError(
                    f"the station at {shown(self._path)} does not answer ({error})",
                    remedy="check that it runs: systemctl status regad-station",
                    code="gone",
                ) from error
        if answer.pop("ok", False) is not True:
            raise LinkError(str(answer.get("error", "refused")), code=str(answer.get("code", "")))
        return answer

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            self._drop()

    def _exchanged(self, line: bytes) -> bytes:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.settimeout(self._patience)
            self._socket.connect(str(self._path))
            self._rest = b""
        self._socket.sendall(line)
        while b"\n" not in self._rest:
            part = self._socket.recv(65_536)
            if not part or len(self._rest) > _MOST:
                raise ConnectionError("the connection was closed" if not part else "the answer has no end")
            self._rest += part
        answer, _, self._rest = self._rest.partition(b"\n")
        return answer

    def _drop(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
            self._socket = None
