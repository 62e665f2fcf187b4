"""Who may use the station's pages: names, roles and scrypt hashes in a file of mode 600."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import msgspec

from ..errors import InputError
from .private_file import PrivateNames

__all__ = ["FILE_NAME", "ROLES", "Role", "User", "is_password", "read_users", "remove_user", "set_password"]

FILE_NAME = "users.json"
Role = Literal["viewer", "operator", "engineer"]
ROLES: tuple[Role, ...] = get_args(Role)

_FORMAT: Final = "regad-users"
_VERSION: Final = 1
_NAME = re.compile(r"[\w.@-]{1,64}")
_SHORTEST, _LONGEST = 8, 1024  # characters of a password
_N, _R, _P = 1 << 15, 8, 1  # 32 MiB and about 80 ms for each try

_Hex = Annotated[str, msgspec.Meta(pattern="^(?:[0-9a-f]{2}){16,64}$")]


class User(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One user: the role, and salt and hash of the password in hexadecimal, made with scrypt's n, r and p."""

    role: Role
    salt: _Hex
    hash: _Hex
    n: Annotated[int, msgspec.Meta(ge=2, le=1 << 20)] = _N
    r: Annotated[int, msgspec.Meta(ge=1, le=32)] = _R
    p: Annotated[int, msgspec.Meta(ge=1, le=16)] = _P

    def __post_init__(self) -> None:
        if self.n & (self.n - 1):
            raise ValueError("n is no power of two")


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["regad-users"]
    version: Literal[1]
    users: dict[str, User]


_NOBODY = User("viewer", "00" * 16, "00" * 32)
_USERS: PrivateNames[User] = PrivateNames(
    "user",
    _File,
    lambda users: _File(_FORMAT, _VERSION, users),
    "move it away, and set the passwords again: regad-station passwd",
)


def read_users(path: Path) -> dict[str, User]:
    """Return the users by name; none where the file is missing. Raises PrivateFileError for one that cannot be used."""
    return _USERS.read(path)


def set_password(path: Path, name: str, password: str, role: Role) -> None:
    """Add a user, or change the password and role of one. Raises InputError and OutputError."""
    if not _NAME.fullmatch(name):
        raise InputError(f"the user is {name!r}; expected 1 to 64 letters, digits and . _ @ -")
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise InputError(f"the password has {len(password)} characters; expected {_SHORTEST} to {_LONGEST}")
    salt = secrets.token_hex(16)
    user = User(role, salt, "00" * 32, _N)
    user = msgspec.structs.replace(user, hash=_hash(user, password))
    with _USERS.changed(path) as users:
        users[name] = user


def remove_user(path: Path, name: str) -> None:
    """Remove a user. Raises InputError where there is none of that name, OutputError."""
    _USERS.remove(path, name)


def is_password(users: dict[str, User], name: str, password: str) -> bool:
    """Whether ``password`` is that of ``name``; a name that does not exist takes as long to refuse."""
    user = users.get(name, _NOBODY)
    same = len(password) <= _LONGEST and hmac.compare_digest(_hash(user, password), user.hash)
    return same and name in users


def _hash(user: User, password: str) -> str:
    memory = 256 * user.n * user.r * user.p
    raw = hashlib.scrypt(
        password.encode("utf-8", "surrogateescape"),
        salt=bytes.fromhex(user.salt),
        n=user.n,
        r=user.r,
        p=user.p,
        maxmem=memory,
        dklen=len(user.hash) // 2,
    )
    return raw.hex()
