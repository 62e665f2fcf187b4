"""Which jobs begin held: those whose challenge must be passed before their first part is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from ..errors import OutputError
from ..formats.atomic import atomic_write
from .job_spec import JobSpec

__all__ = ["FILE_NAME", "FirstParts"]

FILE_NAME: Final = "versions.json"
_MOST = 10_000_000  # bytes


class FirstParts:
    """Told of each job that was made ready; calls ``hold`` with its number and why, where it begins held.

    A job with ``challenge_at_start`` does so each time that it is set in place of another one, and every job that is
    challenged when it comes back with another version, also after a restart: ``folder``, the trace's, keeps which
    versions were in force, of every job, since one that is not challenged may be from its next version on. ``table``
    gives the jobs as they are now, ``spec`` one of them.
    """

    def __init__(
        self,
        folder: Path,
        table: Callable[[], Iterable[JobSpec]],
        spec: Callable[[int], JobSpec | None],
        hold: Callable[[int, str], None],
    ) -> None:
        self._path = folder / FILE_NAME
        self._table, self._spec, self._hold = table, spec, hold
        self._number = 0
        self._seen: dict[int, str] = {}

    def begin(self) -> None:
        """The job table is there. What a job was first seen with is no other version. Raises OutputError."""
        numbers = [job.number for job in self._table()]
        known = self._read(numbers)
        self._seen = {number: known.get(number, self._version(number)) for number in numbers}
        if self._seen != known:
            self._write()

    def load(self, number: int) -> None:
        """A job is ready, and comes into force after this. Raises OutputError, and what ``hold`` raises."""
        before, self._number = self._number, number
        spec = self._spec(number)
        if spec is None:
            return
        seen, version = self._seen.get(number), self._version(number)
        self._seen[number] = version
        if spec.challenged and seen not in (None, version):  # None: it was added since the start, and is the first one
            self._hold(number, f"job {number} has another version: show its good and its bad part at the page")
        elif number != before and spec.challenge_at_start:
            self._hold(number, f"job {number} begins with a challenge: show its good and its bad part at the page")
        if seen != version:
            self._write()  # last: as long as it is not there, a restart holds the station

    @property
    def state(self) -> dict[str, Any]:
        """The job that was made ready last, 0 for none, and what tells its version from others."""
        return {"number": self._number, "version": self._version(self._number)}

    def _version(self, number: int) -> str:
        spec = self._spec(number)
        return "" if spec is None else f"{spec.sha256} {spec.threshold} {spec.warn}"

    def _read(self, numbers: Iterable[int]) -> dict[int, str]:
        """The versions that were in force, of every job another one where that cannot be known any more."""
        try:
            with self._path.open("rb") as file:
                return msgspec.json.decode(file.read(_MOST), type=dict[int, str])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
            return dict.fromkeys(numbers, "unknown")

    def _write(self) -> None:
        try:
            atomic_write(self._path, msgspec.json.encode(self._seen) + b"\n")
        except OutputError as error:
            raise OutputError(f"after a restart it is not known which versions were challenged: {error}") from error
