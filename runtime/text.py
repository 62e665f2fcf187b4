"""What people may read of names, addresses and errors: in one line of Unicode, and without secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import PurePath

__all__ = ["Say", "as_path", "as_unicode", "noted", "reason_of", "redact", "shown", "system_reason", "unsaid"]

Say = Callable[[str], None]
"""Takes one line that a command should print as a note; `unsaid` where nobody listens."""

# Control characters, line separators and marks that turn the direction of writing: one name stays on one line.
_UNPRINTABLE = dict.fromkeys([*range(32), *range(127, 160), 0x2028, 0x2029, *range(0x202A, 0x202F)], "\ufffd")

_HIDDEN = "***"
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*:/{1,3}", re.IGNORECASE)
_BARE = re.compile(r"^[\w.+-]+:\S*@(?=\S)")  # user:password@host, with a scheme that lacks its slashes or none
_END_OF_ADDRESS = re.compile(r"[\"'\n]| ! ")
_SECRET = (
    r"(?:[\w-]*(?:pass|pwd|psw|token|secret|key|auth|credential|signature|userpw|session)[\w-]*"
    r"|user(?:name|-id|-pw)?|login|usr|proxy-(?:id|pw)|streamid|sig|pw)"
)
_QUOTED = r'"(?:\\.|[^"\\])*"?|\'(?:\\.|[^\'\\])*\'?'
_PAIR = re.compile(rf"(?<![\w-])({_SECRET}\s*=\s*(?:\(\w+\)\s*)?)(?:{_QUOTED}|(?:\\.|[^\s&\"'])+)", re.IGNORECASE)
_QUERY = re.compile(rf"(?<![\w-])({_SECRET}=)[^&]*", re.IGNORECASE)


def unsaid(text: str) -> None:
    """Take a note and print nothing."""


def as_unicode(text: str) -> str:
    """Return text that may hold file names as valid Unicode: bytes that are not UTF-8 become U+FFFD.

    A name that the system's locale could not decode is decoded as UTF-8, so an umlaut is right even under ``LC_ALL=C``.
    """
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        data = text.encode("utf-8", "replace")
    return data.decode("utf-8", "replace")


def shown(name: str | PurePath) -> str:
    """Return a file name as it is printed, recorded and stored: `as_unicode`, and on one line.

    Control characters become U+FFFD too.
    """
    return as_unicode(str(name)).translate(_UNPRINTABLE)


def as_path(text: str) -> str:
    """Return ``text`` read from a UTF-8 file as this process names files: what the locale cannot encode, in bytes."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return os.fsdecode(text.encode("utf-8", "replace"))
    return text


def redact(text: str) -> str:
    """Return an address, a pipeline, or a message that holds some, with every user, password and token hidden.

    Rather too much is hidden than too little: a password may hold ``@``, ``/`` or blanks, and where it ends is then a
    guess.
    """
    if " ! " not in text and (match := _ADDRESS.match(text)):
        return _QUERY.sub(rf"\1{_HIDDEN}", match.group() + _without_user(text[match.end() :]))
    pieces, done = [], 0
    for match in _ADDRESS.finditer(text):
        if match.start() < done:
            continue
        end = _END_OF_ADDRESS.search(text, match.end())
        stop = end.start() if end else len(text)
        pieces += [text[done : match.end()], _without_user(text[match.end() : stop])]
        done = stop
    if not pieces:
        text = _BARE.sub(f"{_HIDDEN}@", text)
    return _PAIR.sub(rf"\1{_HIDDEN}", "".join(pieces) + text[done:])


def _without_user(rest: str) -> str:
    """The part of an address after ``://`` without what stands before its last ``@``, if a user stands there."""
    head = re.split(r"[/?#\s]", rest, maxsplit=1)[0]
    if "@" in rest and (":" in head or "@" in head):
        return f"{_HIDDEN}@{rest.rpartition('@')[2]}"
    return rest


def reason_of(error: BaseException) -> str:
    """Return what an exception says: its first line, without passwords; its type if it says nothing."""
    said = str(error).strip()
    return redact(shown(" ".join(said.splitlines()[0].split()))) if said else type(error).__name__


def system_reason(error: BaseException) -> str:
    """Return why the system refused a file, without the file's name, which stands beside it; else `reason_of`."""
    return error.strerror if isinstance(error, OSError) and error.strerror else reason_of(error)


def noted(found: Iterable[tuple[str, str]]) -> list[str]:
    """Return a line for each distinct note of ``found``, which are pairs of a name and a note."""
    names: dict[str, list[str]] = {}
    for name, note in found:
        names.setdefault(note, []).append(name)
    return [
        f"{group[0]}{f' and {len(group) - 1} more' if len(group) > 1 else ''}: {note}" for note, group in names.items()
    ]
