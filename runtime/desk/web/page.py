"""The service ``page``: everything that a browser is given, from the start of the desk to its end."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from ...backends.lifecycle import Closing
from ...errors import InputError
from ...station.desk_access import check_access
from ..service import Health, Surroundings
from .events import event_routes
from .live import LiveView, live_routes
from .login import Login
from .machines import Machines
from .parts_api import remove_left_zips
from .server import PageServer
from .sessions import Sessions
from .site import Site
from .state import State
from .table import modules, sections
from .tokens_api import token_routes

__all__ = ["Page"]


class Page(Closing):
    """The page of the desk's station."""

    name = "page"

    def __init__(self, around: Surroundings, shared: Mapping[str, Any] | None = None) -> None:
        """``shared`` is for the handlers of the page's modules (`Call.site`)."""
        if around.config.desk is None:
            raise InputError("station.toml has no table [desk]; add one for the page")
        self._around, self._desk = around, around.config.desk
        self._shared = dict(shared or {})
        self._parts = ExitStack()
        self._server: PageServer | None = None

    def start(self) -> None:
        """Listen, and say where. Raises InputError for an address that is refused, OutputError."""
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        check_access(self._desk)
        remove_left_zips(self._around.state)
        sessions = self._parts.enter_context(Sessions(self._around.state / "sessions.db", self._desk.users))
        login, machines = Login(sessions), Machines(self._around, self._desk.users)
        state = self._parts.enter_context(State(self._around, sections(self._around, self._shared)))
        view = self._parts.enter_context(LiveView(self._around))
        routes = [*login.routes(), *token_routes(machines), *event_routes(state), *live_routes(view)]
        routes += modules(self._around)
        site = Site(self._around, sessions, machines, routes, {**self._shared, "sessions": sessions, "live": view})
        self._server = self._parts.enter_context(PageServer(site.app, self._desk))
        self._server.start()
        state.start()
        self._tell(login.link())

    @property
    def address(self) -> str:
        """Where a browser on this machine finds the page."""
        scheme = "https" if self._desk.tls else "http"
        host = f"[{self._desk.host}]" if ":" in self._desk.host else self._desk.host
        return f"{scheme}://{host}:{self.port}/"

    @property
    def port(self) -> int:
        """The port that is used."""
        return self._desk.port if self._server is None else self._server.port

    def close(self) -> None:
        """End it; open pages say that they are not connected."""
        self._parts.close()

    def health(self) -> Health:
        """How it does."""
        failure = None if self._server is None else self._server.failure
        if failure is not None:
            return Health(False, f"the server ended: {failure}")
        return Health(True, f"at {self.address}")

    def _tell(self, token: str | None) -> None:
        if token is None:
            self._around.say(f"page: {self.address}")
            return
        self._around.say(f"page: {self.address}#first={token}")
        self._around.say("page: that link opens it once, within 15 minutes; set a password there, under System")
