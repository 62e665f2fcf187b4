"""The threshold of a version as its category file has it, with its evidence; read once and remembered."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ...errors import RegadError
from ...formats.category import load_category
from ...formats.threshold import Threshold
from .records import Version
from .versions import file_of

__all__ = ["taught_threshold"]


@lru_cache(maxsize=32)
def taught_threshold(trace: Path, version: Version) -> Threshold | None:
    """Return it; None where the file is gone or cannot be read: then the parts alone are evidence."""
    try:
        return load_category(file_of(trace, version)).threshold
    except RegadError:
        return None
