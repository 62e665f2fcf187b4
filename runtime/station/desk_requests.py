"""What the desk may ask over the command socket: labels, challenges, audits, events, and versions of jobs.

The desk decides who may do what; the line checks what it is told, writes it into the trace, and answers when it is on
the disk.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ..errors import InputError, RegadError
from ..formats.category import Category
from .codes import VerdictCode
from .config_job import JobSettings
from .config_types import Limit, Number, Sha256
from .installed import Wish, settings_of
from .job_spec import JobSpec
from .request_fields import fields_of
from .trace.entries import (
    Acknowledgement,
    Audit,
    Challenge,
    Label,
    LabelValue,
    Notice,
    PartName,
    Remark,
    Severity,
)
from .trace.inspection import TraceAlarm

__all__ = ["DeskRequests"]

Id = Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]
Who = Annotated[str, Meta(min_length=1, max_length=64)]
Word = Annotated[str, Meta(max_length=64)]
Note = Annotated[str, Meta(max_length=2000)]
Long = Annotated[str, Meta(max_length=20_000)]
Expected = Literal["PASS", "REJECT", "REVIEW", "NO_PART"]


class _Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a command takes."""

    by: Who


class _OfPart(_Request, frozen=True, kw_only=True):
    """A part is named by ``inspection``, the id of its row, or by ``seq``, its number since the start."""

    inspection: Id | None = None
    seq: Id | None = None

    @property
    def part(self) -> PartName | None:
        both = self.inspection is not None and self.seq is not None
        if both:
            raise InputError("a part is named by inspection or by seq; expected one of them, not both")
        return None if self.inspection is None and self.seq is None else PartName(self.inspection, self.seq)


class _Label(_OfPart, frozen=True, kw_only=True):
    value: LabelValue
    kind: Word = ""
    note: Note = ""


class _Challenge(_OfPart, frozen=True, kw_only=True):
    job: Number
    expected: Expected
    ok: bool


class _Audit(_Request, frozen=True, kw_only=True):
    action: Annotated[str, Meta(min_length=1, max_length=64)]
    before: Long | None = None
    after: Long | None = None


class _Acknowledge(_Request, frozen=True, kw_only=True):
    event: Id


class _Install(_Request, frozen=True, kw_only=True):
    job: Number
    sha256: Sha256
    threshold: Limit | None = None
    warn: Limit | None = None
    note: Note = ""
    name: Annotated[str, Meta(max_length=200)] = ""
    settings: JobSettings | None = None


class _Drift(_Request, frozen=True, kw_only=True):
    job: Number
    moved: bool
    text: Annotated[str, Meta(min_length=1, max_length=2000)]


class DeskRequests:
    """Answers the desk; from any thread, without waiting.

    ``note`` takes what is for the trace, ``install`` a version of a job; ``wall`` gives seconds since 1970.
    """

    def __init__(
        self,
        note: Callable[[Remark], None],
        install: Callable[[Wish], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._note, self._install_version, self._wall = note, install, wall
        self.handlers: dict[str, Callable[[dict[str, Any]], Future[dict[str, Any]]]] = {
            "label": self._label,
            "challenge": self._challenge,
            "audit": self._audit,
            "acknowledge": self._acknowledge,
            "drift": self._drift,
            "install": self._install,
        }

    def _label(self, request: dict[str, Any]) -> Future[dict[str, Any]]:
        told = fields_of(_Label, request)
        if told.part is None:
            raise InputError("label names no part; expected inspection, the id of its row, or seq")
        answer = _Answer(lambda row: {"label": row})
        self._note(
            Label(**self._said(told.by, answer), part=told.part, value=told.value, kind=told.kind, note=told.note)
        )
        return answer.future

    def _challenge(self, request: dict[str, Any]) -> Future[dict[str, Any]]:
        told = fields_of(_Challenge, request)
        answer = _Answer(lambda row: {"challenge": row})
        expected = int(VerdictCode[told.expected])
        said = self._said(told.by, answer)
        self._note(Challenge(**said, job=told.job, expected=expected, ok=told.ok, part=told.part))
        return answer.future

    def _audit(self, request: dict[str, Any]) -> Future[dict[str, Any]]:
        told = fields_of(_Audit, request)
        answer = _Answer(lambda row: {"audit": row})
        self._note(Audit(**self._said(told.by, answer), action=told.action, before=told.before, after=told.after))
        return answer.future

    def _acknowledge(self, request: dict[str, Any]) -> Future[dict[str, Any]]:
        told = fields_of(_Acknowledge, request)
        answer = _Answer(lambda row: {"event": row})
        self._note(Acknowledgement(**self._said(told.by, answer), event=told.event))
        return answer.future

    def _drift(self, request: dict[str, Any]) -> Future[dict[str, Any]]:
        told = fields_of(_Drift, request)
        answer = _Answer(lambda row: {"event": row})
        severity: Severity = "warning" if told.moved else "info"
        text = f"job {told.job}: {told.text}"
        self._note(Notice(**self._said(told.by, answer), severity=severity, code=TraceAlarm.DRIFT, text=text))
        return answer.future

    def _install(self, request: dict[str, Any]) -> Future[dict[str, Any]]:
        told = fields_of(_Install, request)
        answer = _Answer(lambda found: self._installed(told, found))
        limits = (told.threshold, told.warn)
        self._install_version(
            Wish(told.job, told.sha256, *limits, told.by, told.note, self._wall(), answer, told.name, told.settings)
        )
        return answer.future

    def _installed(self, told: _Install, found: tuple[JobSpec | None, JobSpec, Category]) -> dict[str, Any]:
        """A version lies ready: who did it is recorded, and what it is is answered."""
        before, after, category = found
        self._note(
            Audit(
                by=told.by,
                at=self._wall(),
                action=f"install job {told.job}",
                before=None if before is None else _version(before),
                after=_version(after),
            )
        )
        limits = category.threshold
        return {
            **{"job": told.job, "sha256": told.sha256, "category": category.hash},
            **{"threshold": limits.value, "warn": limits.warn},
        }

    def _said(self, by: str, answer: _Answer) -> dict[str, Any]:
        return {"by": by, "at": self._wall(), "receipt": answer}


class _Answer:
    """The answer that is to come: made once, of what the receipt is first told."""

    def __init__(self, made: Callable[[Any], dict[str, Any]]) -> None:
        self._made = made
        self._lock = threading.Lock()
        self.future: Future[dict[str, Any]] = Future()
        self.future.set_running_or_notify_cancel()  # a client that leaves cannot take it away

    def __call__(self, found: Any) -> None:
        with self._lock:
            if self.future.done():
                return
            if isinstance(found, RegadError):
                self.future.set_exception(found)
            else:
                self.future.set_result(self._made(found))


def _version(spec: JobSpec) -> str:
    """A version of a job as the table ``audit`` holds it."""
    facts = {"sha256": spec.sha256, "threshold": spec.threshold, "warn": spec.warn, "note": spec.note}
    settings = msgspec.structs.asdict(settings_of(spec))
    facts |= {name: value for name, value in settings.items() if value is not None}
    return json.dumps(facts | ({"by": spec.by} if spec.by else {}))
