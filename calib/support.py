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
from regad.runtime.formats.category import SupportImage
from regad.runtime.imaging.files import list_folder
from regad.runtime.imaging.preprocess import as_rgb8
from regad.runtime.imaging.reading import IMAGE_SUFFIXES, read_picture
from regad.runtime.text import Say, noted, shown, unsaid

__all__ = [
    "GoodImages",
    "array_support",
    "draw_support",
    "list_images",
    "named",
    "read_good_images",
    "refuse_copies",
]


class GoodImages(NamedTuple):
    """Images read from files: uint8 RGB arrays [H, W, 3] (sizes may differ), with name and sha256 of each file."""

    images: list[NDArray[np.uint8]]
    files: tuple[SupportImage, ...]


def list_images(folder: str | Path, say: Say = unsaid) -> list[Path]:
    """Return the image files directly in ``folder``, in natural order; ``say`` receives what else is in it.

    Raises InputError if it is not a folder that can be read or holds no image file.
    """
    try:
        found = list_folder(Path(folder))
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise InputError(f"{shown(folder)} is not a folder; expected a folder of images of good parts") from error
    except OSError as error:
        raise InputError(f"{shown(folder)} cannot be read: {error.strerror}; expected photos of good parts") from error
    if not found.images:
        raise InputError(
            f"{shown(folder)} holds no image files; expected photos of good parts "
            f"({', '.join(sorted(IMAGE_SUFFIXES))}){''.join(f'; {note}' for note in found.notes)}"
        )
    for note in found.notes:
        say(f"{shown(folder)}: {note}")
    return found.images


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


def read_good_images(paths: Sequence[Path], say: Say = unsaid) -> GoodImages:
    """Read the images; ``say`` receives what is odd about them.

    Raises InputError naming the first that cannot be read: no image is left out in silence.
    """
    images: list[NDArray[np.uint8]] = []
    files: list[SupportImage] = []
    notes: list[tuple[str, str]] = []
    for path in paths:
        picture = read_picture(path)
        images.append(picture.image)
        files.append(SupportImage(shown(path.name), hashlib.sha256(path.read_bytes()).hexdigest()))
        notes += [(files[-1].name, note) for note in picture.notes]
    for line in noted(notes):
        say(line)
    return GoodImages(images, tuple(files))


def array_support(images: Sequence[NDArray[Any]], name: str = "array") -> tuple[SupportImage, ...]:
    """Name and hash arrays that came from memory instead of files."""
    return tuple(
        SupportImage(f"{name} {index}", hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest())
        for index, image in enumerate(images)
    )


def named(
    images: Sequence[NDArray[Any]],
    files: tuple[SupportImage, ...] | None,
    validation: Sequence[NDArray[Any]],
    validation_files: tuple[SupportImage, ...] | None,
) -> tuple[tuple[SupportImage, ...], tuple[SupportImage, ...]]:
    """Return the names of support and validation images, made up where none are given.

    Raises InputError where two of all are the same picture.
    """
    support = array_support(images) if files is None else files
    others = array_support(validation, "validation array") if validation_files is None else validation_files
    refuse_copies([*images, *validation], [file.name for file in (*support, *others)])
    return support, others


def refuse_copies(images: Sequence[NDArray[Any]], names: Sequence[str]) -> None:
    """Raise InputError, naming both, if two images hold the same pixels, whatever files they came from.

    A copy is no evidence: with one left out its twin is still in the statistics, and the threshold becomes too low.
    """
    seen: dict[bytes, int] = {}
    for number, image in enumerate(images):
        rgb = as_rgb8(image)
        digest = hashlib.blake2b(repr(rgb.shape).encode())
        digest.update(np.ascontiguousarray(rgb).data)
        twin = seen.setdefault(digest.digest(), number)
        if twin != number:
            raise InputError(
                f"{names[twin]} and {names[number]} are the same picture, and a copy shows nothing new; "
                "remove one of them"
            )
