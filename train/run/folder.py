"""The folder of a run: the files in it, and by what they are known to be a run's. Nothing is unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from regad.runtime.commands.own_files import FolderKind, head
from regad.runtime.formats.json_text import parse

__all__ = ["CURVE", "LOG", "MODEL", "STATE", "TRAINING_RUN"]

MODEL, STATE, LOG, CURVE = "model.pt", "state.pt", "log.jsonl", "curve.png"


def _torch_file_says(path: Path, word: str) -> bool:
    """Whether the pickle in a torch file holds a word; it is searched, not run."""
    try:
        with zipfile.ZipFile(path) as file:
            names = [name for name in file.namelist() if name.endswith("data.pkl")]
            return bool(names) and word.encode() in file.read(names[0])
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError):  # the last: encrypted, or packed in another way
        return False


def _is_log(path: Path) -> bool:
    """Whether the file is empty, as a run begins it, or begins with the line of an epoch."""
    try:
        first = parse(head(path).partition("\n")[0])
    except ValueError:
        return path.stat().st_size == 0
    return isinstance(first, dict) and "epoch" in first


def _strange(folder: Path) -> Iterator[str]:
    """Which of the files that a run writes are there without being a run's."""
    # Here, since they come with PyTorch, seconds to import, which the command's --help does without.
    from ..model.checkpoint import FORMAT as CHECKPOINT_FORMAT
    from .resume import FORMAT as STATE_FORMAT

    log = folder / LOG
    checks: dict[str, Callable[[Path], bool]] = {
        LOG: _is_log,
        MODEL: lambda path: _torch_file_says(path, CHECKPOINT_FORMAT),
        STATE: lambda path: _torch_file_says(path, STATE_FORMAT),
        CURVE: lambda path: log.is_file() and _is_log(log),
    }
    yield from (name for name, is_own in checks.items() if (folder / name).exists() and not is_own(folder / name))


TRAINING_RUN = FolderKind("of a run of regad-train", _strange, (MODEL, STATE, LOG, CURVE))
