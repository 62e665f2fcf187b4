"""The record of verdicts as JSON lines: whole lines only, each written at once and never half."""

from __future__ import annotations

import json
import math
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..formats.json_text import parse
from ..imaging.registration import Located
from ..text import system_reason
from .sink import Sink
from .verdict import Verdict

__all__ = ["JsonLines", "LineFile", "record"]

_BEGINNING = b'{"source": '
_LONGEST = 65536  # bytes of a line: it holds one name and a few dozen numbers


def record(verdict: Verdict, artifact: str, category: str, device: str, precision: str) -> dict[str, Any]:
    """Return one line's data. Judged: ``source frame time score threshold anomalous warn reject reason thetas ms
    artifact category device precision``, and ``detail`` where a reason has one, ``pose`` (``angle dx dy scale
    quality``) where the part is registered; not judged: ``source frame time reject error``. ``time`` is in unix
    seconds, ``ms`` in milliseconds; ``precision`` is what the device computes in where the artifact's graph says
    float32. A frame that shows no part, or shows it misplaced, has no score: it is None.
    """
    frame, result = verdict.frame, verdict.result
    head = {"source": frame.source, "frame": frame.index, "time": round(frame.time, 6)}
    if result is None:
        return {**head, "reject": verdict.reject, "error": verdict.error or "not judged"}
    ms = result.timings
    return {
        **head,
        "score": result.score if math.isfinite(result.score) else None,
        "threshold": result.threshold,
        "anomalous": result.anomalous,
        "warn": result.warn,
        "reject": verdict.reject,
        "reason": result.reason,
        **({"detail": result.detail} if result.detail else {}),
        **({} if result.located is None else {"pose": _pose(result.located)}),
        "thetas": [[[round(float(v), 6) for v in row] for row in theta] for theta in result.thetas],
        "ms": {name: round(getattr(ms, name), 3) for name in ("preprocess", "encode", "score", "total")},
        "artifact": artifact,
        "category": category,
        "device": device,
        "precision": precision,
    }


def _pose(located: Located) -> dict[str, float]:
    return {
        **{name: round(value, 4) for name, value in located.pose._asdict().items()},
        "quality": round(located.quality, 4),
    }


class LineFile:
    """Appends whole lines to a file, or to stdout (``-``); each is handed to the system before `write` returns.

    A file that exists is continued, so that a restarted service keeps its record: a half line at its end, from a power
    cut, is removed, and one that lacks only its newline gets it. When a line cannot be written, the file is cut back to
    its last whole line and OutputError raised.
    """

    def __init__(self, target: str) -> None:
        self._name = "stdout" if target == "-" else target
        self._handle: int | None = None
        self._owned = target != "-"
        self._closed = False
        try:
            self._handle = _open(Path(target)) if self._owned else None
        except OSError as error:
            raise self._failed(error) from error

    def write(self, line: str) -> None:
        """Write ``line`` and a newline.

        Raises OutputError, also after `close`.
        What UTF-8 cannot hold (half of a file name's bytes) is written as an escape.
        """
        if self._closed:
            raise OutputError(f"{self._name} is closed; a line was to be written: open it again for more")
        data = (line + "\n").encode(errors="backslashreplace")
        try:
            if self._handle is None:
                _print(data.decode())
            else:
                _append(self._handle, data)
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the file; stdout stays open. May be called more than once."""
        self._closed = True
        if self._owned and self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot write {self._name}: {system_reason(error)}; free some space or choose another place"
        )


def _print(text: str) -> None:
    if sys.stdout is not None:  # None in a program that was started without one
        sys.stdout.write(text)
        sys.stdout.flush()


def _append(handle: int, data: bytes) -> None:
    """Write all of it, or leave a regular file as it was. Raises OSError."""
    whole = _length(handle)
    try:
        while data:
            data = data[os.write(handle, data) :]
    except OSError:
        if whole is not None:
            with suppress(OSError):  # the first failure is reported
                os.ftruncate(handle, whole)
        raise


def _length(handle: int) -> int | None:
    """The present size of a regular file, which a failed write must not exceed; None for pipes and devices."""
    state = os.fstat(handle)
    return state.st_size if stat.S_ISREG(state.st_mode) else None


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    regular = path.is_file()
    handle = os.open(path, (os.O_RDWR if regular else os.O_WRONLY) | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        if regular and (size := _length(handle)):
            _continue(handle, path, size)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _continue(handle: int, path: Path, size: int) -> None:
    """Make sure that what is there is a record of ours, and that it ends with a whole line."""
    first, newline, _ = os.pread(handle, _LONGEST, 0).partition(b"\n")
    half = not newline and size < _LONGEST and not _is_json(first)  # half a line of ours is never valid JSON
    if not (first.startswith(_BEGINNING) if half else _is_record(first)):
        raise OutputError(
            f"{path} exists and does not hold JSON lines of regad-run; it is left as it is: choose another --json"
        )
    end = size
    while end and not (tail := os.pread(handle, min(end, _LONGEST), end - min(end, _LONGEST))).endswith(b"\n"):
        at = tail.rfind(b"\n")
        end = end - len(tail) + at + 1
    if end == size:
        return
    if _is_json(os.pread(handle, size - end, end)):
        _append(handle, b"\n")
    else:
        os.ftruncate(handle, end)


def _is_json(line: bytes) -> bool:
    try:
        parse(line)
    except ValueError:
        return False
    return True


def _is_record(line: bytes) -> bool:
    try:
        data = parse(line)
    except ValueError:
        return False
    return isinstance(data, dict) and {"source", "frame", "time"} <= data.keys()


class JsonLines(Sink):
    """A sink that writes one JSON line for each verdict; see `record` for its keys and `LineFile` for the file."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._file: LineFile | None = None
        self._judge = ("", "", "", "")

    def open(self) -> None:
        """Open the file. Raises OutputError if it cannot be written, or is no record of ours."""
        self._file = LineFile(self._target)

    def name(self, artifact: str, category: str, device: str, precision: str) -> None:
        """Say what judges from now on; each line tells it."""
        self._judge = (artifact, category, device, precision)

    def write(self, verdict: Verdict) -> bool:
        """Write the line, synchronously; always True (go on). Raises OutputError."""
        if self._file is None:
            raise OutputError(f"{self._target} is not open; a record was to be written: open it first")
        self._file.write(json.dumps(record(verdict, *self._judge), allow_nan=False))
        return True

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
