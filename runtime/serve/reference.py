"""Where something is pushed to or pulled from, as the user names it: a registry, a web server, or a path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..errors import InputError
from ..text import redact, shown

__all__ = ["Image", "PlainPath", "Reference", "Web", "parse_reference"]

_IMAGE = re.compile(
    r"(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?P<port>:[0-9]{1,5})?/"
    r"(?P<name>[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_LONGEST = 512
_LOOPBACK = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]")


@dataclass(frozen=True)
class Image:
    """Something in a registry: ``registry`` is host and port; ``digest`` pins it where it is given, else ``tag``."""

    registry: str
    name: str
    tag: str
    digest: str | None

    @property
    def loopback(self) -> bool:
        """Whether the registry is on this machine, where TLS is not expected."""
        return _LOOPBACK.fullmatch(re.sub(r":[0-9]+$", "", self.registry)) is not None

    def __str__(self) -> str:
        return f"{self.registry}/{self.name}{f'@{self.digest}' if self.digest else f':{self.tag}'}"


@dataclass(frozen=True)
class Web:
    """A file or an artifact's folder on a web server, without a trailing slash."""

    url: str

    def __str__(self) -> str:
        return redact(self.url)


@dataclass(frozen=True)
class PlainPath:
    """A category file or an artifact's folder."""

    path: Path

    def __str__(self) -> str:
        return shown(self.path)


Reference = Image | Web | PlainPath


def parse_reference(text: str) -> Reference:
    """Read a reference. Raises InputError for one that is malformed or holds a password.

    ``http(s)://`` is a web server and ``file://`` a path. ``oci://HOST/NAME:TAG`` is a registry; as with docker the
    scheme may be left out where HOST has a dot or a port, or is localhost. Anything else is a path.
    """
    if re.match("https?://", text, re.IGNORECASE):
        return _web(text)
    if text.startswith("file://"):
        return _path(unquote(text.removeprefix("file://")), text)
    if text.startswith("oci://"):
        return _image(text.removeprefix("oci://"))
    if (other := re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text)) is not None:
        raise InputError(f"{shown(other.group())}... is unknown; expected oci://, https://, http://, file:// or a path")
    first, slash, _ = text.partition("/")
    if slash and (first == "localhost" or re.fullmatch(r"[^.].*[.:].*", first)):
        return _image(text)
    return _path(text, text)


def _image(text: str) -> Image:
    match = _IMAGE.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        given = redact(shown(text[:_LONGEST]))
        raise InputError(
            f"{given} is no reference to a registry; expected HOST[:PORT]/NAME[:TAG][@sha256:...] "
            "with a name in small letters, like registry.plant.example/line3/plate:7; a path begins with ./ or /"
        )
    host, port = match["host"], match["port"] or ""
    return Image(host + port, match["name"], match["tag"] or "latest", match["digest"])


def _web(text: str) -> Web:
    parts = urlsplit(text)
    try:
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        named = False
    if not named or parts.query or parts.fragment or any(c.isspace() or not c.isprintable() for c in text):
        raise InputError(f"{redact(shown(text))} is not the address of a file or folder on a web server; check it")
    if "@" in parts.netloc:
        raise InputError(f"{redact(text)} holds a user or password; a web server is read without: use a registry")
    return Web(text.rstrip("/"))


def _path(text: str, given: str) -> PlainPath:
    if not text or "\0" in text:
        raise InputError(f"{shown(given)!r} names no file or folder; name one")
    return PlainPath(Path(text))
