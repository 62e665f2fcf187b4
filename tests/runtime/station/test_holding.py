"""A held station: no part is taken up until somebody releases it, also after a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regad.runtime.errors import InputError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.station.codes import Flag, State, Status
from regad.runtime.station.events import Event, Held, Released
from regad.runtime.station.holding import FILE_NAME, Holding
from regad.runtime.station.trace.entries import Audit, Remark

from ..run_doubles import ARTIFACT
from .station_doubles import Station, running


@pytest.fixture(autouse=True)
def artifact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Artifact, "open", lambda path: ARTIFACT)


def made(folder: Path) -> tuple[Holding, list[Event], list[Remark]]:
    events: list[Event] = []
    remarks: list[Remark] = []
    return Holding(folder, events.append, remarks.append, lambda: 1.8e9), events, remarks


def ask(holding: Holding, command: str, **fields: Any) -> dict[str, Any]:
    return holding.handlers[command]({"command": command, "id": 1, **fields})


def test_a_hold_outlasts_the_process_until_it_is_released(tmp_path: Path) -> None:
    first, events, remarks = made(tmp_path)
    assert ask(first, "hold", by="challenge", reason="a challenge is due") == {}
    again, restored, _ = made(tmp_path)
    again.restore()
    assert events == restored == [Held("a challenge is due")]
    ask(again, "release", by="ann")
    assert restored[1:] == [Released()] and not (tmp_path / FILE_NAME).exists()
    last, nothing, _ = made(tmp_path)
    last.restore()
    assert nothing == []
    assert remarks == [Audit(by="challenge", at=1.8e9, action="hold", after="a challenge is due")]


def test_a_hold_that_cannot_be_read_is_a_hold(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"{half")
    holding, events, remarks = made(tmp_path)
    holding.restore()
    assert [type(event) for event in events] == [Held]
    with pytest.raises(InputError, match="cannot be read"):
        assert holding.reason
    ask(holding, "release", by="ann")
    assert holding.reason == ""
    assert isinstance(remarks[0], Audit) and remarks[0].action == "release"


@pytest.mark.parametrize(
    "fields",
    [{}, {"by": "a"}, {"by": "a", "reason": ""}, {"by": "", "reason": "x"}, {"by": "a", "reason": "x", "c": 1}],
)
def test_a_hold_without_a_name_or_a_reason_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    holding, events, _ = made(tmp_path)
    with pytest.raises(InputError, match="hold is wrong"):
        ask(holding, "hold", **fields)
    assert events == [] and not (tmp_path / FILE_NAME).exists()


def test_a_part_for_a_held_station_is_missed_and_the_next_after_the_release_is_judged(tmp_path: Path) -> None:
    with running(tmp_path) as station:
        station.until(lambda image: Status.READY in image.status)
        assert station.part() == "PASS"
        station.line.requests.handle({"command": "hold", "by": "challenge", "reason": "a challenge is due"})
        image = station.until(lambda image: Flag.HELD in image.flags)
        assert image.state is State.SETUP and not image.status & (Status.READY | Status.ONLINE | Status.VALID)
        answer = station.trigger()
        assert answer["verdict"] == "MISSED" and "held: a challenge is due" in answer["reason"]
        station.line.requests.handle({"command": "start"})
        station.line.requests.handle({"command": "release", "by": "ann"})
        station.until(lambda image: Status.READY in image.status)
        assert station.part() == "PASS"


def test_a_job_that_begins_with_a_challenge_is_held_before_its_first_part(tmp_path: Path) -> None:
    station = Station(tmp_path)
    station.line._challenged = {1}  # as challenge_at_start = true in its [[job]]
    with station.line:
        station.line.start()
        station.until(lambda image: Flag.HELD in image.flags and Status.JOB_OK in image.status)
        assert station.trigger()["verdict"] == "MISSED"
        station.line.requests.handle({"command": "release", "by": "ann"})
        station.until(lambda image: Status.READY in image.status)
        station.line.requests.handle({"command": "job", "number": 2})
        station.until(lambda image: Status.READY in image.status and image.job == 2)
        station.line.requests.handle({"command": "job", "number": 1})
        image = station.until(lambda image: image.job == 1)
        assert Flag.HELD in image.flags and Status.READY not in image.status
