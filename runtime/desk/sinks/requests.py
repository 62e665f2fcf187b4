"""What others may ask of the station by MQTT: four commands, checked field by field, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from ...errors import InputError
from ...text import shown
from ..errors import LinkError
from ..link import StationLink

__all__ = ["COMMANDS", "Response", "carry_out"]

_MOST = 1024  # bytes


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``id`` comes back with the answer; ``by`` is who asks, as they say: a broker does not tell."""

    id: Annotated[str, msgspec.Meta(max_length=64)] = ""
    by: Annotated[str, msgspec.Meta(max_length=48)] = ""


class JobRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The job to change to."""

    number: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    id: Annotated[str, msgspec.Meta(max_length=64)] = ""
    by: Annotated[str, msgspec.Meta(max_length=48)] = ""


COMMANDS: dict[str, type[Request | JobRequest]] = {
    "start": Request,
    "stop": Request,
    "reset": Request,
    "job": JobRequest,
}
"""The commands, and what each takes."""


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a command was handed to the station; ``error`` and ``code`` say why not."""

    id: str = ""
    command: str
    ok: bool
    error: str = ""
    code: str = ""


Tell = Callable[[str, str, str], None]
"""Records who asked for a command, which one, and with what and what came of it."""


def carry_out(
    link: StationLink, command: str, payload: bytes, *, retained: bool = False, tell: Tell = lambda *_: None
) -> Response:
    """Check a request and hand it to the station. What is wrong with it is in the answer; nothing is raised.

    ``tell`` hears of each of `COMMANDS`, also of one that is refused; what is none of them is nobody's command.
    """
    request: Request | JobRequest = Request()
    try:
        request = _checked(command, payload, retained)
        link.ask(command, **_fields(request))
    except (InputError, LinkError) as error:
        response = Response(id=request.id, command=shown(command)[:64], ok=False, error=str(error), code=error.code)
    else:
        response = Response(id=request.id, command=command, ok=True)
    if command in COMMANDS:
        said = "".join(f"{value}: " for value in _fields(request).values())
        outcome = "done" if response.ok else f"refused: {response.error}"
        tell(f"mqtt {shown(request.by)}".rstrip(), command, f"{said}{outcome}"[:1000])
    return response


def _checked(command: str, payload: bytes, retained: bool) -> Request | JobRequest:
    kind = COMMANDS.get(command)
    if kind is None:
        known = ", ".join(COMMANDS)
        raise InputError(f"the command is {shown(command)[:64]!r}; expected one of {known}", code="unknown")
    if retained:
        raise InputError(
            "the message is retained, and would come again at each connect; send it without the retain flag",
            code="retained",
        )
    if len(payload) > _MOST:
        raise InputError(f"the message has {len(payload)} bytes; expected at most {_MOST}", code="too_long")
    try:
        return msgspec.json.decode(payload or b"{}", type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"the message is wrong ({error}); expected a JSON object", code="not_json") from error


def _fields(request: Request | JobRequest) -> dict[str, Any]:
    return {"number": request.number} if isinstance(request, JobRequest) else {}
