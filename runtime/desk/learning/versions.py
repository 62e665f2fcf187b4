"""The versions of a job: putting one in force, and going back to an earlier one, both through the line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import InputError
from ...formats.atomic import atomic_write
from ...formats.digest import sha256_of
from ...station.config_job import JobSettings
from ...station.installed import category_path
from ...text import shown
from ..link import StationLink
from .records import Version

__all__ = ["file_of", "install", "roll_back"]


def file_of(trace: Path, version: Version) -> Path:
    """Return where a version's file lies: among those that can be installed, or where it was taught to.

    Raises InputError if it is gone, or another one by now.
    """
    for path in (category_path(trace, version.sha256), Path(version.path)):
        if path.is_file() and sha256_of(path) == version.sha256:
            return path
    raise InputError(
        f"the file of version {version.id} of job {version.job} is gone, or was changed: it was at "
        f"{shown(version.path)}; put it back, or take another version"
    )


def install(
    link: StationLink,
    job: int,
    sha256: str,
    threshold: float | None,
    warn: float | None,
    by: str,
    note: str,
    name: str = "",
    settings: JobSettings | None = None,
) -> dict[str, Any]:
    """Put a file that can be installed in force, between two parts; with a ``name``, as a job that is new. ``settings``
    are for one that is or was added at the page; None: those that it has.

    Raises LinkError where the line refuses.
    """
    limits: dict[str, Any] = {"threshold": threshold, "warn": warn}
    if settings is not None:
        limits["settings"] = settings
    return link.ask("install", job=job, sha256=sha256, **limits, by=by, note=note, name=name)


def roll_back(link: StationLink, trace: Path, version: Version, by: str) -> dict[str, Any]:
    """Put an earlier version in force again, with the limits that it had. Raises InputError, OutputError, LinkError."""
    if version.active:
        raise InputError(f"version {version.id} of job {version.job} is the one in use")
    path, wanted = file_of(trace, version), category_path(trace, version.sha256)
    if path != wanted:  # from before versions could be installed
        atomic_write(wanted, path.read_bytes())
    by_hand = version.method == "manual"
    threshold = version.threshold if by_hand else None
    return install(link, version.job, version.sha256, threshold, version.low, by, f"back to version {version.id}")
