"""The service ``drift``: keeps the charts of every job up to date with the trace, a few parts at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec

from ...backends.lifecycle import Closing
from ...errors import RegadError
from ...formats.atomic import atomic_write
from ..jobs import jobs_of
from ..service import Health, Surroundings
from .control_charts import DECISION, LEARNT
from .drift import QUANTITIES, WINDOW, Cause, Drift, Finding, Measured, Quantity
from .evidence import taught_threshold
from .records import RECENT, LearningTrace

__all__ = ["CALM", "DriftService", "drift_section"]

_EVERY = 2.0  # seconds between looks
_PARTS = 500  # parts taken in one go
_BY: Final = "drift"
CALM: Final = 50
"""Parts in a row without a finding, after which it is over: one that comes and goes is told once."""


class _Followed:
    """The charts of one job, up to where they were drawn, and for how many parts nothing has moved."""

    def __init__(self, version: int, after: int, drift: Drift) -> None:
        self.version, self.after, self.drift = version, after, drift
        self.calm = 0

    def add(self, part: Measured) -> None:
        """Take the next part of this version."""
        self.drift.add(part)
        self.calm = 0 if self.drift.moved else self.calm + 1


class _Told(msgspec.Struct, frozen=True):
    """Of which version of a job what was told: the causes that were named."""

    version: int
    causes: tuple[Cause, ...]


class _File(msgspec.Struct, frozen=True):
    jobs: dict[int, _Told] = {}


class DriftService(Closing):
    """The charts of a station's jobs, from each job's version in force on.

    Each finding is an event of the trace, and so is its end. What was told is remembered over a restart of the desk,
    which draws the charts anew.
    """

    name = "drift"

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._lock = threading.Lock()
        self._jobs: dict[int, _Followed] = {}
        self._error = ""
        self._path = around.state / "drift.json"
        self._told = self._read()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="regad desk drift", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def health(self) -> Health:
        """How it does: not well while something has moved."""
        if self._error:
            return Health(False, self._error)
        found = [f"job {job}: {finding.text}" for job, finding in self.findings().items()]
        return Health(not found, "; ".join(found) or "nothing has moved")

    def findings(self) -> dict[int, Finding]:
        """What has moved, by job."""
        with self._lock:
            found = {job: followed.drift.finding() for job, followed in self._jobs.items()}
        return {job: finding for job, finding in found.items() if finding is not None}

    def charts(self, job: int) -> dict[str, Any]:
        """The charts of a job, for the page."""
        with self._lock:
            followed = self._jobs.get(job)
            if followed is None:
                return {"job": job, "parts": 0, "finding": None, "charts": []}
            drift = followed.drift
            rejects = {"now": drift.rejects.now, "usual": drift.rejects.usual, "window": WINDOW}
            return {
                **{"job": job, "version": followed.version, "parts": drift.parts, "finding": drift.finding()},
                **{"rejects": rejects, "charts": [_chart(drift, name) for name in QUANTITIES]},
            }

    def look(self) -> bool:
        """Draw a few parts further; whether there may be more. The thread does. Raises RegadError."""
        more = False
        with LearningTrace(self._around.trace) as trace:
            for job in jobs_of(self._around.config):
                more |= self._advance(trace, job.number)
        if not more:  # else history is being read: what moved once may be over
            for job in jobs_of(self._around.config):
                self._tell(job.number)
        return more

    def _tell(self, job: int) -> None:
        """Have the line record a finding that is new, or the end of one. Raises LinkError; it is tried again then."""
        followed, told = self._jobs.get(job), self._told.get(job)
        if followed is None:
            return
        if told is not None and told.version != followed.version:
            self._record(job, None, "another version is in use: what is usual is learnt again")
            told = None
        finding = followed.drift.finding()
        if finding is not None:
            causes = () if told is None else told.causes
            if finding.cause not in causes:
                text = f"{finding.text} (seen at part {finding.since}); {finding.remedy}"
                self._record(job, _Told(followed.version, (*causes, finding.cause)), text)
        elif told is not None and followed.calm >= CALM:
            self._record(job, None, f"what had moved ({', '.join(told.causes)}) is where it was")

    def _record(self, job: int, told: _Told | None, text: str) -> None:
        self._around.link.ask("drift", by=_BY, job=job, moved=told is not None, text=text[:2000])
        self._told = {
            **{one: known for one, known in self._told.items() if one != job},
            **({job: told} if told else {}),
        }
        with suppress(RegadError):  # a full disk: it is told again after a restart
            atomic_write(self._path, msgspec.json.encode(_File(self._told)))

    def _read(self) -> dict[int, _Told]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_File).jobs
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
            return {}  # at worst a finding is told twice

    def _advance(self, trace: LearningTrace, job: int) -> bool:
        active = next((one for one in trace.versions(job) if one.active), None)
        if active is None:
            return False
        followed = self._jobs.get(job)
        if followed is None or followed.version != active.id:
            first = trace.first_of(active.id)
            if first is None:
                return False
            after = max(first - 1, trace.newest() - RECENT)
            taught = taught_threshold(self._around.trace, active)
            scores = taught.scores if taught is not None and taught.method == "validation" else ()
            followed = _Followed(active.id, after, Drift(scores))
        parts = trace.measured(job, followed.after, _PARTS)
        with self._lock:
            self._jobs[job] = followed
            for part, version in parts:
                followed.after = part.inspection
                if version == active.id:
                    followed.add(part)
        return len(parts) == _PARTS

    def _run(self) -> None:
        pause = 0.0
        while not self._ended.wait(pause):
            pause = 0.1 if self._looked() else _EVERY

    def _looked(self) -> bool:
        """Look; whether there may be more."""
        try:
            more = self.look()
        except RegadError as error:
            self._error = str(error)
            return False
        self._error = ""
        return more


def drift_section(service: DriftService) -> Callable[[Surroundings], Mapping[str, Any]]:
    """Return what gives the page's state its part ``drift``: what has moved, by job."""

    def section(around: Surroundings) -> Mapping[str, Any]:
        found = service.findings()
        return {"drift": [{"job": job, "cause": one.cause, "text": one.text} for job, one in sorted(found.items())]}

    return section


def _chart(drift: Drift, name: Quantity) -> dict[str, Any]:
    chart = drift.chart(name)
    shown: dict[str, Any] = {"name": name, "learnt": drift.learnt(name), "needed": LEARNT, "points": drift.points(name)}
    if chart is None:
        return {**shown, "moved": 0, "reference": None}
    reach = chart.limit * chart.reference.spread
    return {
        **shown,
        "moved": chart.direction,
        "reference": chart.reference._asdict(),
        "low": chart.reference.mean - reach,
        "high": chart.reference.mean + reach,
        "decision": DECISION,
    }
