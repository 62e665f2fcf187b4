"""What a command of the socket takes, checked: the fields of a request beside its envelope."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from ..errors import InputError

__all__ = ["fields_of"]

_ENVELOPE: Final = ("command", "id")
_S = TypeVar("_S", bound=msgspec.Struct)


def fields_of(kind: type[_S], request: dict[str, Any]) -> _S:
    """Return what a request brings along as ``kind``. Raises InputError that names the field, and what is taken."""
    given = {name: value for name, value in request.items() if name not in _ENVELOPE}
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        names = ", ".join(field.encode_name for field in msgspec.structs.fields(kind))
        raise InputError(f"{request['command']} is wrong: {error}; it takes {names}") from error
