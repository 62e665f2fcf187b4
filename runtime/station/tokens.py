"""Tokens by which machines use the page's API: made once, shown once, and stored as hashes beside the users.

A token is 256 random bits, so its plain SHA-256 is enough: nobody tries so many.
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
from .private_file import alone, read_private, write_private
from .users import Role

__all__ = ["PREFIX", "Token", "add_token", "read_tokens", "remove_token", "token_of", "tokens_path"]

PREFIX: Final = "regad_"
"""How every token begins, for who looks for secrets where none should be."""
_NAME = re.compile(r"[\w.@-]{1,48}")
_MOST = 200  # tokens

_Seconds = Annotated[float, msgspec.Meta(ge=0, lt=1e11)]
_Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One token: what its bearer may do, its hash, who made it and when (seconds since 1970)."""

    role: Role
    sha256: _Sha256
    made_by: str
    made_at: _Seconds


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["regad-tokens"]
    version: Literal[1]
    tokens: dict[str, Token]


def tokens_path(users: Path) -> Path:
    """Return where the tokens lie: beside the file of the users."""
    return users.with_name(f"{users.stem}-tokens.json")


def read_tokens(path: Path) -> dict[str, Token]:
    """Return the tokens by name; none where the file is missing. Raises InputError for one that cannot be used."""
    found = read_private(path, _File, "list of tokens", "move it away, and make them again: regad-station token")
    return {} if found is None else found.tokens


def add_token(path: Path, name: str, role: Role, by: str) -> str:
    """Make a token, and return it: it is known nowhere else. Raises InputError and OutputError."""
    if not _NAME.fullmatch(name):
        raise InputError(f"the token is {name[:60]!r}; expected a name of 1 to 48 letters, digits and . _ @ -")
    text = PREFIX + secrets.token_urlsafe(32)
    token = Token(role, _hash(text), by, time.time())
    with alone(path):
        tokens = read_tokens(path)
        if name in tokens:
            raise InputError(f"there is a token {name!r} already; revoke it first, or choose another name")
        if len(tokens) >= _MOST:
            raise InputError(f"there are {len(tokens)} tokens; revoke some that nobody uses")
        write_private(path, _File("regad-tokens", 1, {**tokens, name: token}))
    return text


def remove_token(path: Path, name: str) -> None:
    """Revoke a token. Raises InputError where there is none of that name, OutputError."""
    with alone(path):
        tokens = read_tokens(path)
        if name not in tokens:
            raise InputError(f"there is no token {name[:60]!r}; there are: {', '.join(sorted(tokens)) or 'none'}")
        write_private(path, _File("regad-tokens", 1, {one: token for one, token in tokens.items() if one != name}))


def token_of(tokens: dict[str, Token], text: str) -> tuple[str, Token] | None:
    """Return the token that ``text`` is, with its name; None for none of them."""
    given = _hash(text)
    for name, token in tokens.items():
        if hmac.compare_digest(given, token.sha256):
            return name, token
    return None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
