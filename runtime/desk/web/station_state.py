"""The line's own part of the state, the alarms that stand, and how the desk's services do."""

from __future__ import annotations

from typing import Any

from ...station.codes import Flag
from ..service import Surroundings

__all__ = ["alarms_of", "services_section", "station_section"]

_RESTLESS = ("at_ns", "heartbeat", "writes")


def station_section(around: Surroundings) -> dict[str, Any]:
    """Return ``station``: what the line said last, or why it does not answer; ``alarms``, and the PLC's ``words``."""
    heard = around.watch.heard
    status, name = heard.status, around.config.station.name
    if status is None:
        station = {"online": False, "error": heard.error, "name": name, "mode": around.config.station.mode}
        return {"station": station, "alarms": alarms_of(None), "words": None}
    image = {key: value for key, value in status["image"].items() if key not in _RESTLESS}
    trace = {**status["trace"], "seconds": round(status["trace"]["seconds"])}
    known = ("mode", "boot", "modbus", "challenge")
    station = {"online": True, "error": "", "name": name} | {key: status.get(key) for key in known}
    return {
        "station": {**station, "image": image, "trace": trace},
        "alarms": alarms_of(status),
        "words": status.get("words"),
    }


def alarms_of(status: dict[str, Any] | None) -> list[str]:
    """Return what needs somebody, the worst first: the names of faults and flags, whose remedies the page knows."""
    if status is None:
        return ["OFFLINE"]
    image = status["image"]
    found = [] if image["fault"] == "NONE" else [str(image["fault"])]
    flags = Flag(image["flags"]) & ~(Flag.LATE | Flag.DESK_OFFLINE)
    return found + [flag.name for flag in Flag if flag and flag in flags and flag.name is not None]


def services_section(around: Surroundings) -> dict[str, Any]:
    """Return ``services``: how each of the desk's services does."""
    found = {name: health for name, health in around.health().items() if name != "page"}
    return {
        "services": {
            name: {"ok": health.ok, "text": health.text, "behind": health.behind} for name, health in found.items()
        }
    }
