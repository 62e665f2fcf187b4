"""Which jobs begin held: those whose challenge must be passed before their first part is judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .config_job import JobConfig
from .job_spec import JobSpec

__all__ = ["FirstParts"]


class FirstParts:
    """Told of each job that is to be made ready; calls ``hold`` with its number and why, where it begins held.

    A job with ``challenge_at_start`` does so each time that it is set in place of another one, and every job that is
    challenged when it comes back with another version. ``spec`` gives a job as it is now.
    """

    def __init__(
        self, jobs: Sequence[JobConfig], spec: Callable[[int], JobSpec | None], hold: Callable[[int, str], None]
    ) -> None:
        self._at_start = {job.number for job in jobs if job.challenge_at_start}
        self._challenged = {job.number for job in jobs if job.challenged}
        self._spec, self._hold = spec, hold
        self._number = 0
        self._seen: dict[int, JobSpec | None] = {}

    def begin(self) -> None:
        """The job table is there: what its jobs are judged by from now on is no other version."""
        self._seen = {number: self._spec(number) for number in self._challenged}

    def load(self, number: int) -> None:
        """A job is to be made ready. This comes before it is."""
        before, self._number = self._number, number
        if number not in self._challenged:
            return
        spec = self._spec(number)
        other_version = self._seen.get(number) != spec
        self._seen[number] = spec
        if other_version:
            self._hold(number, f"job {number} has another version: show its good and its bad part at the page")
        elif number != before and number in self._at_start:
            self._hold(number, f"job {number} begins with a challenge: show its good and its bad part at the page")

    @property
    def state(self) -> dict[str, Any]:
        """The job that was asked for last, 0 for none, and what tells its version from others."""
        spec = self._spec(self._number)
        version = "" if spec is None else f"{spec.sha256} {spec.threshold} {spec.warn}"
        return {"number": self._number, "version": version}
