"""What may be asked over the command socket of the line itself; what the desk asks besides is in `desk_requests`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Protocol, Union

from ..errors import InputError
from .codes import TriggerKind
from .events import Event, JobWanted, Reset, Start, Stop, Trigger
from .image import ProcessImage
from .part import Answer
from .worker import Clock

__all__ = ["Answering", "Requests"]

_WORD, _DOUBLE, _SERIAL = 0xFFFF, 0xFFFF_FFFF, 64
_Handler = Callable[[dict[str, Any]], Union[dict[str, Any], "Future[dict[str, Any]]"]]


class Answering(Protocol):
    """Answers some commands, by their names."""

    @property
    def handlers(self) -> Mapping[str, _Handler]:
        """Who answers which."""
        ...


class Requests:
    """Answers requests; from any thread. ``status`` gives what is known besides the image, and the image itself.

    Each verdict says whether it was ``simulated``: no real part may pass on such a one.
    """

    def __init__(
        self,
        kind: TriggerKind,
        post: Callable[[Event], None],
        status: Callable[[], dict[str, Any]],
        clock: Clock,
        *others: Answering,
        simulated: bool = False,
    ) -> None:
        """``others`` answer what is not the line's own: the desk's requests, holds, the mode."""
        self._kind = kind
        self._post = post
        self._status_of = status
        self._clock = clock
        self._simulated = simulated
        self._handlers: dict[str, _Handler] = {
            "status": self._status,
            "trigger": self._trigger,
            "job": self._job,
            "start": lambda request: self._tell(Start()),
            "stop": lambda request: self._tell(Stop()),
            "reset": lambda request: self._tell(Reset()),
        }
        for one in others:
            self._handlers |= one.handlers

    def handle(self, request: dict[str, Any]) -> dict[str, Any] | Future[dict[str, Any]]:
        """Answer a request, or say when it will be. Raises InputError for one that is not understood."""
        name = request.get("command")
        handler = self._handlers.get(name) if isinstance(name, str) else None
        if handler is None:
            raise InputError(f"command is {name!r}; expected one of {', '.join(self._handlers)}", code="unknown")
        return handler(request)

    def _tell(self, event: Event) -> dict[str, Any]:
        self._post(event)
        return {}

    def _status(self, request: dict[str, Any]) -> dict[str, Any]:
        found = self._status_of()
        return {**found, "image": _image(found["image"])}

    def _job(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._tell(JobWanted(_whole(request, "number", 1, _WORD)))

    def _trigger(self, request: dict[str, Any]) -> Future[dict[str, Any]]:
        if self._kind is not TriggerKind.COMMAND:
            raise InputError(
                f'trigger.kind is "{self._kind.value}": the station takes no trigger from here; set it to "command"',
                code="not_command",
            )
        part_id, serial = _whole(request, "part_id", 0, _DOUBLE, 0), request.get("serial", "")
        if not isinstance(serial, str) or len(serial) > _SERIAL:
            raise InputError(f"serial is {serial!r}; expected text of at most {_SERIAL} characters")
        future: Future[dict[str, Any]] = Future()
        future.set_running_or_notify_cancel()  # a client that leaves cannot take it away
        reply = _Once(future, self._simulated)
        self._post(Trigger(TriggerKind.COMMAND, self._clock(), 0, part_id, serial, reply))
        return future


class _Once:
    """Fills in the answer to a trigger, the first time that it is called."""

    def __init__(self, future: Future[dict[str, Any]], simulated: bool) -> None:
        self._future = future
        self._simulated = simulated
        self._lock = threading.Lock()

    def __call__(self, answer: Answer) -> None:
        with self._lock:
            if not self._future.done():
                self._future.set_result({**_answer(answer), "simulated": self._simulated})


def _answer(answer: Answer) -> dict[str, Any]:
    outcome = answer.outcome
    told: dict[str, Any] = {"seq": answer.token.seq, "verdict": answer.verdict.name, "ms": round(answer.ms, 3)}
    if outcome is not None:
        told |= {"score": outcome.score, "threshold": outcome.threshold, "warn": outcome.warn}
        told |= {"reason": outcome.reason, "error": outcome.error}
    return told


def _image(image: ProcessImage) -> dict[str, Any]:
    names = {"state": image.state.name, "fault": image.fault.name}
    shown = {**vars(image.shown), "verdict": image.shown.verdict.name}
    return {**vars(image), **names, "status": int(image.status), "flags": int(image.flags), "shown": shown}


def _whole(request: dict[str, Any], name: str, least: int, most: int, default: int | None = None) -> int:
    value = request.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InputError(f"{name} is {value!r}; expected a whole number from {least} to {most}")
    return value
