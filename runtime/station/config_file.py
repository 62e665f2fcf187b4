"""Reads ``station.toml``. Every fault names the key, the value and what is allowed; an unknown key is refused."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
from msgspec.structs import fields, replace

from ..errors import InputError
from ..text import redact, shown
from .config import Config

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["FILE_NAME", "Fault", "parse_config", "read_config", "read_document"]

FILE_NAME = "station.toml"
_MOST_BYTES = 1_000_000
_MOST_TEXT = 120
_SECRET_NAMES = ("password", "passwd", "token", "secret", "key")
_PLAIN: dict[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "the name of a file or folder",
}


class Fault(NamedTuple):
    """One thing that is wrong: its key, like ``camera.source`` or ``job 2.category``, and a line that names it."""

    key: str
    text: str


def read_config(path: str | Path) -> Config:
    """Read and check a configuration; its relative paths are relative to the file's folder.

    Raises InputError with the first fault, and how many more there are.
    """
    path = Path(path)
    config, faults = parse_config(read_document(path), path.absolute().parent)
    if config is None:
        more = f" (and {len(faults) - 1} more: regad-station check {shown(path)})" if len(faults) > 1 else ""
        raise InputError(f"{shown(path)}: {faults[0].text}{more}")
    return config


def read_document(path: Path) -> dict[str, Any]:
    """Read a TOML file. Raises InputError where it is missing, cannot be read, or is no TOML."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        remedy = "check its rights"
        if isinstance(error, FileNotFoundError):
            remedy = "write one with: regad-station init"
        elif isinstance(error, IsADirectoryError):
            remedy = f"name the file in it: {shown(path / FILE_NAME)}"
        raise InputError(f"{shown(path)} cannot be read ({error.strerror}); {remedy}") from error
    if len(data) > _MOST_BYTES:
        raise InputError(f"{shown(path)} has more than {_MOST_BYTES} bytes; expected a configuration of a station")
    try:
        return tomllib.loads(data.decode())
    except (
        ValueError,
        RecursionError,
    ) as error:  # tomllib's own error is a ValueError, as are those of text and digits
        raise InputError(f"{shown(path)} is not valid TOML: {shown(str(error))}; correct it there") from error


def parse_config(document: Mapping[str, Any], folder: Path) -> tuple[Config | None, list[Fault]]:
    """Return the configuration, or None and everything that is wrong. ``folder`` is where relative paths begin."""
    reader = _Reader(folder)
    config = reader.table(Config, document, "")
    if reader.faults:
        return None, reader.faults
    camera = replace(config.camera, source=_located(config.camera.source, folder))
    return replace(config, camera=camera), []


def _located(source: str, folder: Path) -> str:
    """A camera's source; a file or folder that lies in ``folder`` by its whole name."""
    try:
        return str(folder / source) if (folder / source).exists() else source
    except (OSError, ValueError):  # an address or a pipeline, too long for a name
        return source


class _Reader:
    """Walks a document beside the structs, and goes on after a fault."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[Fault] = []

    def table(self, kind: type[msgspec.Struct], value: object, key: str) -> Any:
        """Return a struct of ``kind``, or None where something in it is wrong."""
        if not isinstance(value, Mapping):
            return self._wrong(key, value, f"a table with {_names(kind)}")
        before = len(self.faults)
        known = {row.encode_name: row for row in fields(kind)}
        for name in value:
            if name not in known:
                self._unknown(kind, key, shown(name), value[name])
        given = {}
        for name, row in known.items():
            place = f"{key}.{name}" if key else name
            if name in value:
                given[row.name] = self._value(row.type, value[name], place)
            elif row.required:
                self._missing(row.type, place)
            elif isinstance(row.default, Path) or _struct(row.type) is row.type:  # its paths are resolved too
                given[row.name] = self._value(row.type, {} if row.default is msgspec.NODEFAULT else row.default, place)
        return self._made(kind, given, key) if len(self.faults) == before else None

    def _made(self, kind: type[msgspec.Struct], given: dict[str, Any], key: str) -> Any:
        try:
            return kind(**given)
        except InputError as error:
            self.faults.append(Fault(key, f"{key}.{error}" if key else str(error)))
            return None

    def _value(self, kind: Any, value: object, key: str) -> Any:
        if isinstance(value, (msgspec.Struct, Path)):  # a default
            return self.folder / value if isinstance(value, Path) else self.table(type(value), {}, key)
        if struct := _struct(kind):
            if get_origin(kind) is not tuple:
                return self.table(struct, value, key)
            if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
                return self._wrong(key, value, f"tables [[{key}]] with {_names(struct)}")
            return tuple(self.table(struct, one, f"{key} {place}") for place, one in enumerate(value, 1))
        try:
            return msgspec.convert(value, kind, dec_hook=self._path)
        except msgspec.ValidationError:
            return self._wrong(key, value, _wanted(kind))

    def _path(self, _kind: type[Any], value: object) -> Path:
        """A path of the file (msgspec's hook for a type that it does not know)."""
        if not isinstance(value, str) or not value or "\0" in value:
            raise ValueError
        try:
            return self.folder / Path(value).expanduser()
        except RuntimeError:  # ~ of a user without a home
            raise ValueError from None

    def _wrong(self, key: str, value: object, wanted: str) -> None:
        self.faults.append(Fault(key, f"{key} is {_text(key, value)}; expected {wanted}"))

    def _missing(self, kind: Any, key: str) -> None:
        struct = _struct(kind)
        wanted = _wanted(kind) if struct is None else f"a table with {_names(struct)}"
        self.faults.append(Fault(key, f"{key} is missing; expected {wanted}"))

    def _unknown(self, kind: type[msgspec.Struct], key: str, name: str, value: object) -> None:
        place, allowed = f"{key}.{name}" if key else name, [row.encode_name for row in fields(kind)]
        text = f"{place} = {_text(place, value)} is not known"
        if near := get_close_matches(name, allowed, 1, 0.5):
            text += f"; did you mean {near[0]}?"
        elif _is_secret(name):
            text += '; keep secrets out of the file: secret = { file = "NAME" } or { env = "NAME" } where one is taken;'
        else:
            text += ";"
        self.faults.append(Fault(place, f"{text} {key or FILE_NAME} takes {_names(kind)}"))


def _struct(kind: Any) -> type[msgspec.Struct] | None:
    """The struct in a field's type: itself, or None beside it, or a tuple of them."""
    for one in (kind, *get_args(kind)):
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            return one
    return None


def _names(kind: type[msgspec.Struct]) -> str:
    return ", ".join(row.encode_name for row in fields(kind))


def _wanted(kind: Any) -> str:
    """What a field takes, in words."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return next(str(one.description) for one in args[1:] if isinstance(one, msgspec.Meta))
    if origin is Literal:
        return " or ".join(f'"{one}"' for one in args)
    if origin in (Union, UnionType):
        return " or ".join(_wanted(one) for one in args if one is not NoneType)
    if origin is tuple:
        return f"a list of {_wanted(args[0])}"
    return _PLAIN[kind]


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_NAMES)


def _text(key: str, value: object) -> str:
    """A value as a fault shows it: short, on one line, without its secrets."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a table"
    if _is_secret(key.rpartition(".")[2]):
        return "***"
    try:
        text = f'"{redact(shown(value))}"' if isinstance(value, str) else shown(redact(repr(value)))
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number of very many digits"
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}..."
