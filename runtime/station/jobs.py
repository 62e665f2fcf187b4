"""The jobs on one model: made ready beforehand, held to their pins, and exchanged for other versions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ..detector import Detector
from ..errors import InputError, RegadError
from ..formats.category import Category, load_category
from ..model import Model
from .codes import Fault
from .installed import Installed, Wish, settings_of
from .job_spec import JobError, JobSpec, adjusted, file_identity, require_pin, where
from .judge import Pinned
from .part import Job

__all__ = ["Jobs", "Loaded"]

Loaded = Callable[[JobSpec, Category], None]
"""Is told of each category that comes into use."""


@dataclass(frozen=True, eq=False)
class _Made:
    """A job made ready from ``spec``; ``identity`` is its file's then."""

    spec: JobSpec
    identity: tuple[int, ...]
    pinned: Pinned
    category: Category

    @property
    def bytes(self) -> int:
        """What its statistics take, as they are stored."""
        return sum(tensor.nbytes for tensor in self.category.tensors.values())


class Jobs:
    """The job table on one model. Any thread may ask; `open`, `rebuild`, `install` and `close` are for one at a time.

    A version that is installed lies ready beside the one in force, until `take` exchanges them between two parts.
    """

    def __init__(
        self,
        open_model: Callable[[], Model],
        specs: Sequence[JobSpec],
        loaded: Loaded | None = None,
        installed: Installed | None = None,
        limit: int | None = None,
        require: Callable[[Iterable[JobSpec]], None] = lambda specs: None,
    ) -> None:
        """``specs`` is the table of station.toml; ``installed`` holds the versions that take its rows' place.

        Of all statistics at most ``limit`` bytes stay in memory, besides those of the job in force (None: all).
        ``require`` raises InputError for jobs that the station cannot have: in the table, or to be installed.
        """
        self._open_model = open_model
        self._listed = {spec.number: spec for spec in specs}
        self._specs = dict(self._listed)
        self._loaded = loaded
        self._installed = installed
        self._limit = limit
        self._require = require
        self._lock = threading.Lock()
        self._model: Model | None = None
        self._ready: dict[int, _Made] = {}  # the one taken least lately first
        self._staged: dict[int, _Made] = {}
        self._identities: dict[int, tuple[int, ...]] = {}
        self._errors: dict[int, str] = {}
        self.notes: list[str] = []

    @property
    def opened(self) -> bool:
        """Whether there is a model to judge by."""
        return self._model is not None

    @property
    def errors(self) -> dict[int, str]:
        """The jobs that could not be made ready, by number, and why."""
        return dict(self._errors)

    @property
    def table(self) -> list[JobSpec]:
        """The job table as it is in force, by rising number."""
        return [spec for _, spec in sorted(self._specs.items())]

    def open(self) -> Model:
        """Open the model and make every job ready that can be.

        ``notes`` then says which jobs are not judged as station.toml says. Raises ArtifactError and DeviceError for the
        model, InputError for a list of installed versions that cannot be used, and what ``require`` raises.
        """
        if self._installed is not None:
            found, self.notes = self._installed.applied(list(self._listed.values()))
            self._specs = {spec.number: spec for spec in found}
        self._require(self._specs.values())
        return self._open()

    def _open(self) -> Model:
        model = self._open_model()
        with self._lock:
            self._model = model
            self._ready.clear()
            self._staged.clear()
            self._errors.clear()
        for number, spec in self._specs.items():
            self._try(number, spec)
        return model

    def _try(self, number: int, spec: JobSpec) -> None:
        """Make a job ready; where there is no more room for it, only see that its file is the pinned one."""
        try:
            with _told_of(spec):
                if self._ready and self._limit is not None and self._held() + spec.path.stat().st_size > self._limit:
                    require_pin(spec)
                    return
            self.take(number)
        except JobError as error:
            self._errors[number] = error.message

    def _held(self) -> int:
        return sum(made.bytes for made in (*self._ready.values(), *self._staged.values()))

    def close(self) -> None:
        """Close the model, after the judgement under way."""
        model = self._let_go()
        if model is not None:
            model.close()

    def rebuild(self) -> None:
        """Open the model again; the old one is let go without waiting for what may hang in it. Raises as `open`."""
        old = self._let_go()
        if old is not None:
            threading.Thread(target=old.close, name="regad model close", daemon=True).start()
        self._open()

    def _let_go(self) -> Model | None:
        with self._lock:
            model, self._model = self._model, None
            self._ready.clear()
            self._staged.clear()
        return model

    def pinned(self, job: Job) -> Pinned:
        """Return the detector of a job that was taken. Raises KeyError where it is not ready any more."""
        with self._lock:
            found = self._ready[job.number].pinned
        if found.job.pin != job.pin:
            raise KeyError(f"job {job.number} has another category by now")
        return found

    def take(self, number: int) -> Pinned:
        """Return a job ready to judge, after a look at its file. Raises JobError.

        A version that was installed comes into use here: between two parts, where the machine asks for its job.
        """
        spec = self._specs.get(number)
        if spec is None:
            raise JobError(Fault.UNKNOWN_JOB, self._unknown(number))
        with _told_of(spec):
            ready, staged = self._ready.get(number), self._staged.pop(number, None)
            if ready is not None and ready.spec == spec and file_identity(spec.path) == self._identities[number]:
                self._touch(ready)
                return ready.pinned
            if staged is None or staged.spec != spec or file_identity(spec.path) != staged.identity:
                with self._lock:
                    self._make_room(number, spec.path.stat().st_size)
                staged = self._made(spec)
            self._adopt(staged)
            return staged.pinned

    def check(self, number: int) -> None:
        """Look whether a job's file is still the pinned one. Raises JobError. Costs a stat unless it was written."""
        spec = self._specs[number]
        with _told_of(spec):
            identity = file_identity(spec.path)
            if identity != self._identities.get(number):
                require_pin(spec)
                self._identities[number] = identity

    def install(self, wish: Wish) -> tuple[JobSpec | None, JobSpec, Category]:
        """Make another version of a job ready; it comes into use when the job is next taken, and after a restart.

        A wish with a name adds a job under a free number. Returns the job before (None: it was added) and after, and
        the category with its limits. Raises JobError for a version that cannot judge, InputError where there is no such
        file, the number is taken, or ``require`` says so, OutputError where it cannot be written down; all is then as
        it was.
        """
        before = self._specs.get(wish.job)
        if self._installed is None or (before is None and not wish.name):
            raise JobError(Fault.UNKNOWN_JOB, self._unknown(wish.job))
        listed = self._listed.get(wish.job)
        if before is None:
            spec = self._installed.added(wish.job, wish)
        elif wish.name:
            raise InputError(f"job {wish.job} is there already ({before.name}); choose a free number")
        elif listed is None:
            wish = replace(wish, name=before.name, settings=wish.settings or settings_of(before))
            spec = self._installed.added(wish.job, wish)
        elif wish.settings is not None:
            raise InputError(f"job {wish.job} is in station.toml; set its deadline and its challenges there")
        else:
            spec = self._installed.spec_of(listed, wish)
        self._require([spec])
        with _told_of(spec):
            made = self._made(spec)
        self._installed.put(listed, wish)
        self._specs[wish.job] = spec
        if self._limit is None or wish.job in self._ready:  # else it is read when it is set
            self._staged[wish.job] = made
        self._errors.pop(wish.job, None)
        return before, spec, made.category

    def spec(self, number: int) -> JobSpec | None:
        """The job of that number as it is in force, None where there is none."""
        return self._specs.get(number)

    def _unknown(self, number: int) -> str:
        known = ", ".join(map(str, sorted(self._specs))) or "none"
        return f"there is no job {number}; the station has: {known}"

    def _made(self, spec: JobSpec) -> _Made:
        with self._lock:
            model = self._model
        if model is None:
            raise JobError(Fault.CATEGORY, f"{where(spec)} cannot be made ready: the model is not open")
        identity = file_identity(spec.path)
        require_pin(spec)
        category = adjusted(load_category(spec.path, model.info.hash), spec)
        if file_identity(spec.path) != identity:
            raise JobError(Fault.CATEGORY, f"{where(spec)} was written while it was read; set the job again")
        detector = Detector(model)
        detector.use(category)
        job = Job(spec.number, spec.name, spec.sha256, spec.deadline_ns)
        pinned = Pinned(job, detector, category.limits, category.hash, category.preparation)
        return _Made(spec, identity, pinned, category)

    def _touch(self, made: _Made) -> None:
        """A job is taken: from now on it is the one that was taken last."""
        number = made.spec.number
        with self._lock:
            self._make_room(number, made.bytes)
            self._ready[number] = made

    def _make_room(self, number: int, needed: int) -> None:
        """Let go of a job, and of the others that were not taken for the longest, until so many bytes fit."""
        self._ready.pop(number, None)
        for other in [*self._ready]:
            if self._limit is None or self._held() + needed <= self._limit:
                return
            del self._ready[other]
            self._staged.pop(other, None)

    def _adopt(self, made: _Made) -> None:
        self._identities[made.spec.number] = made.identity
        self._touch(made)
        if self._loaded is not None:
            self._loaded(made.spec, made.category)


@contextmanager
def _told_of(spec: JobSpec) -> Iterator[None]:
    """Whatever is wrong with a job's file becomes a JobError that names it."""
    try:
        yield
    except OSError as error:
        text = f"{where(spec)} cannot be read: {error.strerror or error}; put it back, or pin another file"
        raise JobError(Fault.CATEGORY, text) from error
    except JobError:
        raise
    except RegadError as error:
        raise JobError(Fault.CATEGORY, f"{where(spec)} cannot be used: {error}") from error
