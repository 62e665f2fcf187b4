"""The thread that does what takes its time: jobs made ready, versions installed, the backend opened again."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from ..errors import OutputError, RegadError
from ..text import reason_of
from .codes import Fault
from .effects import Load, Rebuild
from .events import Event, Gone, JobFailed, JobReady, JobRenewed, Raised
from .installed import Wish
from .job_spec import JobError
from .jobs import Jobs
from .worker import Clock, Failed, Worker

__all__ = ["JobsThread"]

_CHECK_NS = 5_000_000_000


class JobsThread(Worker):
    """Makes jobs ready, installs versions, opens the backend again, and looks at the file of the job in force.

    ``begins`` is told of each job that is ready, before the machine is: no version can be installed in between.
    """

    def __init__(
        self,
        jobs: Jobs,
        post: Callable[[Event], None],
        failed: Failed,
        clock: Clock = time.monotonic_ns,
        begins: Callable[[int], None] = lambda number: None,
    ) -> None:
        super().__init__("jobs", clock, failed)
        self._jobs = jobs
        self._post, self._begins = post, begins
        self._inbox: SimpleQueue[Load | Rebuild | Wish | None] = SimpleQueue()
        self._active: int | None = None
        self._checked_ns = clock()

    def submit(self, effect: Load | Rebuild | Wish) -> None:
        """Ask for a job, for the backend to be opened again, or for a version to be installed; from any thread."""
        self._inbox.put(effect)

    def step(self, timeout: float) -> None:
        """Do the next thing that was asked for, or look at the file of the job in force."""
        try:
            effect = self._inbox.get(timeout=timeout) if timeout else self._inbox.get_nowait()
        except Empty:
            self._look()
            return
        if isinstance(effect, Load):
            self._load(effect.number)
        elif isinstance(effect, Rebuild):
            self._rebuild()
        elif isinstance(effect, Wish):
            self._install(effect)

    def _wake(self) -> None:
        self._inbox.put(None)

    def _load(self, number: int) -> None:
        if not self._jobs.opened:
            self._active = number  # `_rebuild` makes it ready
            return
        self._active = None
        try:
            pinned = self._jobs.take(number)
        except JobError as error:
            self._post(JobFailed(number, error.fault, error.message))
            return
        except Exception as error:  # the device may fail in its own way
            self._post(JobFailed(number, Fault.CATEGORY, f"job {number} cannot be made ready: {reason_of(error)}"))
            return
        self._begins(number)
        self._active, self._checked_ns = number, self.clock()
        self._post(JobReady(pinned.job))

    def _install(self, wish: Wish) -> None:
        try:
            before, after, category = self._jobs.install(wish)
        except RegadError as error:
            wish.receipt(error)
            return
        except Exception as error:  # the device may fail in its own way; the caller gets the error
            wish.receipt(OutputError(f"job {wish.job} keeps its category: {reason_of(error)}"))
            return
        self._post(JobRenewed(wish.job))
        wish.receipt((before, after, category))

    def _rebuild(self) -> None:
        try:
            self._jobs.rebuild()
        except Exception as error:  # the device is gone, and says so in its own way
            self._post(Raised(Fault.JUDGE, f"the backend cannot be opened again: {error}"))
            return
        active = self._active
        if active is not None:
            self._load(active)
        self._post(Gone(Fault.JUDGE))

    def _look(self) -> None:
        if self._active is None or self.clock() - self._checked_ns < _CHECK_NS:
            return
        self._checked_ns = self.clock()
        number, self._active = self._active, None
        try:
            self._jobs.check(number)
        except JobError as error:
            self._post(JobFailed(number, error.fault, error.message))
        else:
            self._active = number
