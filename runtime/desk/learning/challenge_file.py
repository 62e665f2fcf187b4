"""What is known of the challenges over a restart of the desk: a file in its folder."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ...errors import InputError
from ...formats.atomic import atomic_write
from ...text import shown
from .challenge import Challenge

__all__ = ["Kept", "Known", "kept", "read_known", "restored", "write_known"]


class Kept(msgspec.Struct, frozen=True):
    """A job's challenge, and what told the version of the job that was last in force from others."""

    step: str
    reason: str
    since: float
    version: str = ""


class Known(msgspec.Struct, frozen=True):
    """The line's start and the job that were last in force, and the challenges by job."""

    boot: int = 0
    job: int = 0
    jobs: dict[int, Kept] = {}


def kept(one: Challenge, version: str) -> Kept:
    """Return what is kept of a challenge."""
    return Kept(one.step, one.reason, one.since, version)


def restored(one: Challenge, what: Kept | None) -> Challenge:
    """Put a challenge where it was, if it ever was anywhere; one that was being done is due."""
    if what is None:
        return one
    one.since = what.since
    if what.step != "clear":
        one.step = "failed" if what.step == "failed" else "due"
        one.reason = what.reason or f"the challenge of job {one.job} is due: it was not finished"
    return one


def read_known(path: Path) -> Known | None:
    """Return what the file says, None where there is none. Raises InputError for one that cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Known)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InputError(f"{shown(path)} cannot be read ({error})") from error


def write_known(path: Path, known: Known) -> None:
    """Write it. Raises OutputError."""
    atomic_write(path, msgspec.json.encode(known))
