"""Machines that use the API by a token: who bears which, how often each may ask, and who guesses is slowed down."""

from __future__ import annotations

import threading
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


class Machines:
    """The tokens beside the file ``users``; from any thread. A revoked one is of no use from the next request on."""

    def __init__(self, around: Surroundings, users: Path) -> None:
        self._around = around
        self._tokens = Fresh(tokens_path(users), read_tokens)
        self._guesses = Attempts(60.0)
        self._lock = threading.Lock()
        self._buckets: dict[str, Bucket] = {}

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

        Raises RequestError for one that is not known, one that is revoked, and for too many requests.
        """
        wait = self._guesses.wait(client)
        if wait > 0:
            raise RequestError(429, f"too many wrong tokens; try again in {wait:.0f} s", code="slow")
        found = token_of(self.tokens(), authorization.removeprefix(BEARER).strip())
        if found is None:
            self._guesses.failed(client)
            audit(self._around, "nobody", "wrong token", after=client)
            raise RequestError(401, "the token is not known; an engineer makes one under System", code="token")
        self._guesses.passed(client)
        name, token = found
        with self._lock:
            allowed = self._buckets.setdefault(token.sha256, Bucket(_RATE, _BURST)).take()
        if not allowed:
            raise RequestError(429, f"the token {name} asks too often; expected {_RATE:.0f} a second", code="rate")
        return Session(f"token {name}", token.role, "", machine=True)

    def still(self, authorization: str) -> bool:
        """Whether a token that was let in is one still."""
        try:
            return token_of(self.tokens(), authorization.removeprefix(BEARER).strip()) is not None
        except InputError:
            return False
