"""The sha256 of a file, by which files are pinned, installed and compared."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["sha256_of"]

_BLOCK = 1 << 20


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, a block at a time. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
