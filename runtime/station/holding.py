"""A hold: the station is not READY until somebody releases it, also over a restart.

The desk holds it where a challenge is due or was not passed. The hold is a file in the trace's folder, written before
it takes effect: a station that starts with one starts held, whether its desk runs or not. A hold is one job's, and has
an id of its own. Who releases it names the job, and the id where there is one to name: a release that was meant for
another hold must not lift this one.
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
        self._held: _Hold | None = None
        self.handlers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "hold": self._hold,
            "release": self._release,
        }

    def restore(self) -> None:
        """At the start of the line: take up the hold that it ended with. One that cannot be read is a hold, too."""
        try:
            held = self._read()
        except InputError as error:
            held = _Hold(by="station", reason=error.message[:500])
        if held is not None:
            with self._lock:
                self._take(held)

    def begin(self, job: int, reason: str) -> None:
        """Hold the station for a job that is about to come into force.

        Raises OutputError where a restart would forget it; the station is held all the same.
        """
        told = _Hold(by="station", reason=reason, job=job)
        with self._lock:
            self._take(told)
        with self._file:
            if self._held is told:  # else it was released, or another one came, before this thread's turn
                atomic_write(self._path, msgspec.json.encode(told) + b"\n")

    @property
    def state(self) -> dict[str, Any] | None:
        """For which job the station is held, why, and the hold's id; None where it is not held."""
        held = self._held
        return None if held is None else {"job": held.job, "reason": held.reason, "id": held.id}

    def _take(self, held: _Hold) -> None:
        self._held = held
        self._post(Held(held.reason))

    def _hold(self, request: dict[str, Any]) -> dict[str, Any]:
        told = _Hold(**msgspec.structs.asdict(fields_of(_Wanted, request)))
        with self._file:
            with self._lock:
                held = self._held
                if held is not None and told.repeats(held):  # asked again, as after an answer that was lost
                    told = held
                self._take(told)  # whatever the disk says: a refusal means that a restart would forget it
            atomic_write(self._path, msgspec.json.encode(told) + b"\n")
        self._note(Audit(by=told.by, at=self._wall(), action="hold", before=_named(told.job), after=told.reason))
        return {"hold_id": told.id}

    def _release(self, request: dict[str, Any]) -> dict[str, Any]:
        told = fields_of(_Release, request)
        with self._file:
            held = self._meant(told)
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(f"{shown(self._path)} cannot be removed ({system_reason(error)})") from error
            with self._lock:
                if self._held is not held:
                    raise _another(self._held, "began meanwhile")
                self._held = None
                self._post(Released())
        before = "" if held is None else f"{_named(held.job)}: {held.reason}"
        self._note(Audit(by=told.by, at=self._wall(), action="release", before=before))
        return {}

    def _meant(self, told: _Release) -> _Hold | None:
        """The hold, if there is one. Raises InputError where it is not the one that is to be released."""
        held = self._held
        if held is not None and held.job != told.job:
            raise InputError(
                f"the hold is that of {_named(held.job)}, not of {_named(told.job)}: {held.reason}", code="other"
            )
        if held is not None and told.hold_id not in (None, held.id):
            raise _another(held, "has come since")
        return held

    def _read(self) -> _Hold | None:
        try:
            with self._path.open("rb") as file:
                return msgspec.json.decode(file.read(_MOST), type=_Hold)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise InputError(
                f"{shown(self._path)} says that the station is held, and cannot be read ({error})"
            ) from error


def _another(held: _Hold | None, how: str) -> InputError:
    reason = "" if held is None else f", for {_named(held.job)}: {held.reason}"
    return InputError(f"another hold {how}{reason}; look at it, and release that one", code="other")


def _named(job: int) -> str:
    return f"job {job}" if job else "the station"
