"""How far a receiver has been told: a place in the trace, kept in a file that is whole or the one before."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec

from ...errors import InputError
from ...formats.atomic import atomic_write
from ...text import shown, system_reason

__all__ = ["Cursor", "Place"]

_EVERY = 1.0  # seconds between writes: what was sent since the last one is sent again after a power cut
_MOST = 4096  # bytes of the file


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last row that was told, 0 for none, of the trace of that name (`Heads.trace`)."""

    trace: str
    row: Annotated[int, msgspec.Meta(ge=0)]


class Cursor:
    """A `Place` in the file ``path``. By one thread. `place` is None where there was no file."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file. Raises InputError for one that cannot be read or is damaged."""
        self._path, self._clock = path, clock
        self._written_at = clock() - _EVERY
        self.place = self._written = self._read()

    def move(self, place: Place) -> None:
        """Note a place; it is in the file within a second, or after `save`. Raises OutputError."""
        self.place = place
        if self._clock() - self._written_at >= _EVERY:
            self.save()

    def save(self) -> None:
        """Write the file, if there is something new. Raises OutputError."""
        if self.place is None or self.place == self._written:
            return
        atomic_write(self._path, msgspec.json.encode(self.place))
        self._written, self._written_at = self.place, self._clock()

    def _read(self) -> Place | None:
        remedy = "delete it to begin at the newest part"
        try:
            with self._path.open("rb") as file:
                return msgspec.json.decode(file.read(_MOST), type=Place)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f"{shown(self._path)} cannot be read ({system_reason(error)}); {remedy}") from error
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InputError(f"{shown(self._path)} is no place in the trace ({error}); {remedy}") from error
