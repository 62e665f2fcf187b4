"""What the page answers: routes with the role that each needs, and what a handler is given."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

import msgspec
from starlette.responses import Response

from ...errors import InputError
from ...station.trace.search import TraceSearch
from ...station.users import ROLES, Role
from ..service import Surroundings
from .errors import RequestError
from .sessions import Session

__all__ = ["LASTS", "Call", "Handler", "Route", "may", "reply"]

LASTS: Final = 2.0
"""Seconds between two looks whether the session of an answer without end still lasts."""
_Body = TypeVar("_Body")


@dataclass(frozen=True)
class Call:
    """A request, for a handler: who asks (None at a public route), ``path`` and ``query`` as text, and the whole body.

    ``site`` is what the page's own modules share, by name. ``lasts`` says whether the session still holds: an answer
    without end asks it now and then.
    """

    around: Surroundings
    session: Session | None
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    client: str
    site: Mapping[str, Any] = field(default_factory=dict)
    lasts: Callable[[], bool] = lambda: True

    @property
    def user(self) -> str:
        """The name of who asks, for the record."""
        return "" if self.session is None else self.session.user or "first start"

    def json(self, kind: type[_Body]) -> _Body:
        """Return the body as ``kind``, a msgspec struct or what else msgspec decodes. Raises InputError."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(f"the request cannot be read: {error}") from None

    def number(self, name: str, default: int | None = None, least: int = 0, most: int = (1 << 62)) -> int:
        """Return a whole number of the path or the query. Raises InputError."""
        text = self.path.get(name, self.query.get(name, ""))
        if not text and default is not None:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 19 or not least <= int(text) <= most:
            raise InputError(f"{name} is {text[:40]!r}; expected a whole number from {least} to {most}")
        return int(text)

    def trace(self) -> TraceSearch:
        """Open the trace, for a ``with`` block. Raises InputError."""
        return TraceSearch(self.around.trace)


Handler = Callable[[Call], Any]
"""Answers a call: a `Response`, or what becomes JSON. A plain function runs in a thread, a coroutine in the loop."""


@dataclass(frozen=True)
class Route:
    """A path like ``/api/v1/parts/{part}``, who answers it, and the least role that may ask (None: anybody).

    Every method but GET changes something, and needs the session's CSRF token. ``stream`` marks an answer that takes
    as long as the browser listens. What needs a ``person`` is not for the token of a machine.
    """

    path: str
    handler: Handler
    role: Role | None = "viewer"
    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    stream: bool = False
    person: bool = False

    @property
    def waits(self) -> bool:
        """Whether the handler is a coroutine."""
        return inspect.iscoroutinefunction(self.handler)


def may(session: Session | None, role: Role | None) -> bool:
    """Whether a session may do what needs ``role``."""
    return role is None or (session is not None and ROLES.index(session.role) >= ROLES.index(role))


def reply(value: object) -> Response:
    """Return what a handler gave as a response."""
    if isinstance(value, Response):
        return value
    return Response(msgspec.json.encode(value), media_type="application/json", headers={"cache-control": "no-store"})


def refuse_doubles(routes: Sequence[Route]) -> None:
    """Raise RequestError where two routes answer the same request."""
    seen = set()
    for route in routes:
        if (key := (route.method, route.path)) in seen:
            raise RequestError(500, f"two handlers answer {route.method} {route.path}")
        seen.add(key)
