"""Versions of jobs that were installed while the station ran: the files, and the list that a restart goes by.

``categories/SHA256.safetensors`` in the trace's folder are the files; nothing else can be installed but the file that
station.toml pins for the job. ``jobs.json`` beside them is the list. A row of it holds as long as station.toml says of
the job what it said when the version was installed: an engineer who changes it there afterwards has the last word. So a
job that was added here holds until station.toml has a job of that number.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from ..errors import InputError, OutputError
from ..formats.atomic import atomic_write
from ..formats.category import Category, save_category
from ..formats.digest import sha256_of
from ..text import shown, system_reason
from .config_job import JobSettings
from .config_types import Limit, Sha256
from .job_spec import JobSpec

__all__ = ["CATEGORIES", "FILE_NAME", "Installed", "Wish", "category_path", "settings_of", "store_category"]

CATEGORIES: Final = "categories"
FILE_NAME: Final = "jobs.json"
_MOST = 1_000_000  # bytes of the list
_MS = 1_000_000
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)  # no file can be there, so nothing was installed


@dataclass(frozen=True)
class Wish:
    """Another version for a job, by the sha256 of its file; None for a limit: the category's own.

    ``at``: seconds since 1970. ``receipt`` receives the job before and after, and the category, or a RegadError.
    ``name`` is that of a job to be added, "" for one that is there. ``settings`` are for a job that is or was added;
    None: those that it has.
    """

    job: int
    sha256: str
    threshold: float | None
    warn: float | None
    by: str
    note: str
    at: float
    receipt: Callable[[Any], None] = field(default=lambda found: None, compare=False, repr=False)
    name: str = ""
    settings: JobSettings | None = None


class _Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What station.toml said of the job when a version was installed in its place."""

    sha256: Sha256
    threshold: Limit | None
    warn: Limit | None


