"""Machines that use the API by a token: who bears which, how often each may ask, and who guesses is slowed down."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from ...errors import InputError
from ...station.pacing import Bucket
from ...station.private_file import Fresh
from ...station.tokens import PREFIX, Token, read_tokens, token_of, tokens_path
from ..attempts import Attempts
from ..audit import audit
from ..service import Surroundings
from .errors import RequestError
from .gate import BEARER
from .sessions import Session

__all__ = ["Machines"]

_RATE, _BURST = 20.0, 40  # requests a second of one token, and saved up
_AGAIN = 3600.0  # seconds after which a token that has ended is in the audit trail again, if it is still used


class Machines:
    """The tokens beside the file ``users``; from any thread. A revoked one, and one that has ended by ``wall``, seconds
    since 1970, is of no use from the next request on.
    """

    def __init__(
        self,
        around: Surroundings,
        users: Path,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._around = around
        self.wall, self._clock = wall, clock
        self._tokens = Fresh(tokens_path(users), read_tokens)
        self._guesses = Attempts(60.0)
        self._lock = threading.Lock()
        self._buckets: dict[str, Bucket] = {}
        self._over: dict[str, float] = {}  # when the use of a token that has ended was last recorded

    @property
    def path(self) -> Path:
        """The file of the tokens."""
        return self._tokens.path

    def tokens(self) -> dict[str, Token]:
        """Return the tokens as they are now. Raises InputError for a file that cannot be used."""
        return self._tokens.now()

    def bears(self, authorization: str) -> bool:
        """Whether the header ``Authorization`` has what looks like a token of a station."""
        return authorization.startswith(BEARER + PREFIX)

    def admit(self, authorization: str, client: str) -> Session:
        """Return whose token it is, with the role that it gives.

        Raises RequestError for one that is not known, one that is revoked or has ended, and for too many requests.
        """
        wait = self._guesses.wait(client)
        if wait > 0:
            raise RequestError(429, f"too many wrong tokens; try again in {wait:.0f} s", code="slow")
        found = token_of(self.tokens(), authorization.removeprefix(BEARER).strip())
        if found is None:
            self._guesses.failed(client)
            audit(self._around, "nobody", "wrong token", after=client)
            raise RequestError(401, "the token is not known; an engineer makes one under System", code="token")
        name, token = found
        with self._lock:
            allowed = self._buckets.setdefault(token.sha256, Bucket(_RATE, _BURST)).take()
        if not allowed:
            raise RequestError(429, f"the token {name} asks too often; expected {_RATE:.0f} a second", code="rate")
        if token.is_over(self.wall()):
            self._record_over(name, token, client)
            raise RequestError(401, f"the token {name} has expired; an engineer makes one under System", code="expired")
        self._guesses.passed(client)
        return Session(f"token {name}", token.role, "", machine=True)

    def still(self, authorization: str) -> bool:
        """Whether a token that was let in is one still."""
        try:
            found = token_of(self.tokens(), authorization.removeprefix(BEARER).strip())
        except InputError:
            return False
        return found is not None and not found[1].is_over(self.wall())

    def _record_over(self, name: str, token: Token, client: str) -> None:
        """A program does not notice and asks on: the audit trail is told now and then, not at each request."""
        now = self._clock()
        with self._lock:
            told = self._over.get(token.sha256)
            if told is not None and now - told < _AGAIN:
                return
            self._over[token.sha256] = now
        audit(self._around, f"token {name}", "expired token", after=client)
