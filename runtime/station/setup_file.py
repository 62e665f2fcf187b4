"""Writes a new ``station.toml`` for what is on this machine: the artifact, the cameras, the category files."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ..commands.own_files import CATEGORY
from ..errors import InputError, OutputError
from ..formats.artifact import is_artifact
from ..formats.digest import sha256_of
from ..formats.places import DEFAULT_MODEL, MODEL_VARIABLE
from ..text import shown, system_reason
from .config_file import FILE_NAME

__all__ = ["Found", "find", "find_cameras", "write_new"]

_VIDEO = Path("/sys/class/video4linux")


@dataclass(frozen=True)
class Found:
    """What a new station can use: an artifact or None, cameras like ``camera:0``, category files."""

    model: Path | None
    cameras: tuple[str, ...]
    categories: tuple[Path, ...]


def find(folder: Path, model: Path | None = None, categories: Iterable[Path] = ()) -> Found:
    """Look for what a station in ``folder`` can use; what is given comes first.

    Raises InputError for what is no such thing, OutputError for a folder that cannot be looked at.
    """
    if model is not None and not is_artifact(model):
        raise InputError(f"--model {shown(model)} is no artifact; name a folder that regad-export wrote")
    named = os.environ.get(MODEL_VARIABLE)
    places = [model] if model else [folder / DEFAULT_MODEL, *([Path(named)] if named else []), DEFAULT_MODEL]
    given = [*categories]
    for path in given:
        if not _is_category(path):
            raise InputError(f"--category {shown(path)} is no category file; make one with regad-calib")
    try:
        beside = [path for path in sorted(folder.glob("*.safetensors")) if _is_category(path)]
    except OSError as error:
        raise OutputError(f"{shown(folder)} cannot be read ({system_reason(error)}); name another one") from error
    return Found(
        next((path for path in places if is_artifact(path)), None),
        tuple(find_cameras()),
        tuple(given or beside),
    )


def find_cameras(tree: Path = _VIDEO) -> list[str]:
    """Return the cameras of this machine; a device's further nodes, which give no pictures, are left out."""
    numbers = []
    for node in tree.glob("video*"):
        match = re.fullmatch(r"video(\d+)", node.name)
        try:
            first = (node / "index").read_text().strip() == "0"
        except OSError:
            continue
        if match and first:
            numbers.append(int(match.group(1)))
    return [f"camera:{number}" for number in sorted(numbers)]


def write_new(folder: Path, found: Found, *, simulate: bool = False) -> Path:
    """Write ``station.toml`` into ``folder`` and return its path; with ``simulate`` a station that starts by itself.

    Raises OutputError if there is one already, and where it cannot be written; InputError for a file name that TOML
    cannot hold.
    """
    path = folder / FILE_NAME
    text = _filled(folder, found, simulate).encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(text)
    except FileExistsError:
        raise OutputError(f"{shown(path)} exists and is left as it is; change it, or name another folder") from None
    except OSError as error:
        raise OutputError(f"{shown(path)} cannot be written ({error.strerror}); name another folder") from error
    return path


def _is_category(path: Path) -> bool:
    try:
        return path.is_file() and CATEGORY.is_own(path)
    except OSError:
        return False


def _filled(folder: Path, found: Found, simulate: bool) -> str:
    jobs = [_job(folder, number, path) for number, path in enumerate(found.categories, 1)]
    name = re.sub(r"[^\w.-]", "-", socket.gethostname(), flags=re.ASCII)[:64] or "station"
    values = {
        "NAME": _quoted(name),
        "MODE": '"simulate"' if simulate else '"shadow"',
        "AUTOSTART": "autostart = true" if simulate else "# autostart = false",
        "JOB": "job = 1" if jobs else "# job = 1",
        "MODEL": _quoted(_named(folder, found.model) if found.model else str(DEFAULT_MODEL)),
        "MODEL_NOTE": "" if found.model else "; none was found, put one here",
        "CAMERA": _quoted(found.cameras[0] if found.cameras else "camera:0"),
        "CAMERA_NOTE": _cameras(found.cameras),
        "JOBS": "\n".join(jobs) if jobs else _job(folder, 1, None),
    }
    text = (files(__package__) / FILE_NAME).read_text(encoding="utf-8")
    return re.sub("@([A-Z_]+)@", lambda match: values[match.group(1)], text)


def _cameras(cameras: tuple[str, ...]) -> str:
    if not cameras:
        return "; no camera was found"
    return f"; found: {', '.join(cameras)}" if len(cameras) > 1 else ""


def _job(folder: Path, number: int, path: Path | None) -> str:
    """A [[job]] table, for a category file or as an example."""
    name, file, digest = ("part", "part.safetensors", "0" * 64)
    if path is not None:
        name, file, digest = shown(path.stem)[:200], _named(folder, path), sha256_of(path)
    return (
        f"[[job]]\nnumber = {number}\nname = {_quoted(name)}\ncategory = {_quoted(file)}\n"
        f'sha256 = "{digest}"\n# deadline_ms = 1000\n# threshold = 1.5\n# warn_threshold = 1.2\n'
        "# challenge_at_start = true\n# challenge_every_h = 8\n"
    )


def _named(folder: Path, path: Path) -> str:
    """A path as the file in ``folder`` names it: relative where it lies there."""
    absolute = path.absolute()
    inside = absolute.is_relative_to(folder.absolute())
    return str(absolute.relative_to(folder.absolute()) if inside else absolute)


def _quoted(text: str) -> str:
    """A TOML string. Raises InputError for what is no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"the name {shown(text)} is not UTF-8, which TOML cannot hold; rename it") from None
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
