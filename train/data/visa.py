"""VisA's list of images (Zou et al., ECCV 2022), ``split_csv/1cls.csv``, as published or as a spreadsheet wrote it."""

from __future__ import annotations

import codecs
import csv
import io
import re
from pathlib import Path
from typing import NamedTuple

from regad.runtime.errors import InputError
from regad.runtime.text import as_path, shown

__all__ = ["VISA_SPLIT", "VisaRow", "visa_rows"]

VISA_SPLIT = Path("split_csv") / "1cls.csv"
"""The list, below VisA's root; its paths are relative to the root."""

_COLUMNS = ("object", "split", "label", "image", "mask")
_SEPARATORS = ",;\t"
_SEP_LINE = re.compile(f"sep=([{_SEPARATORS}])\r?\n", re.IGNORECASE)


class VisaRow(NamedTuple):
    """One line: the category, ``train`` or ``test``, whether it is a defect, and the files, relative to the root."""

    category: str
    split: str
    defect: bool
    image: str
    mask: str


def visa_rows(root: Path) -> list[VisaRow]:
    """Return the lines of VisA's list. Raises InputError when it cannot be read or is not such a list.

    A byte-order mark, UTF-16, ``;`` or tabs in place of commas, and Excel's first line ``sep=;`` are understood.
    """
    path = root / VISA_SPLIT
    try:
        text = _decoded(path.read_bytes())
        told = _SEP_LINE.match(text)
        table = text[told.end() :] if told else text
        reader = csv.DictReader(io.StringIO(table, newline=""), delimiter=told[1] if told else _separator(text))
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        rows = [] if missing else [(reader.line_num + bool(told), row) for row in reader]
    except UnicodeError as error:
        raise InputError(
            f"{shown(path)} is neither UTF-8 nor UTF-16; save it again as UTF-8 (Excel's file type CSV UTF-8)"
        ) from error
    except (OSError, csv.Error) as error:
        raise InputError(f"cannot read {shown(path)} ({_why(error)}); expected VisA's list of images") from error
    if missing:
        raise InputError(f"{shown(path)} lacks the column {missing[0]}; expected {','.join(_COLUMNS)}")
    if not rows:
        raise InputError(f"{shown(path)} lists no image")
    return [_row(path, number, row) for number, row in rows]


def _decoded(data: bytes) -> str:
    return data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")


def _separator(text: str) -> str:
    """The separator that the line of column names holds most of."""
    head = text.split("\n", 1)[0]
    return max(_SEPARATORS, key=head.count)


def _row(path: Path, number: int, row: dict[str, str]) -> VisaRow:
    if any(row[name] is None for name in _COLUMNS):
        raise InputError(f"{shown(path)}, line {number}, is cut short; expected {','.join(_COLUMNS)}")
    if row["split"] not in ("train", "test") or row["label"] not in ("normal", "anomaly"):
        raise InputError(
            f"{shown(path)}, line {number}: split {row['split']!r}, label {row['label']!r}; "
            "expected train or test, normal or anomaly"
        )
    return VisaRow(
        as_path(row["object"]), row["split"], row["label"] == "anomaly", as_path(row["image"]), as_path(row["mask"])
    )


def _why(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else " ".join(shown(str(error)).split())
