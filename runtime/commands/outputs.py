"""No output destroys an input, or a file that is not ours: every command checks its outputs here, before it starts.

An output may be new, or take the place of a file of its own kind. It may not be one of the inputs, also not through a
link, nor lie where a later run would read it as an input.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import OutputError
from ..imaging.files import list_glob, split_glob
from ..imaging.reading import IMAGE_SUFFIXES
from ..text import system_reason
from .own_files import FileKind, FolderKind

__all__ = ["Input", "check_distinct", "check_file", "check_folder", "inputs", "source_inputs"]


@dataclass(frozen=True)
class Input:
    """A file or folder that a command reads, and the option that names it.

    Into a ``sealed`` folder nothing is written at all; into another one nothing that would be read as an image.
    """

    option: str
    path: Path
    sealed: bool = False


def inputs(*sealed: str, **paths: Path | None) -> list[Input]:
    """Return the inputs that are given, named by their options (``calib_images`` is ``--calib-images``)."""
    given = {name: path for name, path in paths.items() if path is not None}
    return [Input(f"--{name.replace('_', '-')}", path, name in sealed) for name, path in given.items()]


def source_inputs(uri: str) -> list[Input]:
    """Return the files and folders that ``--source URI`` reads; those of a glob and of a GStreamer pipeline too.

    Of a glob that reaches into folders also the one that it starts from: the next run would read what is put below it.
    """
    uri = uri.removeprefix("file://")
    if " ! " in uri:
        found = re.findall(r"""\blocation=(?:"([^"]*)"|'([^']*)'|(\S+))""", uri)
        return [Input("--source", Path(next(filter(None, names)))) for names in found if any(names)]
    if _exists(Path(uri)):
        return [Input("--source", Path(uri))]
    if "://" not in uri and glob.has_magic(uri):
        root, parts = split_glob(uri)
        reaches = len(parts) > 1 or parts == ("**",)
        return [Input("--source", path) for path in ([root] if reaches else []) + list_glob(uri).images]
    return []


def check_file(option: str, path: Path, kind: FileKind, given: Sequence[Input] = ()) -> None:
    """Raise OutputError unless the file ``path`` may be written: see the module's rule."""
    remedy = f"choose another {option}"
    if str(path) == "-":
        raise OutputError(f"{option} {path} is not the name of a file; name one")
    for one in given:
        if _same(path, one.path):
            raise OutputError(f"{option} {path} is also {_named(one)}, which would be lost; {remedy}")
        if _inside(path, one.path):
            if one.sealed:
                raise OutputError(f"{option} {path} lies inside {_named(one)}; {remedy}")
            if path.suffix.lower() in IMAGE_SUFFIXES:
                raise OutputError(f"{option} {path} would be read as an image of {_named(one)}; {remedy}")
    if not _exists(path):
        return
    if path.is_dir():
        raise OutputError(f"{option} {path} is not the name of a file; name one")
    if not path.is_file():
        if kind.streams:
            return
        raise OutputError(f"{option} {path} is a device or pipe, and cannot be replaced; name a file")
    try:
        own = path.stat().st_size == 0 or kind.is_own(path)
    except OSError as error:
        raise OutputError(f"{option} {path} exists and cannot be read ({system_reason(error)}); {remedy}") from error
    if not own:
        raise OutputError(f"{option} {path} exists and is not {kind.what}; it is left as it is: {remedy}")


def check_folder(
    option: str, path: Path, given: Sequence[Input] = (), *, kind: FolderKind | None = None, replaced: bool = False
) -> None:
    """Raise OutputError unless the folder ``path`` may be written into.

    One that is ``replaced`` as a whole may not hold an input either.
    """
    remedy = f"choose another {option}"
    for one in given:
        if _same(path, one.path):
            raise OutputError(f"{option} {path} is also {_named(one)}; {remedy}")
        if _is_folder(one.path) and _inside(path, one.path):
            raise OutputError(f"{option} {path} lies inside {_named(one)}, which is read; {remedy}")
        if replaced and _inside(one.path, path):
            raise OutputError(f"{option} {path} holds {_named(one)}, which would be lost; {remedy}")
        if kind is not None and any(_same(path / name, one.path) for name in kind.writes):
            raise OutputError(f"{option} {path} holds {_named(one)}, which would be lost; {remedy}")
        if one.path.suffix.lower() in IMAGE_SUFFIXES and not _is_folder(one.path) and _same(one.path.parent, path):
            raise OutputError(f"{option} {path} holds images of {one.option} ({one.path.name}); {remedy}")
    if not _exists(path):
        return
    if not path.is_dir():
        raise OutputError(f"{option} {path} is a file; expected a folder: {remedy}")
    if kind is not None and (strange := next(_strange(option, path, kind), None)) is not None:
        raise OutputError(f"{option} {path} holds {strange}, which is not {kind.what}; it is left as it is: {remedy}")


def check_distinct(outputs: Mapping[str, Path | None]) -> None:
    """Raise OutputError if two options name the same file."""
    seen: list[tuple[str, Path]] = []
    for option, path in outputs.items():
        if path is None:
            continue
        for other, before in seen:
            if _same(path, before):
                raise OutputError(f"{other} and {option} both name {path}; give each a file of its own")
        seen.append((option, path))


def _strange(option: str, path: Path, kind: FolderKind) -> Iterator[str]:
    try:
        yield from kind.strange(path)
    except OSError as error:
        raise OutputError(
            f"{option} {path} cannot be read ({system_reason(error)}); choose another {option}"
        ) from error


def _named(one: Input) -> str:
    return f"{one.option} {one.path}"


def _exists(path: Path) -> bool:
    """Whether there is anything; a name that no file can have is nothing."""
    try:
        return os.path.lexists(path)
    except (OSError, ValueError):
        return False


def _is_folder(path: Path) -> bool:
    """Whether it is a folder; whoever reads it tells why it cannot be looked at."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _same(one: Path, other: Path) -> bool:
    try:
        return _resolved(one) == _resolved(other) or one.samefile(other)
    except (OSError, ValueError):
        return False


def _inside(path: Path, folder: Path) -> bool:
    """Whether ``path`` lies in or below ``folder``, links followed; not if they are the same."""
    inner, outer = _resolved(path), _resolved(folder)
    return inner != outer and inner.is_relative_to(outer)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, or a name that no file can have
        return path.absolute()
