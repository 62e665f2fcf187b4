"""A hold: the station is not READY until somebody releases it, also over a restart.

The desk holds it where a challenge is due or was not passed. The hold is a file in the trace's folder, written before
it takes effect: a station that starts with one starts held, whether its desk runs or not. A hold is one job's, or the
station's own, and has an id. Who releases it names the job, and the id where there is one to name: a release that was
meant for another hold must not lift this one. The hold of another job takes a job's place, since one job is in force at
a time; the station's own stays beside it, and comes first.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from ..errors import InputError, OutputError
from ..formats.atomic import atomic_write
from ..text import shown, system_reason
from .events import Event, Held, Released
from .request_fields import fields_of
from .trace.entries import Audit, Remark

__all__ = ["FILE_NAME", "Holding"]

FILE_NAME: Final = "hold.json"
_MOST = 100_000  # bytes

_Who = Annotated[str, Meta(min_length=1, max_length=64)]
_Reason = Annotated[str, Meta(min_length=1, max_length=500)]
_Job = Annotated[int, Meta(ge=0, le=65_535)]
_Id = Annotated[str, Meta(min_length=1, max_length=64)]


def _new_id() -> str:
    return secrets.token_hex(8)  # neither a clock nor a count: both may run back over a restart


class _Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``job`` is the one whose hold it is, 0 for the station's."""

    by: _Who
    reason: _Reason
    job: _Job = 0


class _Hold(_Wanted, frozen=True, kw_only=True):
    """A hold as the file keeps it; ``id`` tells it from every other one. An older file has none, and gets one."""

    id: _Id = msgspec.field(default_factory=_new_id)

    def repeats(self, other: _Hold) -> bool:
        """Whether it says again what ``other`` says."""
        return (self.by, self.reason, self.job) == (other.by, other.reason, other.job)


class _Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    by: _Who
    job: _Job
    hold_id: _Id | None = None


_Holds = tuple[_Hold, ...]
"""The station's own, then that of a job."""
_Stored = _Hold | Annotated[list[_Hold], Meta(min_length=2, max_length=2)]


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
        self._lock = threading.Lock()  # never held while the disk is waited for
        self._file = threading.RLock()
        self._holds: _Holds = ()
        self.handlers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "hold": self._hold,
            "release": self._release,
        }

    def restore(self) -> None:
        """At the start of the line: take up the hold that it ended with. One that cannot be read is a hold, too."""
        try:
            holds = self._read()
        except InputError as error:
            holds = [_Hold(by="station", reason=error.message[:500])]
        with self._lock:
            for held in holds:
                self._take(held)

    def begin(self, job: int, reason: str) -> None:
        """Hold the station for a job that is about to come into force.

        Raises OutputError where a restart would forget it; the station is held all the same.
        """
        told = _Hold(by="station", reason=reason, job=job)
        with self._lock:
            self._take(told)
        with self._file:
            if told in self._holds:  # else it was released, or another one came, before this thread's turn
                self._write(self._holds)

    @property
    def state(self) -> dict[str, Any] | None:
        """For which job the station is held, why, and the hold's id: of the one that comes first; None without any."""
        first = next(iter(self._holds), None)
        return None if first is None else {"job": first.job, "reason": first.reason, "id": first.id}

    def _take(self, held: _Hold) -> None:
        beside = [one for one in self._holds if (one.job == 0) != (held.job == 0)]
        self._holds = tuple(sorted((held, *beside), key=lambda one: one.job))
        self._post(Held(self._holds[0].reason))

    def _hold(self, request: dict[str, Any]) -> dict[str, Any]:
        told = _Hold(**msgspec.structs.asdict(fields_of(_Wanted, request)))
        with self._file:
            with self._lock:
                told = next(filter(told.repeats, self._holds), told)  # asked again, as after an answer that was lost
                self._take(told)  # whatever the disk says: a refusal means that a restart would forget it
            self._write(self._holds)
        self._note(Audit(by=told.by, at=self._wall(), action="hold", before=_named(told.job), after=told.reason))
        return {"hold_id": told.id}

    def _release(self, request: dict[str, Any]) -> dict[str, Any]:
        told = fields_of(_Release, request)
        with self._file:
            held = self._meant(told)
            self._write(tuple(one for one in self._holds if one is not held))
            with self._lock:
                if self._holds and held not in self._holds:
                    raise _another(self._holds[-1], "began meanwhile")
                self._holds = tuple(one for one in self._holds if one is not held)
                self._post(Held(self._holds[0].reason) if self._holds else Released())
        before = "" if held is None else f"{_named(held.job)}: {held.reason}"
        self._note(Audit(by=told.by, at=self._wall(), action="release", before=before))
        return {}

    def _meant(self, told: _Release) -> _Hold | None:
        """The hold that is to be released; None where the station is not held. Raises InputError for another one."""
        for held in self._holds:
            if held.job == told.job:
                if told.hold_id not in (None, held.id):
                    raise _another(held, "has come since")
                return held
        for held in self._holds:
            raise InputError(
                f"the hold is that of {_named(held.job)}, not of {_named(told.job)}: {held.reason}", code="other"
            )
        return None

    def _write(self, holds: _Holds) -> None:
        """Write them down: one as it is, two as a list, which no program takes for none. Raises OutputError."""
        if holds:
            atomic_write(self._path, msgspec.json.encode(holds if len(holds) > 1 else holds[0]) + b"\n")
            return
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{shown(self._path)} cannot be removed ({system_reason(error)})") from error

    def _read(self) -> list[_Hold]:
        try:
            with self._path.open("rb") as file:
                found = msgspec.json.decode(file.read(_MOST), type=_Stored)
            return found if isinstance(found, list) else [found]
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise InputError(
                f"{shown(self._path)} says that the station is held, and cannot be read ({error})"
            ) from error


def _another(held: _Hold, how: str) -> InputError:
    return InputError(
        f"another hold {how}, for {_named(held.job)}: {held.reason}; look at it, and release that one", code="other"
    )


def _named(job: int) -> str:
    return f"job {job}" if job else "the station"
