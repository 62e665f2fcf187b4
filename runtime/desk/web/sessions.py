"""Who is logged in: sessions in a file of the desk, of which only hashes are stored."""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...backends.lifecycle import Closing
from ...errors import OutputError
from ...station.private_file import Fresh
from ...station.users import Role, User, read_users

__all__ = ["FIRST", "Session", "Sessions"]

FIRST = ""
"""The user of the one-time link, who exists until somebody has a password."""
_IDLE, _LONGEST = 12 * 3600.0, 30 * 86_400.0  # seconds without a request, and in all
_SEEN_EVERY = 60.0  # seconds
_TABLE = """CREATE TABLE IF NOT EXISTS session (
    token_sha256 TEXT PRIMARY KEY, user TEXT NOT NULL, mark TEXT NOT NULL,
    made_at REAL NOT NULL, seen_at REAL NOT NULL)"""


@dataclass(frozen=True)
class Session:
    """A user who is logged in, or a ``machine`` that bears a token.

    ``csrf`` is what each change must bring along in a header; not a machine's, which no other site can make ask.
    """

    user: str
    role: Role
    csrf: str
    machine: bool = False


class Sessions(Closing):
    """Sessions of the users in the file ``users``, kept in ``path``; from any thread.

    A session ends with its user, with a change of the password, after 12 hours without a request, and after 30 days.
    """

    def __init__(self, path: Path, users: Path, clock: Callable[[], float] = time.time) -> None:
        self._users, self._clock = Fresh(users, read_users), clock
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))
            self._store = _opened(path)
        except (OSError, sqlite3.Error) as error:
            remedy = "remove it, or free some space"
            raise OutputError(f"the sessions {path} cannot be written ({error})", remedy=remedy) from error

    def users(self) -> dict[str, User]:
        """Return the users as they are now. Raises InputError for a file that cannot be used."""
        return self._users.now()

    def begin(self, user: str) -> str:
        """Begin a session and return its token, the cookie's value."""
        token, now = secrets.token_urlsafe(32), self._clock()
        mark = self._mark(user)
        with self._lock:
            self._store.execute("DELETE FROM session WHERE seen_at < ? OR made_at < ?", (now - _IDLE, now - _LONGEST))
            self._store.execute("INSERT INTO session VALUES (?, ?, ?, ?, ?)", (_digest(token), user, mark, now, now))
        return token

    def find(self, token: str) -> Session | None:
        """Return the session of a token, None where it has ended or never was."""
        now, digest = self._clock(), _digest(token)
        with self._lock:
            row = self._store.execute(
                "SELECT user, mark, made_at, seen_at FROM session WHERE token_sha256 = ?", (digest,)
            ).fetchone()
        if row is None or not 0 <= now - row[3] < _IDLE or not now - row[2] < _LONGEST or row[1] != self._mark(row[0]):
            return None
        if now - row[3] > _SEEN_EVERY:
            with self._lock:
                self._store.execute("UPDATE session SET seen_at = ? WHERE token_sha256 = ?", (now, digest))
        role: Role = "engineer" if row[0] == FIRST else self.users()[row[0]].role
        return Session(row[0], role, _digest("csrf " + token))

    def end(self, token: str) -> None:
        """End a session."""
        with self._lock:
            self._store.execute("DELETE FROM session WHERE token_sha256 = ?", (_digest(token),))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._store.close()

    def _mark(self, user: str) -> str:
        """What changes when a session must end: the password's salt; for the first user, that there are others."""
        users = self.users()
        if user == FIRST:
            return "others" if users else "first"
        return users[user].salt if user in users else "gone"


def _opened(path: Path) -> sqlite3.Connection:
    store = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        store.execute(_TABLE)
    except sqlite3.Error:
        store.close()
        raise
    return store


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
