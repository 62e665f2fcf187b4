"""What the page asks of the line: the few commands that a person may give, each for who may."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from ...errors import InputError
from ...station.installed import settings_of
from ..audit import audit
from ..jobs import is_added, job_named, jobs_of
from ..link import StationLink
from ..service import Surroundings
from .routes import Call, Handler, Route

__all__ = ["command_routes"]


class _Event(msgspec.Struct, forbid_unknown_fields=True):
    event: Annotated[int, msgspec.Meta(ge=1)]


class _Job(msgspec.Struct, forbid_unknown_fields=True):
    number: Annotated[int, msgspec.Meta(ge=1, le=65_535)]


class _Mode(msgspec.Struct, forbid_unknown_fields=True):
    mode: Literal["shadow", "live"]
    confirm: Annotated[str, msgspec.Meta(max_length=64)] = ""


def command_routes(around: Surroundings) -> list[Route]:
    """Return the routes of the commands; a trigger only where the line takes one by command."""
    routes = [
        Route("/api/v1/command/reset", _plain("reset"), "operator", "POST"),
        Route("/api/v1/command/start", _plain("start"), "engineer", "POST"),
        Route("/api/v1/command/stop", _plain("stop"), "engineer", "POST"),
        Route("/api/v1/command/job", _job, "operator", "POST"),
        Route("/api/v1/command/mode", _mode, "engineer", "POST", person=True),
        Route("/api/v1/acknowledge", _acknowledge, "operator", "POST"),
        Route("/api/v1/jobs", _jobs),
    ]
    if around.config.trigger.kind == "command":
        routes.append(Route("/api/v1/command/trigger", _trigger, "engineer", "POST"))
    return routes


def _plain(name: str) -> Handler:
    def ask(call: Call) -> dict[str, Any]:
        answer = call.around.link.ask(name)
        audit(call.around, call.user, name)
        return answer

    return ask


def _job(call: Call) -> dict[str, Any]:
    number = call.json(_Job).number
    if job_named(call.around.config, number) is None:
        raise InputError(f"there is no job {number}; add it at Teach, or by a [[job]] in station.toml", code="job")
    answer = call.around.link.ask("job", number=number)
    audit(call.around, call.user, "job", after=str(number))
    return answer


def _mode(call: Call) -> dict[str, Any]:
    """Ask for a mode, which begins between two parts; the line records who did. Live needs the station's name."""
    wanted, name = call.json(_Mode), call.around.config.station.name
    if wanted.mode == "live" and wanted.confirm != name:
        raise InputError(
            f"in live the verdicts are output: to confirm, type the station's name, {name}", code="confirm"
        )
    return call.around.link.ask("mode", by=call.user, mode=wanted.mode)


def _acknowledge(call: Call) -> dict[str, Any]:
    return call.around.link.ask("acknowledge", by=call.user, event=call.json(_Event).event)


def _jobs(call: Call) -> list[dict[str, Any]]:
    """The jobs; of those that were added at the page also the settings that they have there, None for the others."""
    config = call.around.config
    return [
        {
            **{"number": job.number, "name": job.name},
            "settings": settings_of(job) if is_added(config, job.number) else None,
        }
        for job in jobs_of(config)
    ]


def _trigger(call: Call) -> dict[str, Any]:
    """Trigger once, to try the station; the record says who did."""
    with StationLink(call.around.config.commands.socket) as link:  # one of its own: the verdict may take a second
        answer = link.ask("trigger", serial=f"page {call.user}"[:64])
    audit(call.around, call.user, "trigger", after=str(answer.get("verdict", "")))
    return answer
