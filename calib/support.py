"""Folders of good images: listing, drawing k of them by seed, and reading them with their hashes."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from regad.runtime.errors import InputError
from regad.runtime.formats.category import Support
from regad.runtime.imaging.files import image_files
from regad.runtime.imaging.preprocess import IMAGE_SUFFIXES, read_image

__all__ = ["GoodImages", "draw_support", "list_images", "read_good_images"]


class GoodImages(NamedTuple):
    """Images read from files: uint8 RGB arrays [H, W, 3] (sizes may differ), with name and sha256 of each file."""

    images: list[NDArray[np.uint8]]
    files: tuple[Support, ...]


def list_images(folder: str | Path) -> list[Path]:
    """Return the image files directly in ``folder``, in natural order.

    Raises InputError if it is not a folder or holds no image file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; expected a folder of images of good parts")
    found = image_files(folder)
    if not found:
        raise InputError(
            f"{folder} holds no image files; expected photos of good parts ({', '.join(sorted(IMAGE_SUFFIXES))})"
        )
    return found


def draw_support(paths: Sequence[Path], shot: int | None, seed: int = 0) -> list[Path]:
    """Return ``shot`` of the paths, drawn by ``seed`` and in their own order; all of them if ``shot`` is None.

    Raises InputError if ``shot`` is below 1 or above the number of paths.
    """
    if shot is None:
        return list(paths)
    if not 1 <= shot <= len(paths):
        raise InputError(
            f"{shot} support images were asked for, but there are {len(paths)}: lower --shot or add photos"
        )
    return [paths[index] for index in sorted(random.Random(seed).sample(range(len(paths)), shot))]


def read_good_images(paths: Sequence[Path]) -> GoodImages:
    """Read the images. Raises InputError naming the first that cannot be read: no image is left out in silence."""
    images: list[NDArray[np.uint8]] = []
    files: list[Support] = []
    for path in paths:
        images.append(read_image(path))
        files.append(Support(path.name, hashlib.sha256(path.read_bytes()).hexdigest()))
    twins = [file.name for index, file in enumerate(files) if file.sha256 in {f.sha256 for f in files[:index]}]
    if twins:
        raise InputError(f"{twins[0]} is a copy of another image of the set; copies add no evidence: remove them")
    return GoodImages(images, tuple(files))


def array_support(images: Sequence[NDArray[Any]]) -> tuple[Support, ...]:
    """Name and hash arrays that came from memory instead of files."""
    return tuple(
        Support(f"array {index}", hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest())
        for index, image in enumerate(images)
    )
