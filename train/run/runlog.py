"""The log of a run: ``log.jsonl``, the picture of its curve, and TensorBoard where it is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from regad.runtime.errors import InputError, OutputError
from regad.runtime.formats.atomic import atomic_write
from regad.runtime.text import system_reason

from .curve import draw_curve
from .folder import CURVE, LOG

__all__ = ["RunLog", "Writer", "open_tensorboard"]


class Writer(Protocol):
    """What is used of TensorBoard's writer."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Add a value."""

    def flush(self) -> None:
        """Write what has been added."""


class RunLog:
    """One line an epoch in ``log.jsonl``, and ``curve.png`` drawn anew after each.

    The file begins with the epochs finished before, so a line that a kill cut short or left without its state is gone.
    """

    def __init__(self, folder: Path, history: Sequence[Mapping[str, Any]], writer: Writer | None) -> None:
        """Raises OutputError when the folder cannot be written."""
        self.path = folder / LOG
        self.curve = folder / CURVE
        self.lines = list(history)
        self.writer = writer
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {system_reason(error)}; choose another --out") from error
        atomic_write(self.path, "".join(json.dumps(line) + "\n" for line in self.lines).encode())

    def add(self, line: Mapping[str, Any]) -> None:
        """Append a line. Raises OutputError."""
        self.lines.append(line)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {system_reason(error)}; choose another --out") from error
        atomic_write(self.curve, draw_curve(self.lines))
        if self.writer is not None:
            for name, value in line.items():
                if name != "epoch" and isinstance(value, int | float):
                    self.writer.add_scalar(name, value, int(line["epoch"]))
            self.writer.flush()


@contextmanager
def open_tensorboard(folder: Path, wanted: bool) -> Iterator[Writer | None]:
    """Yield TensorBoard's writer into ``folder``, or None. Raises InputError where the package is missing."""
    if not wanted:
        yield None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError("--tensorboard needs a package: pip install 'regad[tensorboard]'") from error
    writer = SummaryWriter(str(folder))
    try:
        yield writer
    finally:
        writer.close()
