"""What may be asked by MQTT: four commands, and nothing that is not exactly one of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regad.runtime.desk.link import StationLink
from regad.runtime.desk.sinks import mqtt
from regad.runtime.desk.sinks.requests import Response, carry_out
from regad.runtime.station.commands import CommandServer
from regad.runtime.station.pacing import Bucket

from .sink_doubles import Line


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def link(tmp_path: Path, line: Line) -> Iterator[StationLink]:
    with CommandServer(tmp_path / "s", line.handle) as server, StationLink(tmp_path / "s") as link:
        server.start()
        yield link


def test_a_command_reaches_the_station_and_its_id_comes_back(link: StationLink, line: Line) -> None:
    assert carry_out(link, "start", b"") == Response(command="start", ok=True)
    assert carry_out(link, "job", b'{"number": 2, "id": "x"}') == Response(id="x", command="job", ok=True)
    assert line.asked == [{"command": "start"}, {"command": "job", "number": 2}]


def test_who_asked_for_a_command_is_told_with_what_came_of_it(link: StationLink) -> None:
    told: list[tuple[str, str, str]] = []
    for command, payload in (
        ("start", b'{"by": "line 7"}'),
        ("job", b'{"number": 2}'),
        ("job", b'{"number": 99, "by": "mes"}'),
        ("stop", b'{"now": 1}'),
        ("trigger", b""),
    ):
        carry_out(link, command, payload, tell=lambda *said: told.append(said))
    assert told[:3] == [
        ("mqtt line 7", "start", "done"),
        ("mqtt", "job", "2: done"),
        ("mqtt mes", "job", "99: refused: there is no job 99; add it"),
    ]
    assert told[3][:2] == ("mqtt", "stop") and told[3][2].startswith("refused: the message is wrong")
    assert len(told) == 4, "what is no command is nobody's"


def test_commands_that_come_too_fast_are_counted_and_keep_no_verdict_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """An audit takes 20 ms of the thread that sends the verdicts: it waits for the line's disk."""
    recorded: list[str] = []
    monkeypatch.setattr(mqtt, "audit", lambda around, by, command, *, after: recorded.append(after))
    around = SimpleNamespace(config=SimpleNamespace(station=SimpleNamespace(name="s1")))
    sink = mqtt.MqttSink(around, SimpleNamespace(topic="regad"))  # type: ignore[arg-type]
    now = [0.0]
    sink._audits = Bucket(10.0, 20, clock=lambda: now[0])
    for _ in range(100):
        sink._audited("mqtt", "reset", "done")
    assert recorded == ["done"] * 20
    now[0] = 1.0
    sink._audited("mqtt", "stop", "done")
    sink._audited("mqtt", "stop", "done")
    assert recorded[20:] == ["done; 80 commands before it came too fast to be recorded", "done"]


def test_a_refusal_of_the_station_is_in_the_answer(link: StationLink) -> None:
    answer = carry_out(link, "job", b'{"number": 99, "id": "x"}')
    assert answer == Response(id="x", command="job", ok=False, error="there is no job 99; add it", code="unknown_job")


@pytest.mark.parametrize(
    ("command", "payload", "code"),
    [
        ("trigger", b"", "unknown"),
        ("status", b"", "unknown"),
        ("job/1", b"", "unknown"),
        ("", b"", "unknown"),
        ("start", b"now", "not_json"),
        ("start", b'{"force": true}', "not_json"),
        ("start", b'{"id": 7}', "not_json"),
        ("start", b'{"by": "' + b"x" * 49 + b'"}', "not_json"),
        ("start", b'{"id": "' + b"x" * 65 + b'"}', "not_json"),
        ("start", b" " * 1025, "too_long"),
        ("job", b"", "not_json"),
        ("job", b'{"number": true}', "not_json"),
        ("job", b'{"number": 0}', "not_json"),
        ("job", b'{"number": 1, "path": "/etc/passwd"}', "not_json"),
        ("job", b"[" * 1000, "not_json"),
    ],
)
def test_what_is_not_a_command_reaches_nobody(
    link: StationLink, line: Line, command: str, payload: bytes, code: str
) -> None:
    answer = carry_out(link, command, payload)
    assert (answer.ok, answer.code) == (False, code)
    assert line.asked == []


def test_a_retained_command_would_come_at_each_connect_and_is_refused(link: StationLink, line: Line) -> None:
    assert carry_out(link, "start", b"", retained=True).code == "retained"
    assert line.asked == []


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=20), st.binary(max_size=200))
def test_whatever_arrives_is_answered(command: str, payload: bytes) -> None:
    answer = carry_out(StationLink(Path("/nowhere/s")), command, payload)
    assert not answer.ok
    assert answer.error
