"""The categories of a folder, made ready on one model: those used last, within a bound in bytes."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..errors import CategoryError, RegadError
from ..formats.category import load_category
from ..model import Model, Part
from ..text import Say, reason_of, shown, system_reason, unsaid

__all__ = ["SUFFIX", "Shelf", "Watch"]

SUFFIX = ".safetensors"
_NAMED = 10  # names in a message


class _Stamp(NamedTuple):
    """What tells one file from the one that took its place."""

    inode: int
    size: int
    mtime_ns: int


class _Ready(NamedTuple):
    part: Part
    stamp: _Stamp


class Shelf:
    """Gives the `Part` of a category by the name of its file, ``NAME.safetensors`` in a folder.

    Parts that were not used for longest make room for others: their files together have at most ``limit`` bytes, which
    is what they take in memory. A part that is at work, or is being replaced, stays until that has ended. `scan` looks
    at the folder: what was replaced is read, checked by its hashes and made ready before it takes the place of the one
    before, which stays if that fails; what was removed is let go. Usable from several threads; a part that is ready is
    never waited for.
    """

    def __init__(self, model: Model, folder: Path, limit: int, say: Say = unsaid) -> None:
        self.limit = limit
        self._model = model
        self._folder = folder
        self.say = say
        self._lock = threading.Lock()  # held for moments
        self._changing = threading.RLock()  # held while a category is read
        self._found: dict[str, _Stamp] = {}
        self._ready: OrderedDict[str, _Ready] = OrderedDict()
        self._refused: dict[str, tuple[_Stamp, CategoryError]] = {}
        self.scan()

    @property
    def names(self) -> Sequence[str]:
        """The categories that the folder held at the last look, in the order of their names."""
        return sorted(self._found)

    @property
    def ready(self) -> Sequence[str]:
        """Those in memory, the one used last at the end."""
        with self._lock:
            return list(self._ready)

    @property
    def nbytes(self) -> int:
        """Bytes of those in memory."""
        with self._lock:
            return sum(one.stamp.size for one in self._ready.values())

    def size(self, name: str) -> int:
        """Bytes of a category. Raises CategoryError where there is none of that name."""
        return self._stamp(name).size

    def get(self, name: str) -> Part:
        """Return a category's part; one that is not in memory is read. Raises CategoryError, DeviceError."""
        part = self._take(name)
        if part is not None:
            return part
        with self._changing:
            part = self._take(name)  # another thread may have been at it
            return self._load(name, self._stamp(name, afresh=True)) if part is None else part

    def fill(self) -> None:
        """Read categories, in the order of their names, while they find room; what cannot be used is said."""
        for name in self.names:
            if self.nbytes + self.size(name) > self.limit:
                return
            try:
                self.get(name)
            except RegadError as error:
                self.say(f"category {name} is not served: {error}")

    def scan(self) -> None:
        """Look at the folder, and take over what has changed. What goes wrong is said."""
        try:
            found = self._look()
        except OSError as error:
            self.say(f"{self._folder} cannot be read ({system_reason(error)}); what was read before stays in use")
            return
        with self._changing:
            with self._lock:
                self._found = found
                for name in self._ready.keys() - found.keys():
                    del self._ready[name]
                    self.say(f"category {name} was removed")
                old = [name for name, one in self._ready.items() if one.stamp != found[name]]
            for name in old:
                self._replace(name, found[name])

    def _replace(self, name: str, stamp: _Stamp) -> None:
        if name in self._refused and self._refused[name][0] == stamp:
            return
        try:
            part = self._load(name, stamp)
        except RegadError as error:
            self.say(f"category {name} is not replaced, the previous version stays in use: {error}")
        else:
            self.say(f"category {name} was replaced by {part.category.hash}")

    def _look(self) -> dict[str, _Stamp]:
        found = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIX) and not entry.name.startswith("."):
                    stat = entry.stat()
                    found[entry.name.removesuffix(SUFFIX)] = _Stamp(stat.st_ino, stat.st_size, stat.st_mtime_ns)
        return found

    def _stamp(self, name: str, *, afresh: bool = False) -> _Stamp:
        """What the folder says about a category; it is looked at again ``afresh``, and for a name that is new."""
        if afresh or name not in self._found:
            with suppress(OSError):  # the next scan says it
                self._found = self._look()
        stamp = self._found.get(name)
        if stamp is None:
            names = self.names
            known = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
            raise CategoryError(f"there is no category {shown(name)!r}; expected one of: {known or 'none is there'}")
        return stamp

    def _take(self, name: str) -> Part | None:
        with self._lock:
            one = self._ready.get(name)
            if one is None:
                return None
            self._ready.move_to_end(name)
            return one.part

    def _load(self, name: str, stamp: _Stamp) -> Part:
        """Read a category, with room made for it first; a refusal is remembered for as long as the file stays."""
        if name in self._refused and self._refused[name][0] == stamp:
            raise self._refused[name][1]
        if stamp.size > self.limit:
            raise CategoryError(
                f"category {name} takes {stamp.size / 1e6:.0f} MB, and all of them may take {self.limit / 1e6:.0f} MB",
                remedy="raise the bound: regad-triton --memory-mb",
            )
        self._make_room(stamp.size, name)
        try:
            part = self._model.part(load_category(self._folder / f"{name}{SUFFIX}", self._model.info.hash))
        except CategoryError as error:
            self._refused[name] = (stamp, error)
            raise
        self._refused.pop(name, None)
        with self._lock:
            self._ready[name] = _Ready(part, stamp)
            self._ready.move_to_end(name)
        return part

    def _make_room(self, size: int, name: str) -> None:
        """Let go of those not used for longest, but for ``name``, which is replaced only when the new one is there."""
        with self._lock:
            others = {other: one.stamp.size for other, one in self._ready.items() if other != name}
            total = sum(others.values())
            for other, freed in others.items():
                if total + size <= self.limit:
                    return
                del self._ready[other]
                total -= freed
                self.say(f"category {other} made room for {name}")


class Watch:
    """Scans a shelf's folder every ``seconds`` in a thread, until it is closed."""

    def __init__(self, shelf: Shelf, seconds: float) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(shelf, seconds), name="regad-watch", daemon=True)
        self._thread.start()

    def _run(self, shelf: Shelf, seconds: float) -> None:
        while not self._end.wait(seconds):
            _look(shelf)

    def close(self) -> None:
        """End it; waits for a look that is under way."""
        self._end.set()
        self._thread.join()


def _look(shelf: Shelf) -> None:
    """Scan; whatever fails is said, for memory may be short this time, and no look must be the last."""
    try:
        shelf.scan()
    except Exception as error:
        shelf.say(f"the categories could not be checked: {reason_of(error)}")
