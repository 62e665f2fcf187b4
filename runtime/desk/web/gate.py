"""What every request passes before anything looks at it: names, origins, sizes, and how many at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .hosts import HostRule

__all__ = ["BEARER", "BODY", "Gate", "client_of"]

BODY: Final = 20_000_000
"""Bytes of the largest body."""
BEARER: Final = "Bearer "
"""How the header ``Authorization`` of a machine begins."""
_AT_ONCE = 8  # requests of one client that are worked on; more wait
_WAITING = 32  # requests of one client that may wait; more are refused
_STREAMS = 12  # answers without end that one client may have open
_RECEIVE, _SEND, _TURN = 20.0, 20.0, 10.0  # seconds without progress
_TOO_MANY = "too many requests at once; close other windows of this page"

_HEADERS: Final = (
    (b"content-security-policy", b"default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
     b"frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)  # fmt: skip
_STRICT_TRANSPORT: Final = (b"strict-transport-security", b"max-age=31536000")


class _SlowError(Exception):
    """The client neither sends nor takes what it must."""


class Gate:
    """Lets a request through to ``app``, or answers why not. ``streams`` says which paths' answers have no end."""

    def __init__(
        self, app: ASGIApp, hosts: HostRule, streams: Callable[[str], bool], *, behind_proxy: bool, tls: bool
    ) -> None:
        self._app, self._hosts, self._streams = app, hosts, streams
        self._behind_proxy = behind_proxy
        self._headers = (*_HEADERS, _STRICT_TRANSPORT) if tls else _HEADERS
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._present: Counter[str] = Counter()
        self._endless: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; anything but HTTP is not spoken."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        scope["regad.client"] = client = client_of(scope, headers, self._behind_proxy)
        guarded = self._guarded(send)
        with suppress(_SlowError):  # the server closes a connection whose answer is not whole
            if (wrong := self._wrong(scope["method"], headers)) is not None:
                await _refuse(guarded, *wrong)
            else:
                await self._counted(client, scope, _patient(receive), guarded)

    async def _counted(self, client: str, scope: Scope, receive: Receive, send: Send) -> None:
        endless = self._streams(scope["path"])
        counted = self._endless if endless else self._present
        if counted[client] >= (_STREAMS if endless else _AT_ONCE + _WAITING):
            await _refuse(send, 429, _TOO_MANY)
            return
        counted[client] += 1
        try:
            await self._in_turn(client, endless, scope, receive, send)
        finally:
            counted[client] -= 1
            if not counted[client]:
                del counted[client]
                if not endless:
                    self._turns.pop(client, None)

    def _wrong(self, method: str, headers: Headers) -> tuple[int, str] | None:
        """Why a request is refused by its headers, None where it is not."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if len(headers.getlist("host")) != 1 or not self._hosts.knows(host):
            return 421, "this page is not known by that name; add it to desk.hosts, or use the address that it printed"
        if origin is not None and not self._hosts.same(origin, host):
            return 403, "the request came from another site"
        # A browser sends no such header across sites unless it is allowed to, which it never is.
        machine = headers.get("authorization", "").startswith(BEARER) and "cookie" not in headers
        if method not in ("GET", "HEAD") and origin is None and not machine:
            return 403, "a change needs the header Origin, the page's own address"
        if headers.get("sec-fetch-site", "same-origin") in ("cross-site", "same-site") and method != "GET":
            return 403, "the request came from another site"
        size = headers.get("content-length", "0")
        if not size.isascii() or not size.isdigit() or len(size) > 12 or int(size) > BODY:
            return 413, f"the body may have at most {BODY // 1_000_000} MB"
        return None

    async def _in_turn(self, client: str, endless: bool, scope: Scope, receive: Receive, send: Send) -> None:
        if endless:
            await self._app(scope, receive, send)
            return
        turn = self._turns.setdefault(client, asyncio.Semaphore(_AT_ONCE))
        try:
            await asyncio.wait_for(turn.acquire(), _TURN)
        except asyncio.TimeoutError:
            await _refuse(send, 429, _TOO_MANY)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            turn.release()

    def _guarded(self, send: Send) -> Send:
        """``send`` with the page's headers, and an end of its patience."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
            try:
                await asyncio.wait_for(send(message), _SEND)
            except asyncio.TimeoutError:
                raise _SlowError from None

        return guarded


def _patient(receive: Receive) -> Receive:
    """``receive`` that counts the body and does not wait for ever for its next piece."""
    done, got = False, 0

    async def limited() -> Message:
        nonlocal done, got
        if done:  # from here on only the end of the connection is awaited, for as long as the answer takes
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), _RECEIVE)
        except asyncio.TimeoutError:
            raise _SlowError from None
        got += len(message.get("body", b""))
        done = not message.get("more_body", False)
        if got > BODY:
            raise _SlowError
        return message

    return limited


def client_of(scope: Scope, headers: Headers, behind_proxy: bool) -> str:
    """Return whose request it is: the peer's address, behind a proxy the one that the proxy itself has seen."""
    peer = str(scope["client"][0]) if scope.get("client") else "?"
    if behind_proxy and (lines := headers.getlist("x-forwarded-for")):
        return lines[-1].rpartition(",")[2].strip()[:64] or peer
    return peer


async def _refuse(send: Send, status: int, text: str) -> None:
    body = msgspec.json.encode({"error": text, "code": "refused"})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 413:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
