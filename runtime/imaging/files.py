"""Folders of images: one rule for what an image file is, and one order, for every command.

Nothing is left out in silence: what is not listed is in ``notes`` (files of other kinds, links that lead back) or in
``denied`` (folders that cannot be read).
"""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
import re
import stat
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

from ..text import shown, system_reason
from .reading import IMAGE_SUFFIXES

__all__ = ["Listing", "list_folder", "list_glob", "mode_of", "natural_key", "split_glob"]


class Listing(NamedTuple):
    """Image files in natural order; the folders that could not be read, with the reason; and what was passed over."""

    images: list[Path]
    denied: tuple[tuple[Path, str], ...] = ()
    notes: tuple[str, ...] = ()


def natural_key(path: PurePath) -> list[tuple[int, int, str]]:
    """Sort key that puts ``img2`` before ``img10``: runs of digits compare as numbers."""
    pieces = re.split(r"(\d+)", str(path).lower())
    return [(0, int(piece), piece) if piece.isdecimal() else (1, 0, piece) for piece in pieces]


def mode_of(path: Path) -> int | None:
    """Return the mode (of `os.stat`) of what is at a place, links followed; None if nothing is, or no name is that.

    Raises OSError if it cannot be known: a folder on the way cannot be entered.
    """
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise


def list_folder(folder: Path, recursive: bool = False) -> Listing:
    """List the image files in ``folder`` (and below it if ``recursive``, linked folders too); hidden ones are left out.

    Raises OSError if ``folder`` itself cannot be read.
    """
    os.scandir(folder).close()
    walk = _Walk()
    walk.enter(folder, recursive)
    return walk.listing()


def list_glob(pattern: str) -> Listing:
    """List the image files that a shell pattern matches: ``*``, ``?``, ``[...]``, and ``**`` for any depth."""
    walk = _Walk()
    walk.match(*split_glob(pattern))
    return walk.listing()


def split_glob(pattern: str) -> tuple[Path, tuple[str, ...]]:
    """Split a shell pattern before its first part with magic: the folder that it starts from, and the parts to match.

    Where none has any, the last part is the one to match.
    """
    parts = PurePath(pattern).parts
    fixed = next((index for index, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:fixed]), parts[fixed:]


class _Walk:
    """One walk through folders: what it found, and what it passed over."""

    def __init__(self) -> None:
        self._images: dict[Path, None] = {}
        self._denied: dict[Path, str] = {}
        self._others: Counter[str] = Counter()
        self._again: dict[Path, None] = {}

    def listing(self) -> Listing:
        """Return what was found."""
        notes = []
        if self._others:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self._others.items()))
            notes.append(f"passed over, being no image files: {kinds}")
        if self._again:
            names = ", ".join(shown(path) for path in sorted(self._again))
            notes.append(f"links to folders that are listed already, not followed again: {names}")
        denied = tuple(sorted(self._denied.items(), key=lambda pair: natural_key(pair[0])))
        return Listing(sorted(self._images, key=natural_key), denied, tuple(notes))

    def enter(self, root: Path, recursive: bool) -> None:
        """List a folder, and those below it."""
        for folder in self._tree(root) if recursive else (root,):
            for path in self._entries(folder):
                if path.name.startswith("."):
                    self._others["hidden"] += 1
                elif not (recursive and _kind(path) == "folder"):
                    self._take(path)

    def match(self, folder: Path, parts: tuple[str, ...]) -> None:
        """List what the rest of a pattern, its ``parts``, matches below ``folder``."""
        part, rest = parts[0], parts[1:]
        if part == "**":
            if not rest:
                self.enter(folder, recursive=True)
            for below in self._tree(folder) if rest else ():
                self.match(below, rest)
            return
        for path in self._matches(folder, part):
            if not rest:
                self._take(path)
            elif _kind(path) == "folder":
                self.match(path, rest)

    def _matches(self, folder: Path, part: str) -> list[Path]:
        if not glob.has_magic(part):
            return [folder / part] if _kind(folder / part) != "absent" else []
        return [
            path
            for path in self._entries(folder)
            if fnmatch.fnmatchcase(path.name, part) and (part.startswith(".") or not path.name.startswith("."))
        ]

    def _take(self, path: Path) -> None:
        kind = _kind(path)
        if kind == "folder":
            self._others["folder(s)"] += 1
        elif path.suffix.lower() not in IMAGE_SUFFIXES:
            self._others[shown(path.suffix.lower()) or "without a suffix"] += 1
        elif kind == "special":
            self._others["device(s) or pipe(s)"] += 1
        else:
            self._images[path] = None

    def _tree(self, root: Path) -> Iterator[Path]:
        """Yield a folder and those below it, without hidden ones. Links come last: a folder keeps its own name."""
        seen: set[tuple[int, int]] = set()
        waiting = deque([root])
        while waiting:
            folder = waiting.popleft()
            try:
                state = folder.stat()
            except OSError as error:
                self._deny(folder, error)
                continue
            if (state.st_dev, state.st_ino) in seen:
                self._again[folder] = None
                continue
            seen.add((state.st_dev, state.st_ino))
            yield folder
            for path in self._entries(folder):
                if not path.name.startswith(".") and _kind(path) == "folder":
                    (waiting.append if path.is_symlink() else waiting.appendleft)(path)

    def _entries(self, folder: Path) -> list[Path]:
        try:
            return list(folder.iterdir())
        except OSError as error:
            self._deny(folder, error)
            return []

    def _deny(self, folder: Path, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            self._denied[folder] = system_reason(error)


def _kind(path: Path) -> str:
    """``folder``, ``file``, ``special`` (a pipe, whose reading would block), or ``absent``: a link to nothing too."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "file" if path.is_symlink() else "absent"
    except (OSError, ValueError):
        return "file"  # reading it says what is wrong
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "special"
