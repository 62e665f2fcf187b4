"""What the page shows of the station as a machine: health, disk, users, records of changes, configuration."""

from __future__ import annotations

import io
import platform
import shutil
import time
import zipfile
from importlib.metadata import distributions
from typing import Any

import msgspec
from starlette.responses import Response

from ..service import Surroundings
from .config_view import config_view
from .routes import Call, Route

__all__ = ["system_routes"]

_DAY = 86_400.0
_MOST = 200
_PACKAGES = ("regad", "numpy", "onnxruntime", "opencv-python", "pillow", "msgspec", "starlette", "uvicorn")
_LOGGED = 2000  # events in the diagnostics


def system_routes() -> list[Route]:
    """Return the routes of the system's page."""
    return [
        Route("/api/v1/system", _system, "engineer"),
        Route("/api/v1/log", _log),
        Route("/api/v1/audit", _audit, "engineer"),
        Route("/api/v1/config", lambda call: config_view(call.around.path), "engineer"),
        Route("/api/v1/diagnostics", _diagnostics, "engineer"),
    ]


def _system(call: Call) -> dict[str, Any]:
    with call.trace() as trace:
        boots = trace.boots()[-10:]
    sessions = call.site["sessions"]
    users = [{"name": name, "role": user.role} for name, user in sorted(sessions.users().items())]
    return {
        "versions": _versions(),
        "boots": boots,
        "disk": _disk(call),
        "users": users,
        "health": _health(call.around),
    }


def _versions() -> dict[str, str]:
    found = {one.name: one.version for one in distributions() if one.name in _PACKAGES}
    return {"python": platform.python_version(), "system": f"{platform.system()} {platform.release()}"} | found


def _health(around: Surroundings) -> dict[str, Any]:
    return {name: msgspec.to_builtins(health) for name, health in around.health().items()}


def _disk(call: Call) -> dict[str, Any]:
    """Sizes in bytes. ``days`` is until pictures must go, at the pace of the last day; None: not foreseeable."""
    policy = call.around.config.trace
    free = shutil.disk_usage(call.around.trace).free
    with call.trace() as trace:
        total, recent = trace.pictures(time.time() - _DAY)
    room = free - policy.min_free_gb * 1e9
    if policy.max_gb is not None:
        room = min(room, policy.max_gb * 1e9 - total)
    days = None if recent == 0 else max(0.0, room / recent)
    return {"free": free, "pictures": total, "per_day": recent, "room": max(0.0, room), "days": days}


def _log(call: Call) -> list[dict[str, Any]]:
    with call.trace() as trace:
        return trace.log(call.number("before", 1 << 62), call.number("limit", 50, 1, _MOST))


def _audit(call: Call) -> list[dict[str, Any]]:
    with call.trace() as trace:
        return trace.audit(call.number("before", 1 << 62), call.number("limit", 50, 1, _MOST))


def _diagnostics(call: Call) -> Response:
    """A zip for who helps from afar: no pictures, no passwords, no users' hashes."""
    heard = call.around.watch.heard
    with call.trace() as trace:
        log, boots, gaps = trace.log(None, _LOGGED), trace.boots(), [gap._asdict() for gap in trace.gaps()]
    members: dict[str, Any] = {
        "versions.json": _versions(),
        "config.json": config_view(call.around.path),
        "status.json": heard.status or {"error": heard.error},
        "health.json": _health(call.around),
        "disk.json": _disk(call),
        "boots.json": boots,
        "gaps.json": gaps,
        "log.json": log,
    }
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in members.items():
            archive.writestr(name, msgspec.json.format(msgspec.json.encode(value), indent=1))
    headers = {"content-disposition": 'attachment; filename="regad-diagnostics.zip"', "cache-control": "no-store"}
    return Response(data.getvalue(), media_type="application/zip", headers=headers)
