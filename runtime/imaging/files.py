"""Folders of images: one rule for what an image file is, and one order, for every command."""

from __future__ import annotations

import re
from pathlib import Path, PurePath

from .preprocess import IMAGE_SUFFIXES

__all__ = ["image_files", "natural_key"]


def natural_key(path: PurePath) -> list[tuple[int, int, str]]:
    """Sort key that puts ``img2`` before ``img10``: runs of digits compare as numbers."""
    pieces = re.split(r"(\d+)", str(path).lower())
    return [(0, int(piece), piece) if piece.isdigit() else (1, 0, piece) for piece in pieces]


def image_files(folder: Path, recursive: bool = False) -> list[Path]:
    """Return the image files in ``folder`` (and below it if ``recursive``), in natural order; hidden ones are left out.

    Raises OSError if it is not a folder that can be read.
    """
    found = [
        path
        for path in (folder.rglob("*") if recursive else folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not path.is_dir()
    ]
    return sorted(found, key=natural_key)
