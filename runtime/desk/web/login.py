"""Logging in and out: by name and password, or by the one-time link of a first start."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Callable
from typing import Annotated

import msgspec
from starlette.responses import Response

from ...errors import InputError
from ...station.users import is_password, set_password
from ..attempts import Attempts
from ..audit import audit
from .errors import RequestError
from .routes import Call, Route, reply
from .sessions import FIRST, Session, Sessions

__all__ = ["Login"]

_LINK = 900.0  # seconds for which the one-time link is good
_AT_ONCE = 2  # passwords that are tried at the same time: each takes 32 MiB and 80 ms
_Short = Annotated[str, msgspec.Meta(max_length=1024)]


class _Password(msgspec.Struct, forbid_unknown_fields=True):
    user: _Short
    password: _Short


class _Link(msgspec.Struct, forbid_unknown_fields=True):
    token: _Short


class _Change(msgspec.Struct, forbid_unknown_fields=True):
    password: _Short
    user: _Short = ""
    current: _Short = ""


class Login:
    """The routes of a page's login. `link` opens it without a password while nobody has one."""

    def __init__(self, sessions: Sessions, clock: Callable[[], float] = time.monotonic) -> None:
        self._sessions, self._clock = sessions, clock
        self._by_client, self._by_user = Attempts(60.0, clock), Attempts(5.0, clock)
        self._tries = threading.Semaphore(_AT_ONCE)
        self._lock = threading.Lock()
        self._token: str | None = None
        self._until = 0.0

    def routes(self) -> list[Route]:
        """Return what the page answers about login."""
        return [
            Route("/api/v1/login", self._login, None, "POST"),
            Route("/api/v1/link", self._by_link, None, "POST"),
            Route("/api/v1/logout", self._logout, "viewer", "POST", person=True),
            Route("/api/v1/me", self._me),
            Route("/api/v1/password", self._password, "viewer", "POST", person=True),
        ]

    def link(self) -> str | None:
        """Return a new token for the one-time link, good for 15 minutes; None where somebody has a password."""
        if self._sessions.users():
            return None
        with self._lock:
            self._token, self._until = secrets.token_urlsafe(24), self._clock() + _LINK
            return self._token

    def redeem(self, token: str) -> bool:
        """Whether a token is that of the link; it is good once, in time, and while nobody has a password."""
        with self._lock:
            known = self._token
            if known is None or not hmac.compare_digest(known.encode(), token.encode("utf-8", "replace")):
                return False
            self._token = None
        return self._clock() <= self._until and not self._sessions.users()

    def _login(self, call: Call) -> Response:
        wanted = call.json(_Password)
        self._slowed(call, wanted.user)
        if not self._tries.acquire(timeout=5.0):
            raise RequestError(503, "too many logins at once; try again")
        try:
            right = is_password(self._sessions.users(), wanted.user, wanted.password)
        finally:
            self._tries.release()
        if not right:
            self._by_client.failed(call.client)
            self._by_user.failed(wanted.user)
            audit(call.around, wanted.user[:64], "wrong password", after=call.client)
            raise RequestError(401, "the name or the password is wrong", code="wrong")
        self._by_client.passed(call.client)
        self._by_user.passed(wanted.user)
        return self._begun(call, wanted.user)

    def _slowed(self, call: Call, user: str) -> None:
        wait = max(self._by_client.wait(call.client), self._by_user.wait(user))
        if wait > 0:
            raise RequestError(429, f"too many wrong passwords; try again in {wait:.0f} s", code="slow")

    def _by_link(self, call: Call) -> Response:
        wanted = call.json(_Link)
        self._slowed(call, FIRST)
        if not self.redeem(wanted.token):
            self._by_client.failed(call.client)
            raise RequestError(
                401, "the link was used already, is too old, or is wrong", remedy="restart the desk for a new one"
            )
        return self._begun(call, FIRST)

    def _begun(self, call: Call, user: str) -> Response:
        """The answer that sets the cookie."""
        token = self._sessions.begin(user)
        session = self._sessions.find(token)
        assert session is not None
        audit(call.around, session.user or "first start", "login", after=call.client)
        answer = reply(_told(call, session))
        site = call.site["site"]
        answer.set_cookie(site.cookie, token, path="/", secure=site.secure, httponly=True, samesite="strict")
        return answer

    def _logout(self, call: Call) -> Response:
        self._sessions.end(call.site["token"])
        answer = reply({})
        answer.delete_cookie(call.site["site"].cookie, path="/", httponly=True, samesite="strict")
        return answer

    def _me(self, call: Call) -> dict[str, object]:
        assert call.session is not None
        return _told(call, call.session)

    def _password(self, call: Call) -> Response:
        """Change one's own password; the first user takes a name with it."""
        change, session = call.json(_Change), call.session
        assert session is not None
        if session.user == FIRST:
            name = change.user
        else:
            name = session.user
            self._slowed(call, name)
            if not is_password(self._sessions.users(), name, change.current):
                self._by_user.failed(name)
                self._by_client.failed(call.client)
                raise InputError("the current password is wrong", code="wrong")
        desk = call.around.config.desk
        assert desk is not None
        set_password(desk.users, name, change.password, session.role)
        audit(call.around, name, "password")
        return self._begun(call, name)


def _told(call: Call, session: Session) -> dict[str, object]:
    station = call.around.config.station
    return {
        "user": session.user,
        "role": session.role,
        "csrf": session.csrf,
        "first": session.user == FIRST,
        "station": station.name,
        "trigger": call.around.config.trigger.kind,
    }
