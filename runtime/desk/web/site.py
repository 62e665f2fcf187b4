"""The page as an ASGI application: routes behind the gate, each for who may ask."""

from __future__ import annotations

import hmac
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as Path
from starlette.types import ASGIApp

from ...errors import RegadError
from ...station.private_file import PrivateFileError
from ..service import Surroundings
from .errors import RequestError, status_of
from .files import file_routes
from .gate import BODY, Gate
from .hosts import HostRule
from .machines import Machines
from .routes import Call, Route, may, refuse_doubles, reply
from .sessions import Session, Sessions

__all__ = ["CSRF", "Site"]

CSRF = "x-regad-csrf"
"""The header that a change brings along."""
_UNKNOWN = 65_536  # bytes that somebody may send who is not logged in
_ALWAYS: Callable[[], bool] = lambda: True  # noqa: E731


class Site:
    """Everything that the page answers. ``shared`` is what its modules find in `Call.site`, by name."""

    def __init__(
        self,
        around: Surroundings,
        sessions: Sessions,
        machines: Machines,
        routes: Sequence[Route],
        shared: Mapping[str, Any],
    ) -> None:
        desk = around.config.desk
        assert desk is not None
        refuse_doubles(routes)
        self._around, self._sessions, self._machines = around, sessions, machines
        self._shared = dict(shared)
        self._said = ""  # what was last said of a private file
        self.cookie = f"regad-{desk.port}"  # cookies know no ports, and two stations may share a machine
        self.secure = desk.tls or desk.behind_proxy
        endless = frozenset(route.path for route in routes if route.stream)
        inner = Starlette(routes=[*(self._path(route) for route in routes), *file_routes()])
        inner.router.redirect_slashes = False
        self.app: ASGIApp = Gate(
            inner, HostRule(desk), endless.__contains__, behind_proxy=desk.behind_proxy, tls=desk.tls
        )

    def _path(self, route: Route) -> Path:
        async def endpoint(request: Request) -> Response:
            try:
                return await self._answer(route, request)
            except ClientDisconnect:
                return Response(status_code=499)
            except RegadError as error:
                return _told(error)
            except Exception as error:  # a fault of the desk: it is reported once, and the page goes on
                traceback.print_exc(file=sys.stderr)
                self._around.say(f"page: {route.method} {route.path}: {type(error).__name__}: {error}")
                return _told(RequestError(500, "the desk failed; its log says more", code="internal"))

        return Path(route.path, endpoint, methods=[route.method])

    async def _answer(self, route: Route, request: Request) -> Response:
        session: Session | None = None
        try:
            session, lasts = await self._asking(request)
            self._admit(route, request, session)
            call = Call(
                self._around,
                session,
                request.path_params,
                request.query_params,
                request.headers,
                await _body(request, _UNKNOWN if route.role is None else BODY),
                request.scope["regad.client"],
                {**self._shared, "token": request.cookies.get(self.cookie), "site": self},
                lasts,
            )
            if route.waits:
                return reply(await route.handler(call))
            return await run_in_threadpool(lambda: reply(route.handler(call)))
        except PrivateFileError as error:
            if session is not None:
                raise
            raise self._unnamed(error) from error

    async def _asking(self, request: Request) -> tuple[Session | None, Callable[[], bool]]:
        """Who asks, None for nobody who is known; and what says whether that still holds."""
        token, bearer = request.cookies.get(self.cookie), request.headers.get("authorization", "")
        if self._machines.bears(bearer):
            session = await run_in_threadpool(self._machines.admit, bearer, request.scope["regad.client"])
            return session, partial(self._machines.still, bearer)
        if token is not None:
            return await run_in_threadpool(self._sessions.find, token), partial(self._logged_in, token)
        return None, _ALWAYS

    def _unnamed(self, error: PrivateFileError) -> RequestError:
        """What nobody who is known is told of a file of the station: the log has its name, once for each text."""
        if self._said != str(error):
            self._said = str(error)
            self._around.say(f"page: {error}")
        return RequestError(503, "the station cannot tell who may use this page; its log says why", code="users")

    def _logged_in(self, token: str) -> bool:
        """Whether a session still holds; somebody uses it, so it does not end for want of requests."""
        try:
            return self._sessions.find(token) is not None
        except RegadError:
            return False

    def _admit(self, route: Route, request: Request, session: Session | None) -> None:
        """Raise RequestError unless this session may ask this."""
        if route.role is None:
            return
        if session is None:
            raise RequestError(401, "log in first", code="login")
        if not may(session, route.role):
            raise RequestError(403, f"this needs the role {route.role}; you are {session.role}", code="role")
        if session.machine:
            if route.person:
                raise RequestError(403, "this needs a person, who logs in by name and password", code="person")
            return
        if route.method != "GET" and not hmac.compare_digest(
            request.headers.get(CSRF, "").encode("latin-1", "replace"), session.csrf.encode()
        ):
            raise RequestError(403, "the request does not come from this page; reload the page", code="csrf")


async def _body(request: Request, most: int) -> bytes:
    if request.method == "GET":
        return b""
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise RequestError(413, f"the body may have at most {most} bytes", code="size")
        pieces.append(piece)
    return b"".join(pieces)


def _told(error: RegadError) -> Response:
    """An error as a browser gets it."""
    answer = reply({"error": error.message, "remedy": error.remedy, "code": error.code})
    answer.status_code = status_of(error)
    return answer
