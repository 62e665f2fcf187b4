"""How a command knows a file that it may replace: by the mark that it wrote into it. Nothing is unpickled."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..backends.tensorrt.engines import FOLDER as ENGINES
from ..formats.artifact import MANIFEST, is_artifact
from ..formats.category import FORMAT as CATEGORY_FORMAT
from ..formats.json_text import parse
from ..line.picture_file import is_own as is_own_picture

__all__ = [
    "ARTIFACT",
    "CATEGORY",
    "PICTURE",
    "RECORD",
    "FileKind",
    "FolderKind",
    "head",
    "html_kind",
    "html_mark",
    "json_kind",
    "markdown_kind",
    "markdown_mark",
]

_HEAD = 4096  # bytes


@dataclass(frozen=True)
class FileKind:
    """A kind of file: in words, and how it is known. With ``streams`` a device or pipe may stand in its place."""

    what: str
    is_own: Callable[[Path], bool]
    streams: bool = False


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder: what it holds, in words, and what in a folder is strange to it and would be replaced.

    ``writes`` are the files in it that are written one by one.
    """

    what: str
    strange: Callable[[Path], Iterator[str]]
    writes: tuple[str, ...] = ()


def head(path: Path) -> str:
    """Return how a file begins, as UTF-8 with U+FFFD for what is none. Raises OSError."""
    with path.open("rb") as file:
        return file.read(_HEAD).decode("utf-8", "replace")


def json_kind(command: str, form: str) -> FileKind:
    """A JSON file that begins with ``"format": form``, written by ``command``."""
    start = re.compile(rf'\s*\{{\s*"format"\s*:\s*"{re.escape(form)}"')
    return FileKind(f"a file of {command}", lambda path: start.match(head(path)) is not None)


def html_mark(command: str) -> str:
    """The element that goes into a page's head."""
    return f'<meta name="generator" content="{command}">'


def html_kind(command: str) -> FileKind:
    """A page with `html_mark`."""
    return FileKind(f"a page of {command}", lambda path: html_mark(command) in head(path))


def markdown_mark(command: str) -> str:
    """The comment that goes into a Markdown file."""
    return f"<!-- {command} -->"


def markdown_kind(command: str) -> FileKind:
    """A Markdown file with `markdown_mark`."""
    return FileKind(f"a report of {command}", lambda path: markdown_mark(command) in head(path))


def _is_category(path: Path) -> bool:
    """Whether the header of a safetensors file says that it is a category, of whatever version."""
    with path.open("rb") as file:
        size = file.read(8)
        if len(size) < 8 or (length := struct.unpack("<Q", size)[0]) > 1 << 24:
            return False
        header = file.read(length)
    try:
        return bool(parse(header)["__metadata__"]["format"] == CATEGORY_FORMAT)
    except (ValueError, KeyError, TypeError):
        return False


CATEGORY = FileKind("a category file", _is_category)
PICTURE = FileKind("a picture of ours", lambda path: bool(is_own_picture(path)))
RECORD = FileKind("a record of regad-run", lambda path: True, streams=True)
"""Whether it is a record is for `LineFile` to say, which continues it."""


def _strange_in_artifact(folder: Path) -> Iterator[str]:
    """What an artifact's folder holds beside an artifact: it would be lost with the old one."""
    if not is_artifact(folder):
        yield from (path.name for path in folder.iterdir())
        return
    files = parse((folder / MANIFEST).read_bytes()).get("files")
    known = {MANIFEST, ENGINES, *(files if isinstance(files, dict) else ())}
    yield from (path.name for path in sorted(folder.iterdir()) if path.name not in known)


ARTIFACT = FolderKind("part of an artifact", _strange_in_artifact)
