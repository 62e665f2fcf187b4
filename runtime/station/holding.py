"""A hold: the station is not READY until somebody releases it, also over a restart.

The desk holds it where a challenge is due or was not passed. The hold is a file in the trace's folder, written before
it takes effect: a station that starts with one starts held, whether its desk runs or not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from ..errors import InputError, OutputError
from ..formats.atomic import atomic_write
from ..text import shown, system_reason
from .events import Event, Held, Released
from .trace.entries import Audit, Remark

__all__ = ["FILE_NAME", "Holding"]

FILE_NAME: Final = "hold.json"
_MOST = 100_000  # bytes

_Who = Annotated[str, Meta(min_length=1, max_length=64)]
_Reason = Annotated[str, Meta(min_length=1, max_length=500)]


class _Hold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    by: _Who
    reason: _Reason


class _Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    by: _Who


_S = TypeVar("_S", _Hold, _Release)


class Holding:
    """Answers the commands ``hold`` and ``release``; from any thread. ``folder`` is the trace's.

    ``post`` takes the events for the machine, ``note`` the audits for the trace.
    """

    def __init__(
        self,
        folder: Path,
        post: Callable[[Event], None],
        note: Callable[[Remark], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._path = folder / FILE_NAME
        self._post, self._note, self._wall = post, note, wall
        self.handlers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "hold": self._hold,
            "release": self._release,
        }

    def restore(self) -> None:
        """At the start of the line: take up the hold that it ended with. One that cannot be read is a hold, too."""
        try:
            reason = self._read()
        except InputError as error:
            reason = str(error)
        if reason:
            self._post(Held(reason))

    @property
    def reason(self) -> str:
        """Why the station is held, "" where it is not. Raises InputError for a file that cannot be used."""
        return self._read()

    def _hold(self, request: dict[str, Any]) -> dict[str, Any]:
        told = _told(_Hold, request)
        self._post(Held(told.reason))  # whatever the disk says: a refusal means that a restart would forget it
        atomic_write(self._path, msgspec.json.encode(told) + b"\n")
        self._note(Audit(by=told.by, at=self._wall(), action="hold", after=told.reason))
        return {}

    def _release(self, request: dict[str, Any]) -> dict[str, Any]:
        told = _told(_Release, request)
        try:
            before = self._read()
        except InputError as error:
            before = str(error)
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{shown(self._path)} cannot be removed ({system_reason(error)})") from error
        self._post(Released())
        self._note(Audit(by=told.by, at=self._wall(), action="release", before=before))
        return {}

    def _read(self) -> str:
        try:
            with self._path.open("rb") as file:
                return msgspec.json.decode(file.read(_MOST), type=_Hold).reason
        except FileNotFoundError:
            return ""
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise InputError(
                f"{shown(self._path)} says that the station is held, and cannot be read ({error})"
            ) from error


def _told(kind: type[_S], request: dict[str, Any]) -> _S:
    given = {name: value for name, value in request.items() if name not in ("command", "id")}
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{request['command']} is wrong: {error}") from error
