"""The station's jobs as the desk knows them: those of station.toml, and those that were added at the page."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ..errors import InputError
from ..station.config import Config
from ..station.configured import specs_of
from ..station.installed import Installed
from ..station.job_spec import JobSpec

__all__ = ["is_added", "job_named", "jobs_of"]


def jobs_of(config: Config) -> tuple[JobSpec, ...]:
    """Return the jobs by rising number; cheap, it may be asked at each request.

    Of a list of installed versions that cannot be used nothing is taken: the line says what is wrong with it.
    """
    path = Installed(config.trace.folder).path
    try:
        found = path.stat()
        mark: tuple[int, ...] = (found.st_ino, found.st_mtime_ns, found.st_size)
    except OSError:
        mark = ()
    return _read(config, path.parent, mark)


def job_named(config: Config, number: int) -> JobSpec | None:
    """Return the job of that number, None where there is none."""
    return next((job for job in jobs_of(config) if job.number == number), None)


def is_added(config: Config, number: int) -> bool:
    """Whether a job of that number is, or would be, one of the page: station.toml has none."""
    return all(job.number != number for job in config.jobs)


@lru_cache(maxsize=4)
def _read(config: Config, folder: Path, mark: tuple[int, ...]) -> tuple[JobSpec, ...]:
    listed = specs_of(config)
    try:
        specs, _ = Installed(folder).applied(listed)
    except InputError:
        specs = listed
    return tuple(sorted(specs, key=lambda spec: spec.number))
