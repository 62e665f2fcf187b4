"""The service ``drift``: keeps the charts of every job up to date with the trace, a few parts at a time."""

from __future__ import annotations

import threading
from typing import Any

from ...backends.lifecycle import Closing
from ...errors import RegadError
from ..service import Health, Surroundings
from .control_charts import DECISION, LEARNT
from .drift import QUANTITIES, WINDOW, Drift, Finding, Quantity
from .evidence import taught_threshold
from .records import RECENT, LearningTrace

__all__ = ["DriftService"]

_EVERY = 2.0  # seconds between looks
_PARTS = 500  # parts taken in one go


class _Followed:
    """The charts of one job, and up to where they were drawn."""

    def __init__(self, version: int, after: int, drift: Drift) -> None:
        self.version, self.after, self.drift = version, after, drift


class DriftService(Closing):
    """The charts of a station's jobs, from each job's version in force on."""

    name = "drift"

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._lock = threading.Lock()
        self._jobs: dict[int, _Followed] = {}
        self._error = ""
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
            for job in self._around.config.jobs:
                more |= self._advance(trace, job.number)
        return more

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
                    followed.drift.add(part)
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
