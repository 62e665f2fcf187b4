"""What a batch judges: the images of a folder, a pattern or a list, each with a name of its own."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ...errors import InputError, SourceError
from ...imaging.files import Listing, list_folder, list_glob, split_glob
from ...imaging.reading import IMAGE_SUFFIXES
from ...sources.stills import record_names
from ...text import as_path, shown, system_reason

__all__ = ["Image", "Images", "find_images"]

_LISTS = (".txt", ".list")
_MOST_LIST = 1 << 30  # bytes


class Image(NamedTuple):
    """An image file, and what is written about it: its path below the source, as PNG."""

    path: Path
    name: str

    @property
    def key(self) -> str:
        """The file as records name it."""
        return shown(self.path)


@dataclass(frozen=True)
class Images:
    """The images in order, the folders that could not be read, with the reason, and what was passed over."""

    images: Sequence[Image]
    denied: Sequence[tuple[Path, str]] = ()
    notes: Sequence[str] = ()


def find_images(source: str) -> Images:
    """List the images of a folder and those below it, a pattern, one image, or a list (``.txt``: a path a line).

    Relative paths of a list are relative to its folder; lines that are empty or begin with ``#`` are passed over. What
    a list names is taken as it is: a file that is missing or no image becomes an error row. Raises SourceError where
    nothing is found, InputError where two names cannot be told apart.
    """
    path = Path(source.removeprefix("file://"))
    try:
        if path.is_dir():
            return _named(list_folder(path, recursive=True), path, source)
        if path.suffix.lower() in _LISTS and path.is_file():
            return _listed(path)
        if path.is_file():
            return _named(Listing([path]), path.parent, source)
        return _named(list_glob(str(path)), split_glob(str(path))[0], source)
    except OSError as error:
        raise SourceError(f"{shown(source)} cannot be read ({system_reason(error)}); allow reading it") from error


def _listed(path: Path) -> Images:
    if path.stat().st_size > _MOST_LIST:
        raise SourceError(f"{shown(path)} is larger than a list of a gigabyte; split it")
    lines = path.read_bytes().splitlines()
    try:
        texts = [line.decode().strip() for line in lines]
    except UnicodeDecodeError as error:
        raise SourceError(f"{shown(path)} is not a list in UTF-8 ({error.reason}); expected a path a line") from error
    given = [path.parent / as_path(text) for text in texts if text and not text.startswith("#")]
    found = list(dict.fromkeys(given))
    notes = [f"{len(given) - len(found)} lines of {shown(path)} name a file again"] if len(found) < len(given) else []
    try:
        root = Path(os.path.commonpath([one.parent for one in found])) if found else path.parent
        return _named(Listing(found, notes=tuple(notes)), root, str(path))
    except ValueError as error:
        raise SourceError(f"{shown(path)} mixes absolute and relative paths; write all of one kind") from error


def _named(found: Listing, root: Path, source: str) -> Images:
    if not found.images:
        why = "; ".join([*(f"{shown(folder)}: {reason}" for folder, reason in found.denied), *found.notes])
        suffixes = " ".join(sorted(IMAGE_SUFFIXES))
        raise SourceError(
            f"{shown(source)} holds no image ({suffixes}){f': {why}' if why else ''}; name a folder, pattern or list"
        )
    images = [Image(*pair) for pair in zip(found.images, record_names(found.images, root), strict=True)]
    twice = [key for key, count in Counter(image.key for image in images).items() if count > 1]
    if twice:
        raise InputError(f"two files are both shown as {twice[0]}; rename one, so that the table can tell them apart")
    return Images(images, found.denied, found.notes)
