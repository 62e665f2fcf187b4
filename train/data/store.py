"""Decoded training images, kept in memory or in a file up to a bound, and batches made ahead of the step."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from regad.runtime.errors import OutputError
from regad.runtime.formats.atomic import atomic_write
from regad.runtime.formats.spec import InputSpec
from regad.runtime.imaging.preprocess import preprocess
from regad.runtime.imaging.reading import read_picture
from regad.runtime.text import Say, noted, shown, unsaid

__all__ = ["Cache", "ImageStore", "ahead"]

Cache = Literal["memory", "disk"]
Images = NDArray[np.uint8]
Item = TypeVar("Item")
Made = TypeVar("Made")
_FORMAT = 2  # of the file of decoded images and its key, the first line of what lies beside it; the rest are notes
_DEPTH = 2
"""Batches made ahead of the one in use."""


class ImageStore:
    """The preprocessed images of several categories, by index.

    As many as fit into the bound are decoded once, by `fill`; the others anew at each use, by ``workers`` threads.
    Every image is used equally often, in an order without locality, so no replacement rule would hit more often.
    """

    def __init__(
        self, paths: Mapping[str, Sequence[Path]], spec: InputSpec, bound_mb: int, workers: int, say: Say = unsaid
    ) -> None:
        """``bound_mb`` limits what is kept, in MiB; one image takes 147 KiB. ``say`` gets what is odd about some."""
        self.paths = [path for files in paths.values() for path in files]
        self.sizes = {name: len(files) for name, files in paths.items()}
        starts = np.cumsum([0, *self.sizes.values()])
        self._starts = dict(zip(self.sizes, starts.tolist(), strict=False))
        self.spec = spec
        self.shape = (spec.size, spec.size, 3)
        self.kept = min(len(self.paths), (bound_mb << 20) // int(np.prod(self.shape)))
        self._say = say
        self._said: set[str] = set()
        self._images: Images = np.empty((0, *self.shape), np.uint8)
        self._pool = ThreadPoolExecutor(max_workers=max(1, workers))

    def fill(self, file: Path | None = None, progress: Callable[[int], None] = lambda done: None) -> None:
        """Decode what is kept: into memory, or into ``file``, which an earlier run of the same images may have left.

        Raises InputError naming the first image that cannot be used, and OutputError.
        """
        if file is None:
            self._images = np.empty((self.kept, *self.shape), np.uint8)
            for line in self._decode_into(self._images, progress):
                self._say(line)
        elif not self._reuse(file):
            self._write(file, progress)
            assert self._reuse(file)

    def take(self, category: str, indices: NDArray[np.int64]) -> Images:
        """Return images of a category, uint8 RGB [*indices.shape, 224, 224, 3]. Raises InputError."""
        slots = indices.ravel() + self._starts[category]
        out = np.empty((len(slots), *self.shape), np.uint8)
        inside = slots < self.kept
        out[inside] = self._images[slots[inside]]
        outside = np.flatnonzero(~inside)
        for place, slot, (image, notes) in zip(
            outside, slots[outside], self._pool.map(self._read, slots[outside]), strict=True
        ):
            out[place] = image
            for note in set(notes) - self._said:
                self._said.add(note)
                self._say(f"{shown(self.paths[slot])}, and perhaps others that are not kept: {note}")
        return out.reshape(*indices.shape, *self.shape)

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _read(self, slot: int) -> tuple[Images, tuple[str, ...]]:
        picture = read_picture(self.paths[slot])
        return preprocess(picture.image, self.spec), picture.notes

    def _decode_into(self, images: Images, progress: Callable[[int], None]) -> list[str]:
        """Decode what is kept; returns what should be said of it, a line for each note."""
        found: list[tuple[str, str]] = []
        for slot, (image, notes) in enumerate(self._pool.map(self._read, range(self.kept))):
            images[slot] = image
            found += [(shown(self.paths[slot]), note) for note in notes]
            progress(slot + 1)
        return noted(found)

    def _key(self) -> bytes:
        """Say which images, in which state, a file of decoded images holds."""
        states = [(str(path.absolute()), path.stat().st_size, path.stat().st_mtime_ns) for path in self.paths]
        content = json.dumps([_FORMAT, states[: self.kept], self.spec.to_json(), self.kept])
        return hashlib.sha256(content.encode()).hexdigest().encode()

    def _reuse(self, file: Path) -> bool:
        note = file.with_suffix(".key")
        if not self.kept:
            return True
        key, *lines = note.read_bytes().split(b"\n") if file.is_file() and note.is_file() else [b""]
        if key != self._key():
            return False
        if file.stat().st_size != self.kept * int(np.prod(self.shape)):
            return False
        self._images = np.memmap(file, np.uint8, "r", shape=(self.kept, *self.shape))
        for line in lines:
            self._say(line.decode("utf-8", "replace"))
        return True

    def _write(self, file: Path, progress: Callable[[int], None]) -> None:
        """Decode into a temporary file and rename it; the key comes last, so a half-written file is never reused."""
        temporary = file.with_suffix(".part")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.with_suffix(".key").unlink(missing_ok=True)
            with temporary.open("wb") as handle:
                os.posix_fallocate(handle.fileno(), 0, self.kept * int(np.prod(self.shape)))
            images = np.memmap(temporary, np.uint8, "r+", shape=(self.kept, *self.shape))
            lines = self._decode_into(images, progress)
            images.flush()
            temporary.replace(file)
        except OSError as error:
            raise OutputError(f"cannot write {file}: {error.strerror or error}; use --cache memory") from error
        finally:
            if temporary.is_file():
                temporary.unlink()
        atomic_write(file.with_suffix(".key"), "\n".join([self._key().decode(), *lines]).encode())


def ahead(items: Iterator[Item], make: Callable[[Item], Made], threaded: bool = True) -> Iterator[Made]:
    """Yield ``make(item)`` in order, the next two made in a thread meanwhile. Raises what ``make`` raises."""
    if not threaded:
        yield from map(make, items)
        return
    pending: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(1) as pool:
        try:
            for item in items:
                pending.append(pool.submit(make, item))
                if len(pending) > _DEPTH:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
