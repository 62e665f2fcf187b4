"""The frames of image files: one for each picture, and one for each that cannot be read."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from ..errors import InputError
from ..imaging.files import Listing
from ..imaging.reading import count_pages, read_picture
from ..text import shown
from .frame import Frame

__all__ = ["file_frames", "image_frames", "record_names"]


def record_names(paths: list[Path], root: Path) -> list[str]:
    """Name what is written about each image: its path below ``root`` as PNG; twins that differ in suffix keep it."""
    inner = [path.relative_to(root) for path in paths]
    twins = Counter(path.with_suffix("") for path in inner)
    names = [f"{path if twins[path.with_suffix('')] > 1 else path.with_suffix('')}.png" for path in inner]
    return names if len(set(names)) == len(names) else [f"{path}.png" for path in inner]


def image_frames(found: Listing, root: Path) -> Iterator[Frame]:
    """Yield a frame for each picture of the files, then one for each folder that could not be read.

    ``root`` is the folder that `Frame.name` is relative to. Of a file of several pages each is a frame.
    """
    names = record_names(found.images, root)
    taken, index = set(names), 0
    for path, name in zip(found.images, names, strict=True):
        for frame in file_frames(path, name, taken, index):
            index = frame.index + 1
            yield frame
    for number, (folder, reason) in enumerate(found.denied, index):
        message = f"{shown(folder)} cannot be read: {reason}; the images in it are not judged"
        yield Frame(shown(folder), number, time.time(), None, error=message)


def file_frames(path: Path, name: str, taken: set[str], index: int = 0) -> Iterator[Frame]:
    """Yield a frame for each picture of a file, the first with ``index`` and ``name``.

    ``taken`` holds the names that further pages may not have; theirs are added.
    """
    first, pages = _frame(path, 0, index, name)
    yield first
    for page in range(1, pages):
        yield _frame(path, page, index + page, _page_name(name, page, taken))[0]


def _frame(path: Path, page: int, index: int, name: str) -> tuple[Frame, int]:
    """The frame of one page of a file, and how many pages there are."""
    source, now, taken = shown(path), time.time(), monotonic()
    try:
        picture = read_picture(path, page)
    except InputError as error:
        of_page = f" (page {page + 1})" if page else ""
        pages = 1 if page else count_pages(path)  # the others may be sound
        return Frame(source, index, now, None, error=f"{error}{of_page}", name=name, taken=taken), pages
    if picture.pages > 1:
        source += f", page {page + 1}"
    frame = Frame(source, index, now, picture.image, name=name, taken=taken, notes=picture.notes)
    return frame, picture.pages


def _page_name(name: str, page: int, taken: set[str]) -> str:
    """A name for what is written about a further page that no other picture has."""
    stem, number = name.removesuffix(".png"), page + 1
    made = f"{stem}.page{number}.png"
    while made in taken:
        stem += "_"
        made = f"{stem}.page{number}.png"
    taken.add(made)
    return made
