"""A job of the table: a number that stands for a category file, pinned by its sha256."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import RegadError
from ..formats.category import Category
from ..formats.digest import sha256_of
from ..text import shown
from .codes import Fault

__all__ = ["JobError", "JobSpec", "adjusted", "file_identity", "require_pin", "where"]


@dataclass(frozen=True)
class JobSpec:
    """A row of the job table. ``threshold`` and ``warn`` replace the category's own.

    ``review_is``: as what a part between warn limit and threshold is put out.
    With ``challenge_at_start`` it begins held; ``challenge_every_h``: so many hours are between two challenges.
    ``by`` is who installed this version, with a ``note``; "" where it stands in station.toml.
    """

    number: int
    name: str
    path: Path
    sha256: str
    deadline_ns: int | None = None
    threshold: float | None = None
    warn: float | None = None
    review_is: str = "reject"
    by: str = ""
    note: str = ""
    challenge_at_start: bool = False
    challenge_every_h: float | None = None

    @property
    def challenged(self) -> bool:
        """Whether a challenge is ever asked for."""
        return self.challenge_at_start or self.challenge_every_h is not None


class JobError(RegadError):
    """A job cannot judge; ``fault`` is CATEGORY or UNKNOWN_JOB."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


def file_identity(path: Path) -> tuple[int, ...]:
    """Return what changes with a file's content, without reading it. Raises OSError."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def where(spec: JobSpec) -> str:
    """Return how a job and its file are named in an error."""
    return f"job {spec.number}: {shown(os.fspath(spec.path))}"


def require_pin(spec: JobSpec) -> None:
    """Raise JobError unless a job's file is the pinned one; OSError where it cannot be read."""
    found = sha256_of(spec.path)
    if found != spec.sha256:
        raise JobError(
            Fault.CATEGORY,
            f"{where(spec)} has sha256 {found[:12]}..., pinned is {spec.sha256[:12]}...: put the taught file back, or "
            f"{'install another one' if spec.by else 'pin the new one in station.toml'}",
        )


def adjusted(category: Category, spec: JobSpec) -> Category:
    """Return a category with the job's own limits. Raises InputError for limits that do not go together."""
    threshold = category.threshold
    if spec.threshold is not None:
        threshold = threshold.by_hand(spec.threshold)
    if spec.warn is not None:
        threshold = threshold.with_warn(spec.warn)
    return replace(category, threshold=threshold)
