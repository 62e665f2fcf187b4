"""What the trace takes besides parts: events, corrections, categories, and what people say of parts."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ...errors import RegadError
from ...formats.category import Category
from .inspection import Inspection

__all__ = [
    "Acknowledgement",
    "Audit",
    "Challenge",
    "Correction",
    "Entry",
    "Event",
    "Label",
    "LabelValue",
    "NewCategory",
    "Notice",
    "PartName",
    "Receipt",
    "Remark",
    "Said",
    "Severity",
    "settle",
]

Severity = Literal["info", "warning", "alarm"]
LabelValue = Literal["good", "defect", "unsure"]
Receipt = Callable[["int | RegadError"], None]
"""Takes the id of an entry's row once it is on the disk, or why there is none. It must not block."""


@dataclass(frozen=True)
class Event:
    """Something that people should find in the trace later; ``mono_ns`` and ``wall`` are when it happened."""

    severity: Severity
    code: int
    text: str
    mono_ns: int
    wall: float


@dataclass(frozen=True)
class NewCategory:
    """A job uses this category from now on; ``wall`` is when it began. ``sha256`` is its file's, "" if not known.

    ``by`` is who installed it, "" where it stands in station.toml; ``note`` is what they said of it. ``name``,
    ``deadline_ms`` (None: that of every job) and ``review_is``, what REVIEW is put out as, are the job's own.
    """

    job: int
    category: Category
    path: Path
    wall: float
    sha256: str = ""
    by: str = ""
    note: str = ""
    name: str = ""
    deadline_ms: float | None = None
    review_is: str = "reject"


@dataclass(frozen=True)
class Correction:
    """Part ``seq`` of this boot, recorded before, was put out otherwise."""

    seq: int
    output: int
    late: bool


@dataclass(frozen=True)
class PartName:
    """A part by the ``inspection`` id of its row, or by its ``seq`` in this boot; one of the two is given."""

    inspection: int | None = None
    seq: int | None = None


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a person said; ``receipt`` receives the outcome. ``at``: seconds since 1970."""

    by: str
    at: float
    receipt: Receipt | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Label(Said):
    """What a part is in truth. It takes the place of the part's label before it, which stays in the table."""

    part: PartName
    value: LabelValue
    kind: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Challenge(Said):
    """A part known beforehand was shown to a job: ``expected`` is the verdict (`VerdictCode`) that it should get.

    ``part`` None: the station gave it no verdict.
    """

    job: int
    expected: int
    ok: bool
    part: PartName | None = None


@dataclass(frozen=True, kw_only=True)
class Audit(Said):
    """A person did something that others have to be able to find later; ``before`` and ``after`` as text or None."""

    action: str
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, kw_only=True)
class Acknowledgement(Said):
    """A person has seen the event of that id. The first one counts."""

    event: int


@dataclass(frozen=True, kw_only=True)
class Notice(Said):
    """Something that the desk has found and people should find in the trace later: it becomes an event."""

    severity: Severity
    code: int
    text: str
    mono_ns: int = field(default_factory=time.monotonic_ns, compare=False)


Remark = Label | Challenge | Audit | Acknowledgement | Notice
"""Every kind of `Said`."""
Entry = Inspection | Event | NewCategory | Correction | Remark


def settle(entry: Entry, row: int | RegadError) -> None:
    """Tell who said something what came of it: its row's id, or why there is none."""
    if isinstance(entry, Said) and entry.receipt is not None:
        with suppress(Exception):  # whoever asked may be gone
            entry.receipt(row)
