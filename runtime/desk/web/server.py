"""uvicorn in a thread of the desk, with an end to connections that never say what they want."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ...station.config_page import DeskConfig
from ...station.desk_access import bind_page
from ...station.loop_thread import LoopThread

__all__ = ["PageServer"]

_HEAD = 10.0  # seconds for the first line and the headers of a request
_IDLE = 15  # seconds that a connection may stay open between two requests
_MOST = 256  # connections


class _Protocol(H11Protocol):
    """uvicorn's own, which would wait for ever for a request that does not end."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._timer is None:
            self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _arm(self) -> None:
        self._timer = self.loop.call_later(_HEAD, self._late)

    def _late(self) -> None:
        self._timer = None
        if (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
            self.transport.abort()


class PageServer(LoopThread):
    """Serves ``app`` at the page's address, from `start` to `close`; ``port`` is then the one that is used."""

    def __init__(self, app: ASGIApp, desk: DeskConfig) -> None:
        super().__init__("page")
        self._app, self._desk = app, desk
        self.port = desk.port
        self._socket: socket.socket | None = None

    def _open(self) -> None:
        self._socket = bind_page(self._desk.host, self.port)
        self.port = int(self._socket.getsockname()[1])

    async def _serve(self, ready: threading.Event) -> None:
        assert self._socket is not None
        server = uvicorn.Server(_config(self._app, self._desk))
        serving = asyncio.ensure_future(server.serve(sockets=[self._socket]))
        try:
            while not server.started and not serving.done():
                await asyncio.sleep(0.01)
            ready.set()
            await asyncio.shield(serving)
        finally:
            server.should_exit = True
            await serving


def _config(app: ASGIApp, desk: DeskConfig) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ssl_certfile=desk.tls_cert,
        ssl_keyfile=desk.tls_key,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=1,
        limit_concurrency=_MOST,
        h11_max_incomplete_event_size=16_384,
    )
