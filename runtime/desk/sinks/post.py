"""One signed HTTP POST, and what its answer means. No redirect is followed, no proxy of the environment is used."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from enum import Enum
from typing import NamedTuple
from urllib.parse import urlsplit

from ...errors import InputError
from ...station.config_protocols import WebhookConfig
from ...text import reason_of, redact, shown, system_reason

__all__ = ["Answer", "Outcome", "Poster", "signature"]

_LATER = (408, 425, 429)  # refusals that are about the moment, not about the message
_MOST = 200  # characters of an answer that are repeated


class Outcome(Enum):
    """What became of a message."""

    TAKEN = "taken"
    REFUSED = "refused"
    """The receiver will not have this message, however often it comes."""
    LATER = "later"
    """It was not taken, and may be the next time."""


class Answer(NamedTuple):
    """What became of a message, the HTTP status (0: none came), and a line for people."""

    outcome: Outcome
    status: int
    text: str


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return what stands in the header ``X-Regad-Signature``: HMAC-SHA256 of the timestamp, a dot and the body."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class Poster:
    """Posts to the address of ``config``; by one thread. Raises InputError where secret or ``ca`` cannot be used."""

    def __init__(self, config: WebhookConfig, clock: Callable[[], float] = time.time) -> None:
        self._secret, self._clock = config.secret.read(), clock
        self._seconds = config.timeout_ms / 1000.0
        parts = urlsplit(config.url)
        self._host, self._port = parts.hostname or "", parts.port
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._tls = _context(config) if parts.scheme == "https" else None
        self._where = f"{parts.scheme}://{parts.netloc}"

    def post(self, key: str, body: bytes) -> Answer:
        """Send a message and return what became of it, within twice the timeout."""
        timestamp = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json",
            "Connection": "close",
            "User-Agent": "regad-station",
            "Idempotency-Key": key,
            "X-Regad-Timestamp": timestamp,
            "X-Regad-Signature": signature(self._secret, timestamp, body),
        }
        try:
            status, location = self._exchange(headers, body)
        except (OSError, http.client.HTTPException) as error:
            return Answer(Outcome.LATER, 0, f"{self._where} cannot be reached: {_why(error)}")
        return self._meaning(status, location)

    def _exchange(self, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        """The status is the answer: what comes after it is not waited for."""
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._seconds)
        else:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=self._seconds, context=self._tls)
        with closing(connection):
            connection.connect()
            late = threading.Event()
            timer = threading.Timer(self._seconds, _end, (connection.sock, late))
            timer.daemon = True
            timer.start()
            try:
                connection.request("POST", self._target, body, headers)
                with closing(connection.getresponse()) as response:
                    return response.status, response.getheader("Location", "")
            except (OSError, http.client.HTTPException):
                if late.is_set():
                    raise TimeoutError("no answer in time") from None
                raise
            finally:
                timer.cancel()

    def _meaning(self, status: int, location: str) -> Answer:
        if 200 <= status < 300:
            return Answer(Outcome.TAKEN, status, "delivered")
        if 300 <= status < 400:
            to = redact(shown(location))[:_MOST]
            text = f"{self._where} redirects ({status}) to {to}, which is not followed; correct webhook.url"
            return Answer(Outcome.LATER, status, text)
        refused = 400 <= status < 500 and status not in _LATER
        return Answer(
            Outcome.REFUSED if refused else Outcome.LATER, status, f"{self._where} answers with status {status}"
        )


def _context(config: WebhookConfig) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if config.ca is None else str(config.ca))
    except (OSError, ValueError) as error:
        raise InputError(
            f"webhook {config.name}: ca {config.ca} cannot be used ({system_reason(error)}); name a PEM file"
        ) from error


def _end(sock: socket.socket, late: threading.Event) -> None:
    """A server that answers a byte now and then has had its time."""
    late.set()
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _why(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); name the CA in webhook.ca"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.RemoteDisconnected):
        return "it closed the connection without an answer"
    return redact(system_reason(error) if isinstance(error, OSError) else f"no HTTP ({reason_of(error)})")[:_MOST]
