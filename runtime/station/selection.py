"""Which job is in force, and how it is changed: only between two parts."""

from __future__ import annotations

from .events import JobFailed
from .part import Job

__all__ = ["Selection"]


class Selection:
    """The job in force, the one that is asked for, and what befell either."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self._wanted: int | None = None
        self._loading: int | None = None
        self._broken: JobFailed | None = None

    @property
    def settled(self) -> bool:
        """Whether there is a job in force and nothing is about to change it."""
        return self.job is not None and self._wanted is None and self._loading is None and self._broken is None

    def want(self, number: int) -> None:
        """Another job is asked for; it waits until `change` is called."""
        self._wanted = number

    def renew(self, number: int) -> None:
        """A job has another version: it is asked for again if it is in force and nothing else is asked for."""
        if self._wanted is None and self._loading is None and self.job is not None and self.job.number == number:
            self._wanted = number

    def change(self) -> int | None:
        """No part is in hand: let the job in force go, and return the number of the one to load, if any."""
        if self._wanted is None:
            return None
        self.job, self._broken = None, None
        self._loading, self._wanted = self._wanted, None
        return self._loading

    def loaded(self, job: Job) -> bool:
        """A job is ready; whether it is the one that is waited for, and now in force."""
        if job.number != self._loading:
            return False
        self.job, self._loading = job, None
        return True

    def fail(self, event: JobFailed) -> None:
        """A job cannot judge. The one in force stays until `drop` is called."""
        if event.number == self._loading or (self.job is not None and event.number == self.job.number):
            self._broken = event

    def drop(self) -> JobFailed | None:
        """No part is in hand: let a job that failed go, and return what befell it."""
        broken, self._broken = self._broken, None
        if broken is not None:
            self.job = None
            self._loading = None if broken.number == self._loading else self._loading
        return broken
