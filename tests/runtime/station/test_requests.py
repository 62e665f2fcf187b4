"""What the command socket may ask."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from regad.runtime.errors import InputError
from regad.runtime.station.codes import TriggerKind, VerdictCode
from regad.runtime.station.desk_requests import DeskRequests
from regad.runtime.station.events import Event, JobWanted, Reset, Start, Stop, Trigger
from regad.runtime.station.holding import Holding
from regad.runtime.station.image import ProcessImage
from regad.runtime.station.part import Answer, Outcome, Token
from regad.runtime.station.requests import Requests

from .station_doubles import Clock


def made(kind: TriggerKind = TriggerKind.COMMAND, simulated: bool = False) -> tuple[Requests, list[Event]]:
    events: list[Event] = []
    status = {"mode": "live", "image": ProcessImage()}
    desk = DeskRequests(lambda remark: None, lambda wish: None)
    holding = Holding(Path(), events.append, lambda remark: None)
    return Requests(kind, events.append, lambda: status, Clock(5), desk, holding, simulated=simulated), events


@pytest.mark.parametrize(
    ("request_", "event"),
    [
        ({"command": "start"}, Start()),
        ({"command": "stop"}, Stop()),
        ({"command": "reset"}, Reset()),
        ({"command": "job", "number": 3}, JobWanted(3)),
    ],
)
def test_a_request_becomes_an_event(request_: dict[str, Any], event: Event) -> None:
    requests, events = made()
    assert requests.handle(request_) == {}
    assert events == [event]


@pytest.mark.parametrize("simulated", [False, True])
def test_a_trigger_is_answered_once_with_what_was_put_out(simulated: bool) -> None:
    requests, events = made(simulated=simulated)
    future = requests.handle({"command": "trigger", "part_id": 7, "serial": "X"})
    (event,) = events
    assert isinstance(event, Trigger) and (event.at_ns, event.part_id, event.serial) == (5, 7, "X")
    assert event.reply is not None and isinstance(future, Future) and not future.cancel()
    outcome = Outcome(VerdictCode.PASS, score=1.5, threshold=3.0, reason="good")
    event.reply(Answer(Token(1, 4), VerdictCode.LATE, 12.0, outcome))
    event.reply(Answer(Token(1, 4), VerdictCode.PASS, 13.0, outcome))
    assert future.result(0) == {
        **{"seq": 4, "verdict": "LATE", "ms": 12.0, "score": 1.5, "threshold": 3.0},
        **{"warn": False, "reason": "good", "error": "", "simulated": simulated},
    }


def test_the_status_is_plain_data() -> None:
    requests, _ = made()
    found = requests.handle({"command": "status"})
    assert isinstance(found, dict)
    assert (found["mode"], found["image"]["state"], found["image"]["shown"]["verdict"]) == ("live", "BOOT", "NONE")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "command is None; expected one of status, trigger, job, start, stop, reset"),
        ({"command": ["x"]}, "command is"),
        ({"command": "job"}, "number is None; expected a whole number from 1 to 65535"),
        ({"command": "job", "number": True}, "number is True"),
        ({"command": "job", "number": 70000}, "number is 70000"),
        ({"command": "trigger", "part_id": -1}, "part_id is -1"),
        ({"command": "trigger", "serial": 5}, "serial is 5"),
        ({"command": "trigger", "serial": "x" * 65}, "at most 64 characters"),
    ],
)
def test_what_is_not_understood_is_refused_in_a_line(request_: dict[str, Any], message: str) -> None:
    requests, events = made()
    with pytest.raises(InputError, match=message):
        requests.handle(request_)
    assert events == []


def test_a_station_that_the_plc_triggers_takes_no_trigger_from_here() -> None:
    requests, events = made(TriggerKind.MODBUS)
    with pytest.raises(InputError, match=r'trigger\.kind is "modbus"'):
        requests.handle({"command": "trigger"})
    assert events == []
