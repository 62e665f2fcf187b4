"""Pictures of verdicts in a folder: each with the heat map, none ever overwritten, bounded in number and bytes."""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path, PurePath

from ..errors import OutputError
from ..formats.atomic import atomic_write
from ..imaging.opencv import load_cv2
from ..imaging.overlay import render
from ..text import Say, system_reason, unsaid
from .picture_file import encode, foreign_pictures, own_pictures, remove_own
from .sink import Sink
from .verdict import Verdict

__all__ = ["Pictures", "safe_name"]

_LONGEST = 100  # bytes of a name's stem, so that a stamp and a temporary suffix still fit a file system's 255


class Pictures(Sink):
    """Writes the overlay of every judged frame (or of the anomalous ones only) into ``folder``, each file whole.

    A picture of a single image (``still``) is called as `Frame.name` says; others, and those whose name is taken,
    carry the time at which the run started: what an earlier run wrote stays. ``keep`` bounds the number of pictures and
    ``max_bytes`` their size; the oldest go first, and only files that bear our mark; ``say`` gets it, once, if that is
    refused. Pictures are not synced to the disk: a power cut may cost the last ones.
    """

    def __init__(
        self,
        folder: Path,
        *,
        only_anomalous: bool = False,
        still: bool = False,
        keep: int | None = None,
        max_bytes: int | None = None,
        started: float | None = None,
        say: Say = unsaid,
    ) -> None:
        self._folder = folder
        self._only_anomalous = only_anomalous
        self._still = still
        self._keep = keep
        self._max_bytes = max_bytes
        self._stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(started))
        self._held: deque[tuple[Path, int]] = deque()
        self._bytes = 0
        self._say: Say = say

    def open(self) -> None:
        """Make the folder, and count what is in it.

        Raises DeviceError without OpenCV, which draws the pictures; OutputError if the folder cannot be written, holds
        images that are none of ours (they would be mixed up), or more of ours than may be kept and can be removed.
        """
        load_cv2()
        remedy = "choose another --overlay"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            strange = next(foreign_pictures(self._folder), None)
            held = own_pictures(self._folder) if self._keep or self._max_bytes else []
        except OSError as error:
            where = error.filename or self._folder
            raise OutputError(f"cannot use the folder {where}: {system_reason(error)}; {remedy}") from error
        if strange is not None:
            raise OutputError(f"{self._folder} holds images that regad-run did not write ({strange.name}); {remedy}")
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise OutputError(f"cannot write into {self._folder}: it is read-only; {remedy}")
        self._held.extend(held)
        self._bytes = sum(size for _, size in held)
        self._prune()

    def write(self, verdict: Verdict) -> bool:
        """Write the picture; always True (go on). Raises OutputError, and leaves no half-written picture."""
        frame, result = verdict.frame, verdict.result
        if result is None or frame.image is None or (self._only_anomalous and not result.anomalous):
            return True
        name = safe_name(frame.name or f"frame_{frame.index:06d}.jpg")
        picture = encode(render(frame.image, result, PurePath(name).with_suffix("").as_posix()), PurePath(name).suffix)
        path = self._place(name)
        atomic_write(path, picture, sync=False)
        if self._keep or self._max_bytes:
            self._hold(path, len(picture))
        return True

    def _place(self, name: str) -> Path:
        return next(path for path in self._places(PurePath(name)) if not os.path.lexists(path))

    def _places(self, name: PurePath) -> Iterator[Path]:
        """Where a picture may go, in order of preference."""
        folder = self._folder / name.parent
        if self._still:
            yield folder / name.name
        yield folder / f"{self._stamp}_{name.name}"
        number = 2
        while True:
            yield folder / f"{self._stamp}_{name.stem}_{number}{name.suffix}"
            number += 1

    def _hold(self, path: Path, size: int) -> None:
        """Count a picture, which is not lost where older ones cannot be removed."""
        self._held.append((path, size))
        self._bytes += size
        try:
            self._prune()
        except OutputError as error:
            self._say(str(error))
            self._say = unsaid

    def _prune(self) -> None:
        """Remove the oldest pictures beyond the bound; the newest stays in any case. Raises OutputError."""
        while len(self._held) > 1 and (
            (self._keep and len(self._held) > self._keep) or (self._max_bytes and self._bytes > self._max_bytes)
        ):
            oldest, size = self._held[0]
            remove_own(oldest)
            self._held.popleft()
            self._bytes -= size


def safe_name(name: str) -> str:
    """Turn any text into a short relative path: no way up, no control characters, no part that a file system refuses.

    What is cut off or replaced is stood in for by a hash, so that two names stay two.
    """
    path = PurePath(name)
    parts = [part for part in path.parts if part not in ("/", "\\", "..", ".")] or ["picture"]
    suffix = PurePath(parts[-1]).suffix.lower()
    if suffix not in (".png", ".jpg"):
        suffix = ".png"
        parts[-1] += suffix
    stems = [*parts[:-1], parts[-1][: -len(suffix)]]
    return "/".join(_safe_part(stem) for stem in stems) + suffix


def _safe_part(text: str) -> str:
    clean = "".join(c if c.isprintable() and c not in '\\/:*?"<>|' else "_" for c in text)
    data = clean.encode("utf-8", "replace")
    if clean == text and len(data) <= _LONGEST:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{data[: _LONGEST - 9].decode('utf-8', 'ignore')}-{digest}"
