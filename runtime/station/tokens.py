"""Tokens by which machines use the page's API: made once, shown once, and stored as hashes beside the users.

A token is 256 random bits, so its plain SHA-256 is enough: nobody tries so many. It may end by itself, by the station's
clock; a clock that was never set does not keep one alive.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from ..errors import InputError
from .private_file import PrivateNames
from .users import Role

__all__ = ["LONGEST", "PREFIX", "Token", "add_token", "read_tokens", "remove_token", "token_of", "tokens_path"]

PREFIX: Final = "regad_"
"""How every token begins, for who looks for secrets where none should be."""
_NAME = re.compile(r"[\w.@-]{1,48}")
LONGEST: Final = 3650
"""Days that a token is made for at the most, where it is to end at all."""
_MOST = 200  # tokens
_DAY = 86_400.0  # seconds

_Seconds = Annotated[float, msgspec.Meta(ge=0, lt=1e11)]
_Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One token: what its bearer may do, its hash, who made it and when (seconds since 1970), and when it ends."""

    role: Role
    sha256: _Sha256
    made_by: str
    made_at: _Seconds
    ends_at: _Seconds | None = None

    def is_over(self, now: float) -> bool:
        """Whether it has ended by ``now``. One that ends has done so, too, where the clock is a day before its making:
        such a clock was never set, and nobody knows.
        """
        return self.ends_at is not None and not self.made_at - _DAY <= now < self.ends_at


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Version 2 has tokens that end: a program that knows of none must not take them for ever."""

    format: Literal["regad-tokens"]
    version: Literal[1, 2]
    tokens: dict[str, Token]


def _file(tokens: dict[str, Token]) -> _File:
    return _File("regad-tokens", 2 if any(token.ends_at is not None for token in tokens.values()) else 1, tokens)


_TOKENS: PrivateNames[Token] = PrivateNames(
    "token", _File, _file, "move it away, and make them again: regad-station token"
)


def tokens_path(users: Path) -> Path:
    """Return where the tokens lie: beside the file of the users."""
    return users.with_name(f"{users.stem}-tokens.json")


def read_tokens(path: Path) -> dict[str, Token]:
    """Return the tokens by name; none without a file. Raises PrivateFileError for one that cannot be used."""
    return _TOKENS.read(path)


def add_token(path: Path, name: str, role: Role, by: str, days: int | None = None) -> str:
    """Make a token, and return it: it is known nowhere else. It ends after so many ``days``; None: when it is revoked.

    Raises InputError and OutputError.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"the token is {name[:60]!r}; expected a name of 1 to 48 letters, digits and . _ @ -")
    if days is not None and not 1 <= days <= LONGEST:
        raise InputError(f"the token would last {days} days; expected 1 to {LONGEST}, or none given for no end")
    text = PREFIX + secrets.token_urlsafe(32)
    now = time.time()
    token = Token(role, _hash(text), by, now, None if days is None else now + days * _DAY)
    with _TOKENS.changed(path) as tokens:
        if name in tokens:
            raise InputError(f"there is a token {name!r} already; revoke it first, or choose another name")
        if len(tokens) >= _MOST:
            raise InputError(f"there are {len(tokens)} tokens; revoke some that nobody uses")
        tokens[name] = token
    return text


def remove_token(path: Path, name: str) -> None:
    """Revoke a token. Raises InputError where there is none of that name, OutputError."""
    _TOKENS.remove(path, name)


def token_of(tokens: dict[str, Token], text: str) -> tuple[str, Token] | None:
    """Return the token that ``text`` is, with its name; None for none of them."""
    given = _hash(text)
    for name, token in tokens.items():
        if hmac.compare_digest(given, token.sha256):
            return name, token
    return None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
