"""What is said of a part, an event and the station: the JSON that MQTT, webhooks and OPC UA share (docs/protocols.md).

A field never changes its meaning; new ones may come.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import msgspec

from ...station.codes import Fault, Status, VerdictCode
from ...station.config import Config
from ...station.trace.inspection import TraceAlarm
from ...station.trace.reader import Row
from ..watch import Heard

__all__ = ["AlarmMessage", "StateMessage", "VerdictMessage", "alarm_message", "state_message", "verdict_message"]


class VerdictMessage(msgspec.Struct, frozen=True, kw_only=True, rename={"passed": "pass"}):
    """One part. ``key`` names it for good and everywhere: who has seen the key has seen the part.

    ``passed`` (``pass`` in JSON) is the one to act on; ``verdict`` is the truth, ``output`` what was put out.
    """

    key: str
    station: str
    id: int
    boot: int
    seq: int
    time: str
    clock_ok: bool
    passed: bool
    output: str
    verdict: str
    reason: str
    error: str
    score: float | None
    threshold: float | None
    percent: float | None
    warn: bool
    spot: tuple[int, int] | None
    job: int | None
    category: str | None
    part_id: int
    serial: str
    trigger: str
    ms_acquire: float | None
    ms_judge: float | None
    ms_total: float | None
    deadline_ms: float | None
    late: bool
    shadow: bool
    simulated: bool


class AlarmMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the trace has as an event; ``name`` is its code's, "" for none."""

    key: str
    station: str
    time: str
    severity: str
    code: int
    name: str
    text: str


class StateMessage(msgspec.Struct, frozen=True, kw_only=True):
    """How the station stands. ``online`` False: nothing is known of it, and the rest is empty; ``text`` says why."""

    station: str
    online: bool
    mode: str = ""
    state: str = ""
    ready: bool = False
    fault: str = ""
    job: int = 0
    text: str = ""


def verdict_message(row: Row, trace: str, station: str) -> VerdictMessage:
    """Return what is said of a row of the trace named ``trace`` (`Heads`)."""
    score, threshold = row["score"], row["threshold"]
    output = _verdict(row["output"])
    return VerdictMessage(
        key=f"{trace}-{row['boot']}-{row['seq']}",
        station=station,
        id=row["id"],
        boot=row["boot"],
        seq=row["seq"],
        time=utc(row["wall"]),
        clock_ok=bool(row["clock_ok"]),
        passed=output == "PASS" and not row["simulated"] and not row["shadow"],
        output=output,
        verdict=_verdict(row["verdict"]),
        percent=round(100.0 * score / threshold, 2) if score is not None and threshold else None,
        spot=None if row["spot_x"] is None else (row["spot_x"], row["spot_y"]),
        warn=bool(row["warn"]),
        late=bool(row["late"]),
        shadow=bool(row["shadow"]),
        simulated=bool(row["simulated"]),
        **{name: row[name] for name in _AS_IT_IS},
    )


_AS_IT_IS = (
    *("reason", "error", "score", "threshold", "job", "category", "part_id", "serial", "trigger"),
    *("ms_acquire", "ms_judge", "ms_total", "deadline_ms"),
)


def alarm_message(event: Row, trace: str, station: str) -> AlarmMessage:
    """Return what is said of an event of the trace named ``trace``."""
    return AlarmMessage(
        key=f"{trace}-e{event['id']}",
        station=station,
        time=utc(event["wall"]),
        severity=event["severity"],
        code=event["code"],
        name=_name_of(event["code"]),
        text=event["text"],
    )


def state_message(heard: Heard, config: Config) -> StateMessage:
    """Return what is said of the station, from what the desk has heard of it last."""
    status = heard.status
    if status is None:
        return StateMessage(station=config.station.name, online=False, text=heard.error)
    image: dict[str, Any] = status["image"]
    return StateMessage(
        station=config.station.name,
        online=True,
        mode=status["mode"],
        state=image["state"],
        ready=bool(image["status"] & Status.READY),
        fault="" if image["fault"] == Fault.NONE.name else image["fault"],
        job=image["job"],
    )


def utc(wall: float) -> str:
    """Return seconds since 1970 as RFC 3339, to the millisecond; a time that no calendar has as ""."""
    try:
        return datetime.fromtimestamp(wall, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return ""


def _verdict(code: int) -> str:
    try:
        return VerdictCode(code).name
    except ValueError:  # a row of a later version
        return str(code)


def _name_of(code: int) -> str:
    for kind in (Fault, TraceAlarm):
        if code and code in {int(member) for member in kind}:
            return kind(code).name
    return ""
