"""The jobs: numbers that stand for category files, each pinned by its sha256, and made ready beforehand."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from ..detector import Detector
from ..errors import CategoryError, RegadError
from ..formats.category import Category, load_category
from ..model import Model
from ..text import shown
from .codes import Fault
from .effects import Load, Rebuild
from .events import Event, Gone, JobFailed, JobReady, Raised
from .judge import Pinned
from .part import Job
from .worker import Clock, Failed, Worker

__all__ = ["JobError", "JobSpec", "Jobs", "JobsThread", "load_job_category", "sha256_of"]

_CHECK_NS = 5_000_000_000
_BLOCK = 1 << 20


@dataclass(frozen=True)
class JobSpec:
    """A row of the job table. ``threshold`` and ``warn`` replace the category's own."""

    number: int
    name: str
    path: Path
    sha256: str
    deadline_ns: int | None = None
    threshold: float | None = None
    warn: float | None = None


class JobError(RegadError):
    """A job cannot judge; ``fault`` is CATEGORY or UNKNOWN_JOB."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def load_job_category(path: Path, artifact: str | None = None) -> Category:
    """Read a category that the station can judge by. Raises CategoryError as `load_category`, or if it registers."""
    category = load_category(path, artifact)
    if category.registration is not None:
        raise CategoryError(
            f"{path} registers the part; the trace keeps the encoder's input, which cannot be registered again",
            remedy="teach the part without: regad-calib --register off",
        )
    return category


def _identity(path: Path) -> tuple[int, ...]:
    """What changes with a file's content, without reading it. Raises OSError."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class Jobs:
    """The job table on one model. Any thread may ask; `open`, `rebuild` and `close` are for one at a time."""

    def __init__(
        self,
        open_model: Callable[[], Model],
        specs: Sequence[JobSpec],
        loaded: Callable[[int, Category, Path, str], None] | None = None,
    ) -> None:
        """``loaded`` is told of each category that comes into use: job number, category, file, pin."""
        self._open_model = open_model
        self._specs = {spec.number: spec for spec in specs}
        self._loaded = loaded
        self._lock = threading.Lock()
        self._model: Model | None = None
        self._ready: dict[int, Pinned] = {}
        self._identities: dict[int, tuple[int, ...]] = {}
        self._errors: dict[int, str] = {}

    @property
    def opened(self) -> bool:
        """Whether there is a model to judge by."""
        return self._model is not None

    @property
    def errors(self) -> dict[int, str]:
        """The jobs that could not be made ready, by number, and why."""
        return dict(self._errors)

    def open(self) -> Model:
        """Open the model and make every job ready that can be. Raises ArtifactError and DeviceError for the model."""
        model = self._open_model()
        with self._lock:
            self._model = model
            self._ready.clear()
            self._errors.clear()
        for number in self._specs:
            self._try(number)
        return model

    def _try(self, number: int) -> None:
        try:
            self.take(number)
        except JobError as error:
            self._errors[number] = error.message

    def close(self) -> None:
        """Close the model, after the judgement under way."""
        with self._lock:
            model, self._model = self._model, None
            self._ready.clear()
        if model is not None:
            model.close()

    def rebuild(self) -> None:
        """Open the model again; the old one is let go without waiting for what may hang in it. Raises as `open`."""
        with self._lock:
            old, self._model = self._model, None
            self._ready.clear()
        if old is not None:
            threading.Thread(target=old.close, name="regad model close", daemon=True).start()
        self.open()

    def pinned(self, job: Job) -> Pinned:
        """Return the detector of a job that was taken. Raises KeyError where it is not ready any more."""
        found = self._ready[job.number]
        if found.job.pin != job.pin:
            raise KeyError(f"job {job.number} has another category by now")
        return found

    def take(self, number: int) -> Pinned:
        """Return a job ready to judge, after a look at its file. Raises JobError."""
        spec = self._specs.get(number)
        if spec is None:
            known = ", ".join(map(str, sorted(self._specs))) or "none"
            raise JobError(Fault.UNKNOWN_JOB, f"there is no job {number}; the station has: {known}")
        try:
            ready = self._ready.get(number)
            if ready is not None and _identity(spec.path) == self._identities[number]:
                return ready
            self._ready.pop(number, None)
            return self._make(spec)
        except OSError as error:
            raise JobError(Fault.CATEGORY, f"{_where(spec)} cannot be read: {error.strerror or error}") from error
        except JobError:
            raise
        except RegadError as error:
            raise JobError(Fault.CATEGORY, f"{_where(spec)} cannot be used: {error}") from error

    def check(self, number: int) -> None:
        """Look whether a job's file is still the pinned one. Raises JobError. Costs a stat unless it was written."""
        spec = self._specs[number]
        try:
            identity = _identity(spec.path)
            if identity != self._identities.get(number):
                _require_pin(spec)
                self._identities[number] = identity
        except OSError as error:
            raise JobError(Fault.CATEGORY, f"{_where(spec)} cannot be read: {error.strerror or error}") from error

    def _make(self, spec: JobSpec) -> Pinned:
        with self._lock:
            model = self._model
        if model is None:
            raise JobError(Fault.CATEGORY, f"{_where(spec)} cannot be made ready: the model is not open")
        identity = _identity(spec.path)
        _require_pin(spec)
        category = _adjusted(load_job_category(spec.path, model.info.hash), spec)
        if _identity(spec.path) != identity:
            raise JobError(Fault.CATEGORY, f"{_where(spec)} was written while it was read; set the job again")
        detector = Detector(model)
        detector.use(category)
        job = Job(spec.number, spec.name, spec.sha256, spec.deadline_ns)
        made = Pinned(job, detector, category.spec, category.limits, category.hash)
        with self._lock:
            self._ready[spec.number] = made
            self._identities[spec.number] = identity
        if self._loaded is not None:
            self._loaded(spec.number, category, spec.path, spec.sha256)
        return made


def _where(spec: JobSpec) -> str:
    return f"job {spec.number}: {shown(os.fspath(spec.path))}"


def _require_pin(spec: JobSpec) -> None:
    found = sha256_of(spec.path)
    if found != spec.sha256:
        raise JobError(
            Fault.CATEGORY,
            f"{_where(spec)} has sha256 {found[:12]}..., pinned is {spec.sha256[:12]}...: put the taught file back, or "
            "pin the new one in station.toml",
        )


def _adjusted(category: Category, spec: JobSpec) -> Category:
    threshold = category.threshold
    if spec.threshold is not None:
        threshold = threshold.by_hand(spec.threshold)
    if spec.warn is not None:
        threshold = threshold.with_warn(spec.warn)
    return replace(category, threshold=threshold)


class JobsThread(Worker):
    """Does what takes its time: makes jobs ready, opens the backend again, looks at the files of the job in force."""

    def __init__(
        self, jobs: Jobs, post: Callable[[Event], None], failed: Failed, clock: Clock = time.monotonic_ns
    ) -> None:
        super().__init__("jobs", clock, failed)
        self._jobs = jobs
        self._post = post
        self._inbox: SimpleQueue[Any] = SimpleQueue()
        self._active: int | None = None
        self._checked_ns = clock()

    def submit(self, effect: Load | Rebuild) -> None:
        """Ask for a job, or for the backend to be opened again; called in the I/O thread."""
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
        self._active, self._checked_ns = number, self.clock()
        self._post(JobReady(pinned.job))

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
