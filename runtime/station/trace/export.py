"""Rows of the trace for other programs: CSV and JSON, written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Literal, get_args

from ...errors import InputError
from ...formats.atomic import atomic_write
from .reader import EXPORTED, Row, Selection, TraceReader

__all__ = ["RowFormat", "export_rows"]

RowFormat = Literal["csv", "json"]


def export_rows(
    folder: Path, out: Path, selection: Selection | None = None, row_format: RowFormat | None = None
) -> int:
    """Write the rows of a trace to ``out``; return how many.

    ``row_format`` None: by the suffix. CSV has a header with `EXPORTED` and empty fields for None; JSON is one object
    with ``format``, ``version`` and ``rows``. Raises InputError for a trace that cannot be read, OutputError.
    """
    name = row_format or out.suffix.lower().lstrip(".")
    if name not in get_args(RowFormat):
        raise InputError(f"the format of {out} is {name!r}; expected csv or json: give --format")
    count = 0

    def counted(rows: Iterable[Row]) -> Iterable[Row]:
        nonlocal count
        for row in rows:
            count += 1
            yield row

    with TraceReader(folder) as reader:
        rows = counted(reader.rows(selection))
        atomic_write(out, lambda file: _WRITERS[name](rows, file))
    return count


def _write_csv(rows: Iterable[Row], file: BinaryIO) -> None:
    text = io.TextIOWrapper(file, "utf-8", newline="")
    writer = csv.DictWriter(text, EXPORTED)
    writer.writeheader()
    writer.writerows(rows)
    text.flush()
    text.detach()


def _write_json(rows: Iterable[Row], file: BinaryIO) -> None:
    file.write(b'{"format": "regad-trace", "version": 1, "rows": [')
    for number, row in enumerate(rows):
        file.write((",\n" if number else "\n").encode() + json.dumps(row, allow_nan=False).encode())
    file.write(b"\n]}\n")


_WRITERS: dict[str, Callable[[Iterable[Row], BinaryIO], None]] = {"csv": _write_csv, "json": _write_json}
