"""The table of a batch: CSV, JSON lines or Parquet by its name, written whole, and read back as the same rows."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ...commands.own_files import FileKind, head
from ...errors import InputError, OutputError
from ...formats.atomic import atomic_write
from ...formats.json_text import parse
from ...text import shown, system_reason
from .judging import Row

__all__ = ["COLUMNS", "Table", "table_of"]

_TEXTS = ("source", "reason", "detail", "artifact", "category", "device", "precision", "error")
COLUMNS = (
    *("source", "frame", "time", "score", "threshold", "anomalous", "warn", "reject", "reason", "detail", "pose"),
    *("thetas", "ms", "artifact", "category", "device", "precision", "error"),
)
"""The keys of a JSON line, in the order of the columns; one that a row has not is empty, or null."""

_SOMETIMES = ("detail", "pose")
_NOT_JUDGED = ("source", "frame", "time", "reject", "error")
_MARK = {b"regad": b"regad-batch 1"}
_ROWS = 4096  # in memory at a time


class _Format(NamedTuple):
    write: Callable[[BinaryIO, Iterable[Row]], None]
    read: Callable[[Path], Iterator[Row]]
    is_own: Callable[[Path], bool]


class Table:
    """A file of rows. `write` takes the place of what was there, atomically."""

    def __init__(self, path: Path, form: _Format) -> None:
        self.path = path
        self._form = form

    @property
    def kind(self) -> FileKind:
        """How a table that may be replaced is known."""
        return FileKind("a table of regad-batch", self._form.is_own)

    def write(self, rows: Iterable[Row]) -> None:
        """Write all rows. Raises OutputError; the file is then as it was."""
        atomic_write(self.path, partial(self._write, rows))

    def _write(self, rows: Iterable[Row], file: BinaryIO) -> None:
        self._form.write(file, rows)

    def read(self) -> Iterator[Row]:
        """Yield the rows of an earlier run; none where there is no file, or an empty one. Raises OutputError."""
        try:
            if self.path.exists() and self.path.stat().st_size:
                yield from self._form.read(self.path)
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise OutputError(
                f"{shown(self.path)} cannot be read as a table ({system_reason(error)}); choose another --out"
            ) from error


def table_of(path: Path) -> Table:
    """Return the table in ``path``, by its suffix. Raises InputError for another suffix, and for Parquet without
    pyarrow.
    """
    form = _FORMATS.get(path.suffix.lower())
    if form is None:
        raise InputError(f"--out {shown(path)} has another ending than {', '.join(_FORMATS)}; choose one of these")
    if path.suffix.lower() == ".parquet":
        _pyarrow()
    return Table(path, form)


def _write_lines(file: BinaryIO, rows: Iterable[Row]) -> None:
    for row in rows:
        ordered = {name: row[name] for name in COLUMNS if name in row}
        file.write((json.dumps(ordered, allow_nan=False) + "\n").encode())


def _read_lines(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        for line in file:
            yield parse(line)


def _own_lines(path: Path) -> bool:
    return head(path).startswith('{"source": ')


def _write_csv(file: BinaryIO, rows: Iterable[Row]) -> None:
    text = codecs.getwriter("utf-8")(file)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_cell(name, row.get(name)) for name in COLUMNS])


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    return shown(str(value)) if name in _TEXTS else json.dumps(value, allow_nan=False)


def _read_csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        for cells in csv.DictReader(file):
            yield _row({name: _value(name, cells[name]) for name in COLUMNS})


def _value(name: str, cell: str) -> Any:
    if cell == "":
        return None
    return cell if name in _TEXTS else parse(cell)


def _own_csv(path: Path) -> bool:
    return head(path).startswith(",".join(COLUMNS) + "\n")


def _row(values: Row) -> Row:
    """The row of a table's line: without what a JSON line of its kind has not."""
    if values["error"] is not None:
        return {name: values[name] for name in _NOT_JUDGED}
    return {
        name: values[name]
        for name in COLUMNS
        if name != "error" and (name not in _SOMETIMES or values[name] is not None)
    }


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError(
            "a .parquet table needs pyarrow, which is not installed; pip install 'regad[ray]' or pyarrow, or name a "
            ".csv or .jsonl"
        ) from None
    return pyarrow


def _schema(pyarrow: Any) -> Any:
    number, text, flag = pyarrow.float64(), pyarrow.string(), pyarrow.bool_()
    numbers = {name: pyarrow.list_(pyarrow.list_(pyarrow.list_(number))) for name in ("thetas",)}
    kinds = {
        **dict.fromkeys(_TEXTS, text),
        **dict.fromkeys(("time", "score", "threshold"), number),
        **dict.fromkeys(("anomalous", "warn", "reject"), flag),
        **numbers,
        "frame": pyarrow.int64(),
        "pose": pyarrow.struct([(name, number) for name in ("angle", "dx", "dy", "scale", "quality")]),
        "ms": pyarrow.struct([(name, number) for name in ("preprocess", "encode", "score", "total")]),
    }
    return pyarrow.schema([(name, kinds[name]) for name in COLUMNS], metadata=_MARK)


def _write_parquet(file: BinaryIO, rows: Iterable[Row]) -> None:
    pyarrow = _pyarrow()
    schema, rest = _schema(pyarrow), iter(rows)
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        while block := list(islice(rest, _ROWS)):
            writer.write_table(pyarrow.Table.from_pylist(block, schema))


def _read_parquet(path: Path) -> Iterator[Row]:
    with _pyarrow().parquet.ParquetFile(path) as file:
        for block in file.iter_batches(_ROWS):
            yield from map(_row, block.to_pylist())


def _own_parquet(path: Path) -> bool:
    try:
        found = _pyarrow().parquet.read_schema(path).metadata or {}
    except ValueError:  # pyarrow's errors for what is no Parquet
        return False
    return bool(_MARK.items() <= found.items())


_FORMATS = {
    ".csv": _Format(_write_csv, _read_csv, _own_csv),
    ".jsonl": _Format(_write_lines, _read_lines, _own_lines),
    ".parquet": _Format(_write_parquet, _read_parquet, _own_parquet),
}
