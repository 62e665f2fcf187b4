"""What Prometheus reads at ``/metrics``: parts and times from the trace, and the rest as it is now.

docs/protocols.md lists the families; a name never changes its meaning.
"""

from __future__ import annotations

import hmac
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ...station.codes import Fault, State, Status
from ...station.secret import Secret
from ...station.trace.reader import Row
from ..service import Health, Surroundings
from ..watch import Heard
from .cursor import Place
from .exposition import Histogram, Labels, family, histogram_family
from .follower import Follower, hold_of
from .message import verdict_message

__all__ = ["Metrics", "PartCounts", "metrics_text"]

_MOST = 20_000  # rows that one call counts; more are left to the next one
_PERCENT = (10.0, 25.0, 50.0, 75.0, 90.0, 100.0, 110.0, 125.0, 150.0, 200.0, 400.0)
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0)


class PartCounts:
    """Parts by job, verdict and output; scores in percent of the threshold; seconds from the trigger to the verdict."""

    def __init__(self) -> None:
        self.parts: Counter[Labels] = Counter()
        self.percents: dict[Labels, Histogram] = {}
        self.seconds: dict[Labels, Histogram] = {}

    def add(self, row: Row) -> None:
        """Count a row of the trace."""
        message = verdict_message(row, "", "")
        job: Labels = (("job", str(message.job or 0)),)
        self.parts[(*job, ("output", message.output), ("verdict", message.verdict))] += 1
        if message.percent is not None:
            self.percents.setdefault(job, Histogram(_PERCENT)).add(message.percent)
        if message.ms_total is not None:
            self.seconds.setdefault(job, Histogram(_SECONDS)).add(message.ms_total / 1e3)


def metrics_text(counts: PartCounts, heard: Heard, services: Mapping[str, Health]) -> str:
    """Return everything, from what was counted, what the line says of itself, and how the services do."""
    status = heard.status
    lines = family("regad_up", "gauge", "Whether the line answers.", [((), status is not None)])
    if status is not None:
        lines += _station(status)
    parts = sorted(counts.parts.items())
    lines += family("regad_parts_total", "counter", "Parts since the first call.", parts)
    about = "Scores in percent of the threshold."
    lines += histogram_family("regad_score_percent", about, sorted(counts.percents.items(), key=_first))
    about = "Seconds from the trigger to the verdict."
    lines += histogram_family("regad_latency_seconds", about, sorted(counts.seconds.items(), key=_first))
    named = [((("service", name),), health) for name, health in sorted(services.items())]
    well = [(labels, float(health.ok)) for labels, health in named]
    lines += family("regad_service_ok", "gauge", "Whether a service of the desk works.", well)
    behind = [(labels, float(health.behind)) for labels, health in named if health.behind is not None]
    lines += family("regad_service_behind", "gauge", "Parts not yet sent to a receiver.", behind)
    return "\n".join(lines) + "\n"


def _first(pair: tuple[Labels, Histogram]) -> Labels:
    return pair[0]


def _station(status: dict[str, Any]) -> Iterable[str]:
    image, lag = status["image"], status["trace"]
    info: Labels = (("mode", status["mode"]), ("station", status["station"]))
    states = [((("state", state.name),), float(state.name == image["state"])) for state in State]
    ready = bool(image["status"] & Status.READY)
    yield from family("regad_station_info", "gauge", "The station's name and mode.", [(info, 1)])
    yield from family("regad_state", "gauge", "1 for the state that the station is in.", states)
    yield from family("regad_ready", "gauge", "Whether a trigger would be accepted.", [((), ready)])
    yield from family("regad_fault", "gauge", "The oldest active fault, 0 for none.", [((), Fault[image["fault"]])])
    yield from family("regad_job", "gauge", "The active job, 0 for none.", [((), image["job"])])
    for name, kind, about, key in _TRACE:
        yield from family(name, kind, about, [((), lag[key])])


_TRACE = (
    ("regad_trace_waiting_rows", "gauge", "Rows that are not on the disk yet.", "rows"),
    ("regad_trace_waiting_pictures", "gauge", "Pictures that are not on the disk yet.", "pictures"),
    ("regad_trace_lag_seconds", "gauge", "How long the oldest of them waits.", "seconds"),
    ("regad_trace_lost_rows_total", "counter", "Rows that were lost since the line's start.", "lost_rows"),
    ("regad_trace_left_out_pictures_total", "counter", "Pictures left out since the line's start.", "left_out"),
)


class Metrics:
    """The answer to ``GET /metrics``. It costs nothing while nobody asks: what came since is counted then."""

    def __init__(self, around: Surroundings, secret: Secret | None = None) -> None:
        """``secret`` lets a client in that is not logged in. Raises InputError where it cannot be read."""
        self._around = around
        self._secret = None if secret is None else secret.read()
        self._lock = threading.Lock()
        self._counts = PartCounts()
        self._place: Place | None = None
        self._settled = 0
        self._late = hold_of(around.config.trace.before_result) > 0

    def text(self) -> str:
        """Return the metrics; from any thread. Parts count from the first call on."""
        services = self._around.health()
        with self._lock, Follower(self._around.trace) as follower:
            self._catch_up(follower)
            return metrics_text(self._counts, self._around.watch.heard, services)

    def lets_in(self, authorization: str) -> bool:
        """Whether the header ``Authorization`` bears the secret."""
        given = authorization.removeprefix("Bearer ").encode("utf-8", "surrogateescape")
        return self._secret is not None and hmac.compare_digest(given, self._secret.encode())

    def _catch_up(self, follower: Follower) -> None:
        heads = follower.look()
        if not heads.trace:
            return
        place = follower.start_of(self._place, heads.row)
        # A row that may yet be corrected is counted at the next call.
        end, self._settled = min(self._settled, heads.row) if self._late else heads.row, heads.row
        for row in follower.rows(place, _MOST):
            if row["id"] > end:
                break
            self._counts.add(row)
            place = Place(place.trace, row["id"])
        self._place = place
