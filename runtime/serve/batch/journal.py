"""What a batch has judged so far, beside its table: a line an image, so that a run that ends early goes on there."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import OutputError
from ...formats.json_text import parse
from ...text import shown, system_reason
from .judging import Row

__all__ = ["Journal", "journal_path"]

FORMAT = "regad-batch"
VERSION = 1


def journal_path(out: Path) -> Path:
    """The journal of the table ``out``."""
    return out.with_name(f"{out.name}.part")


class Journal:
    """The rows of each image that was judged, in a file that only one process has open.

    ``head`` says what judges: artifact, category, threshold and precision. `add` hands a line to the system before it
    returns: what was added outlives a kill. A half line at the end, from a power cut, is removed. Raises OutputError if
    the file cannot be written, is in use, is none of ours, or is of another head.
    """

    def __init__(self, path: Path, head: Row) -> None:
        self.head = head
        self._path = path
        self._places: dict[str, int] = {}
        self._judged: set[str] = set()
        first = {"format": FORMAT, "version": VERSION, **head}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = path.open("a+b", buffering=0)
        except OSError as error:
            raise self._failed(error) from error
        try:
            self._lock()
            self._read(first)
        except BaseException:
            self._file.close()
            raise

    def __len__(self) -> int:
        return len(self._places)

    def judged(self, key: str) -> bool:
        """Whether an image was judged: all of its pages, without an error."""
        return key in self._judged

    def add(self, key: str, rows: Sequence[Row]) -> None:
        """Keep the rows of an image, in place of those it had. Raises OutputError; the file is then as it was."""
        end = os.fstat(self._file.fileno()).st_size
        try:
            self._append({"image": key, "rows": rows}, end)
        except OSError as error:
            raise self._failed(error) from error
        self._take(key, rows, end)

    def keys(self) -> Iterator[str]:
        """The images that have rows, in the order in which they first came."""
        return iter(self._places)

    def rows(self, keys: Iterable[str]) -> Iterator[Row]:
        """Yield the rows of these images, in their order; of one without rows, none. Raises OutputError."""
        try:
            with self._path.open("rb") as file:
                for key in keys:
                    if (place := self._places.get(key)) is not None:
                        file.seek(place)
                        yield from parse(file.readline())["rows"]
        except (OSError, ValueError) as error:
            raise OutputError(
                f"{shown(self._path)} cannot be read again ({system_reason(error)}); run again"
            ) from error

    def close(self, *, remove: bool = False) -> None:
        """Let go of the file, and ``remove`` it where its rows are in the table. Raises OutputError."""
        try:
            if remove:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self._file.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputError(f"{shown(self._path)} is in use by another regad-batch; wait for it to end") from error

    def _read(self, first: Row) -> None:
        self._file.seek(0)
        place = 0
        with self._path.open("rb") as file:
            for line in file:
                data = _whole(line)
                if place == 0 and data != first:
                    if data is None and not line.endswith(b"\n"):
                        break  # a kill in the first line of all
                    raise self._another(data)
                if data is None:
                    break
                if place:
                    self._take(str(data["image"]), data["rows"], place)
                place += len(line)
        try:
            os.ftruncate(self._file.fileno(), place)
            if place == 0:
                self._append(first, 0)
        except OSError as error:
            raise self._failed(error) from error

    def _another(self, found: Any) -> OutputError:
        if isinstance(found, dict) and found.get("format") == FORMAT:
            return OutputError(
                f"{shown(self._path)} was judged by another artifact, category, threshold or precision; remove it, "
                "or choose another --out"
            )
        return OutputError(f"{shown(self._path)} exists and is not a file of regad-batch; choose another --out")

    def _append(self, data: Row, end: int) -> None:
        line = memoryview((json.dumps(data, allow_nan=False) + "\n").encode())
        handle = self._file.fileno()
        try:
            while line:
                line = line[os.write(handle, line) :]
        except OSError:
            os.ftruncate(handle, end)
            raise

    def _take(self, key: str, rows: Sequence[Row], place: int) -> None:
        self._places[key] = place
        if rows and not any("error" in row for row in rows):
            self._judged.add(key)

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot write {shown(self._path)}: {system_reason(error)}; free some space or choose another --out"
        )


def _whole(line: bytes) -> Any:
    """What a line holds, or None for one that was cut off."""
    try:
        return parse(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