class _Version(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A version that was installed. ``instead_of`` is None for a job that was added, which has a ``name`` then, and may
    have ``settings``: those of any other one are in station.toml.
    """

    sha256: Sha256
    threshold: Limit | None
    warn: Limit | None
    by: str
    note: str
    at: float
    instead_of: _Listed | None
    name: str = ""
    settings: JobSettings | None = None

    def __post_init__(self) -> None:
        if (self.instead_of is None) != bool(self.name):
            raise ValueError("name and instead_of: exactly one of them is expected")
        if self.settings is not None and not self.name:
            raise ValueError("settings are for a job that was added")


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Version 2 has jobs that were added, version 3 such with settings: who knows of none must not leave them out."""

    format: Literal["regad-jobs"]
    version: Literal[1, 2, 3]
    jobs: dict[Annotated[int, msgspec.Meta(ge=1, le=65_535)], _Version]


def _file(versions: dict[int, _Version]) -> _File:
    added = [version for version in versions.values() if version.instead_of is None]
    number: Literal[1, 2, 3] = 1 if not added else 2 if all(one.settings is None for one in added) else 3
    return _File("regad-jobs", number, versions)


def category_path(trace: Path, sha256: str) -> Path:
    """Return where a category that can be installed lies in the trace's folder."""
    return trace / CATEGORIES / f"{sha256}.safetensors"


def store_category(trace: Path, category: Category) -> str:
    """Write a category where it can be installed, and return the sha256 that names it. Raises OutputError.

    Any process of the station's user may do so, beside the station.
    """
    folder = trace / CATEGORIES
    temporary = folder / f".{secrets.token_hex(8)}"
    try:
        save_category(category, temporary)
        sha256 = sha256_of(temporary)
        temporary.replace(category_path(trace, sha256))
    except OSError as error:
        raise OutputError(f"{shown(folder)} cannot be written ({system_reason(error)}); free some space") from error
    finally:
        temporary.unlink(missing_ok=True)
    return sha256


class Installed:
    """The installed versions of a station whose trace lies in ``folder``. One thread at a time.

    ``review_is`` is the trigger's own, for jobs that were added.
    """

    def __init__(self, folder: Path, review_is: str = "reject") -> None:
        self._folder, self._review_is = folder, review_is

    @property
    def path(self) -> Path:
        """The list's file."""
        return self._folder / FILE_NAME

    def applied(self, listed: Sequence[JobSpec]) -> tuple[list[JobSpec], list[str]]:
        """Return the job table of station.toml with the installed versions in it, and a line about each of these.

        Raises InputError for a list that cannot be used: without it nobody knows by what the jobs should be judged.
        """
        versions, specs, notes = self._read(), [], []
        for spec in listed:
            version = versions.get(spec.number)
            if version is None:
                specs.append(spec)
                continue
            who = f"job {spec.number}: the version {version.sha256[:12]}... that {shown(version.by)} installed"
            if version.instead_of != _listed(spec):
                notes.append(f"{who} is not used: station.toml was changed after it")
                specs.append(spec)
                continue
            notes.append(f"{who} is in force, in place of what station.toml says")
            specs.append(self.spec_of(spec, version))
        known = {spec.number for spec in listed}
        for number, version in versions.items():
            if number in known:
                continue
            if version.instead_of is None:
                specs.append(self.added(number, version))
                notes.append(f"job {number}: {shown(version.name)}, which {shown(version.by)} added, is in force")
            else:
                notes.append(f"job {number} is installed, and not in station.toml")
        return specs, notes

    def spec_of(self, listed: JobSpec, version: Wish | _Version) -> JobSpec:
        """Return a job with another version in place of what station.toml says: a file of the folder, or its own."""
        path = category_path(self._folder, version.sha256)
        if version.sha256 == listed.sha256 and not path.exists():
            path = listed.path
        return replace(
            listed,
            path=path,
            sha256=version.sha256,
            threshold=version.threshold,
            warn=version.warn,
            by=version.by,
            note=version.note,
        )

    def added(self, number: int, version: Wish | _Version) -> JobSpec:
        """Return a job that station.toml does not have."""
        settings = version.settings or JobSettings()
        return JobSpec(
            number,
            version.name,
            category_path(self._folder, version.sha256),
            version.sha256,
            None if settings.deadline_ms is None else settings.deadline_ms * _MS,
            threshold=version.threshold,
            warn=version.warn,
            review_is=self._review_is,
            by=version.by,
            note=version.note,
            challenge_every_h=settings.challenge_every_h,
        )

    def put(self, listed: JobSpec | None, wish: Wish) -> None:
        """Write down that a version takes the place of what station.toml says of its job, None: that it is added.

        Raises InputError, OutputError; the list is then as it was.
        """
        instead_of = None if listed is None else _listed(listed)
        facts = (wish.sha256, wish.threshold, wish.warn, wish.by, wish.note, wish.at)
        settings = None if wish.settings == JobSettings() else wish.settings
        version = _Version(*facts, instead_of, wish.name, settings)
        file = _file({**self._read(), wish.job: version})
        data = msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"
        if len(data) > _MOST:
            raise InputError(f"{shown(self.path)} would have over {_MOST} bytes; put the jobs into station.toml")
        atomic_write(self.path, data)

    def _read(self) -> dict[int, _Version]:
        try:
            with self.path.open("rb") as file:
                data = file.read(_MOST + 1)
            if len(data) > _MOST:
                raise ValueError(f"more than {_MOST} bytes")
            return msgspec.json.decode(data, type=_File).jobs
        except OSError as error:
            if error.errno in _ABSENT:
                return {}
            why = system_reason(error)
        except (ValueError, msgspec.MsgspecError, RecursionError) as error:
            why = str(error)
        raise InputError(
            f"{shown(self.path)} cannot be used ({why}); it says which categories were installed: put it back, or move "
            "it away to judge by those of station.toml"
        )


def settings_of(spec: JobSpec) -> JobSettings:
    """Return the settings of a job, which another version of it keeps."""
    deadline = None if spec.deadline_ns is None else spec.deadline_ns // _MS
    return JobSettings(deadline_ms=deadline, challenge_every_h=spec.challenge_every_h)


def _listed(spec: JobSpec) -> _Listed:
    return _Listed(spec.sha256, spec.threshold, spec.warn)
