"""One part as a zip: everything that is needed to judge it again on another machine.

Members: ``record.json`` (the row, and the sha256 of every other member), ``input.png``, and where they are known
``map.png`` (uint8 [56, 56], in 255ths of the record's ``map_top``), ``full.jpg`` and ``category.safetensors``.
"""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import InputError, OutputError
from ...formats.atomic import atomic_folder, atomic_write
from ...formats.category import Category, load_category
from ...formats.spec import GRID, SIZE
from ...imaging.reading import read_image
from ...text import Say, system_reason, unsaid
from ..codes import VerdictCode
from .files import map_of
from .reader import Row, TraceReader

__all__ = ["StoredPart", "export_part", "import_part", "read_part"]

FORMAT, VERSION = "regad-part", 1
_RECORD = "record.json"
_MOST = {
    _RECORD: 1 << 20,
    "input.png": 1 << 20,
    "map.png": 1 << 17,
    "full.jpg": 1 << 28,
    "category.safetensors": 1 << 31,
}
"""Every member that there may be, with the most bytes it may have."""


@dataclass(frozen=True, eq=False)
class StoredPart:
    """A part that was exported: its row, what the encoder saw (uint8 RGB [224, 224, 3]), its map (float32 [56, 56]),
    the full picture's JPEG, and the category that it was judged with, each None where it is not in the zip.
    """

    row: Row
    input: NDArray[np.uint8]
    map: NDArray[np.float32] | None
    full: bytes | None
    category: Category | None


def export_part(folder: Path, inspection: int, out: Path, *, say: Say = unsaid) -> None:
    """Write one part of the trace in ``folder`` to the zip ``out``; ``say`` receives what cannot be in it.

    Raises InputError if there is no such part or its input is not stored, OutputError.
    """
    with TraceReader(folder) as reader:
        row = reader.row(inspection)
        picture = reader.input_file(inspection)
        if picture is None:
            raise InputError(f"the input of part {inspection} is not stored any more; it cannot be judged elsewhere")
        members = {"input.png": picture}
        heat = reader.heat(inspection)
        if heat is not None:
            members["map.png"] = _png(heat[1])
        if (full := reader.full(inspection)) is not None:
            members["full.jpg"] = full
        if (category := _category(reader, inspection, say)) is not None:
            members["category.safetensors"] = category
    record = {
        "format": FORMAT,
        "version": VERSION,
        "row": row,
        "map_top": None if heat is None else heat[0],
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in members.items()},
    }
    text = json.dumps(record, indent=1, allow_nan=False).encode()
    atomic_write(out, lambda file: _write(file, {_RECORD: text, **members}))


def _write(file: BinaryIO, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # without a date: the same part gives the same file


def _png(grey: NDArray[np.uint8]) -> bytes:
    data = io.BytesIO()
    Image.fromarray(grey).save(data, "PNG")
    return data.getvalue()


def _category(reader: TraceReader, inspection: int, say: Say) -> bytes | None:
    known = reader.category_file(inspection)
    if known is None:
        say(f"the category of part {inspection} was never recorded; the zip is without it")
        return None
    path, sha256 = known
    try:
        data = path.read_bytes()
    except OSError as error:
        say(f"the category {path} cannot be read ({error.strerror or error}); the zip is without it")
        return None
    if hashlib.sha256(data).hexdigest() != sha256:
        say(f"the category {path} is another file than the part was judged with; the zip is without it")
        return None
    return data


def import_part(path: Path, folder: Path) -> StoredPart:
    """Check a zip of `export_part` and unpack it into ``folder``: a new or empty one, or one of an earlier import.

    Raises InputError, CategoryError, and OutputError; the folder is then as it was.
    """
    try:
        ours = not folder.exists() or (folder / _RECORD).is_file() or (folder.is_dir() and not any(folder.iterdir()))
    except OSError as error:
        raise OutputError(f"{folder} cannot be read ({system_reason(error)}); name a new folder") from error
    if not ours:
        raise InputError(f"{folder} holds something else than an imported part; name a new folder")
    members = _members(path)
    part = _parse(path, members)
    with atomic_folder(folder) as inside:
        for name, data in members.items():
            (inside / name).write_bytes(data)
    return part


def read_part(path: Path) -> StoredPart:
    """Read and check a zip of `export_part`. Raises InputError for another or a damaged file, CategoryError."""
    return _parse(path, _members(path))


def _members(path: Path) -> dict[str, bytes]:
    """Every member, checked against the record's sha256."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            unknown = sorted(set(names) - set(_MOST)) or (["a name twice"] if len(set(names)) < len(names) else [])
            if unknown or _RECORD not in names:
                found = unknown[0] if unknown else f"no {_RECORD}"
                raise InputError(f"{path} is not a part of a trace ({found!r} is in it); expected a zip of: {_MAKE}")
            members = {name: _member(archive, name, path) for name in names}
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise InputError(f"{path} cannot be read as a zip ({error}); make it again: {_MAKE}") from error
    return members


_MAKE = "regad-station export --part ID --out FILE.zip"


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    found = archive.getinfo(name)
    if found.compress_type != zipfile.ZIP_STORED:  # a few bytes would unpack to gigabytes
        raise InputError(f"{path} holds {name} compressed; expected it as it was exported: {_MAKE}")
    if found.file_size > _MOST[name]:
        raise InputError(f"{path} holds {name} of more than {_MOST[name]} bytes; it is not read")
    return archive.read(name)


def _parse(path: Path, members: dict[str, bytes]) -> StoredPart:
    try:
        record = json.loads(members[_RECORD])
        if (record["format"], record["version"]) != (FORMAT, VERSION):
            found = f"{record['format']} {record['version']}"
            raise InputError(f"{path} is {found}; this program reads {FORMAT} {VERSION}: update regad")
        others = {name: data for name, data in members.items() if name != _RECORD}
        if record["files"] != {name: hashlib.sha256(data).hexdigest() for name, data in others.items()}:
            raise InputError(f"{path} is damaged: its members are not those of its record; make it again: {_MAKE}")
        row = _checked(record["row"])
        heat = None
        if "map.png" in others:
            heat = map_of(float(record["map_top"]), _pixels(others["map.png"], (GRID, GRID)))
        picture = others["input.png"]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} has a malformed record ({error!r}); make it again: {_MAKE}") from error
    return StoredPart(row, _input(picture, path), heat, others.get("full.jpg"), _loaded(others))


def _checked(row: Mapping[str, Any]) -> Row:
    """The row, if what is told of a part has the right types. Raises KeyError, ValueError, AttributeError."""
    for name, types in (("id", int), ("verdict", int), ("score", (int, float, type(None))), ("serial", str)):
        if not isinstance(row[name], types):
            raise ValueError(f"{name} is {row[name]!r}")
    VerdictCode(row["verdict"])
    return dict(row.items())


def _input(data: bytes, path: Path) -> NDArray[np.uint8]:
    try:
        return _pixels(data, (SIZE, SIZE, 3))
    except ValueError as error:
        raise InputError(f"{path} holds an input that cannot be used ({error}); make it again: {_MAKE}") from error


def _pixels(data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The pixels of a PNG. Raises ValueError for another file or shape."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture.png"
        file.write_bytes(data)
        image = read_image(file)
    pixels = image if len(shape) == 3 else image[:, :, 0]
    if pixels.shape != shape:
        raise ValueError(f"a picture is {list(pixels.shape)}; expected {list(shape)}")
    return pixels


def _loaded(members: Mapping[str, bytes]) -> Category | None:
    data: Any = members.get("category.safetensors")
    if data is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "category.safetensors"
        file.write_bytes(data)
        return load_category(file)
