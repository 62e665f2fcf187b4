"""The line's own part of the state: what it says of itself, without what changes at every look."""

from __future__ import annotations

from typing import Any

from ..service import Surroundings

__all__ = ["station_section"]

_RESTLESS = ("at_ns", "heartbeat", "writes")


def station_section(around: Surroundings) -> dict[str, Any]:
    """Return ``station``: whether it answers, what it said last, and why it does not."""
    heard = around.watch.heard
    status = heard.status
    if status is None:
        return {"station": {"online": False, "error": heard.error, "name": around.config.station.name}}
    image = {name: value for name, value in status["image"].items() if name not in _RESTLESS}
    trace = {**status["trace"], "seconds": round(status["trace"]["seconds"], 1)}
    return {
        "station": {
            "online": True,
            "error": "",
            "name": status["station"],
            "mode": status["mode"],
            "boot": status["boot"],
            "image": image,
            "trace": trace,
            "modbus": status["modbus"],
        },
        "beat": status["image"]["heartbeat"],
        "words": status.get("words"),
    }
