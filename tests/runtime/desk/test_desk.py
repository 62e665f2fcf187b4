"""The desk's process: its link to the line, what it hears, and services that cannot start."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regad.runtime.desk import desk as process
from regad.runtime.desk.desk import Desk, run_desk
from regad.runtime.desk.errors import LinkError
from regad.runtime.desk.link import StationLink
from regad.runtime.desk.service import Health, Surroundings
from regad.runtime.desk.watch import StationWatch
from regad.runtime.errors import InputError, RegadError
from regad.runtime.station.commands import CommandServer
from regad.runtime.station.config import CameraConfig, CommandsConfig, Config, JobConfig, ModelConfig, TraceConfig
from regad.runtime.station.config_desk import DeskConfig
from regad.runtime.station.configured import desk_command


class Station:
    """Answers as a line does."""

    def __init__(self) -> None:
        self.answer: dict[str, Any] = {"station": "s1"}
        self.asked: list[dict[str, Any]] = []

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(request)
        if request["command"] == "job":
            raise InputError("number is 0; expected a whole number", code="number")
        return self.answer


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    station = Station()
    with CommandServer(tmp_path / "s", station.handle) as server:
        server.start()
        yield station


def config_of(folder: Path, desk: DeskConfig | None = None) -> Config:
    job = JobConfig(number=1, name="one", category=folder / "one.safetensors", sha256="0" * 64)
    return Config(
        model=ModelConfig(path=folder / "model.regad"),
        camera=CameraConfig(source="camera:0"),
        jobs=(job,),
        commands=CommandsConfig(socket=folder / "s"),
        trace=TraceConfig(folder=folder / "trace"),
        desk=desk,
    )


def test_a_request_is_answered_and_a_refusal_raises_with_its_code(tmp_path: Path, station: Station) -> None:
    with StationLink(tmp_path / "s") as link:
        assert link.ask("status", a=1) == {"station": "s1"}
        assert station.asked == [{"command": "status", "a": 1}]
        with pytest.raises(LinkError, match="number is 0") as refused:
            link.ask("job", number=0)
        assert refused.value.code == "number"


def test_a_line_that_is_away_is_said_and_asked_anew_when_it_is_back(tmp_path: Path) -> None:
    with StationLink(tmp_path / "s") as link:
        with pytest.raises(LinkError, match="does not answer") as gone:
            link.ask("status")
        assert gone.value.code == "gone"
        for _ in range(2):  # the second station is another one: the first connection has died with it
            with CommandServer(tmp_path / "s", Station().handle) as server:
                server.start()
                with StationLink(tmp_path / "s") as other:
                    assert other.ask("status")["station"] == "s1"
                assert link.ask("status")["station"] == "s1"
            with pytest.raises(LinkError):
                link.ask("status")


def test_the_watch_tells_of_changes_alone(tmp_path: Path, station: Station) -> None:
    with StationLink(tmp_path / "s") as link:
        watch = StationWatch(link)
        for _ in range(3):
            watch.look()
        assert watch.heard == (1, {"station": "s1"}, "")
        station.answer = {"station": "s2"}
        watch.look()
        assert watch.wait(1, 0.0).status == {"station": "s2"}


def test_those_who_wait_for_news_return_when_the_watch_ends(tmp_path: Path) -> None:
    watch = StationWatch(StationLink(tmp_path / "s"))
    waiting = threading.Thread(target=watch.wait, args=(5, 60.0))
    waiting.start()
    watch.close()
    waiting.join(10)
    assert not waiting.is_alive()


class Part:
    """A service that starts, or does not."""

    def __init__(self, name: str, error: str = "") -> None:
        self.name, self.error, self.closed = name, error, False

    def start(self) -> None:
        if self.error:
            raise InputError(self.error)

    def close(self) -> None:
        self.closed = True

    def health(self) -> Health:
        return Health(True, "well")


def test_a_service_that_cannot_start_is_told_and_the_others_run(tmp_path: Path) -> None:
    parts, said = [Part("page"), Part("mqtt", "no broker is named")], []

    def services(around: Surroundings) -> Iterator[Part]:
        yield from parts

    with Desk(config_of(tmp_path), tmp_path / "station.toml", said.append, services) as desk:
        desk.start()
        assert said == ["mqtt: no broker is named"]
        assert desk.health() == {"page": Health(True, "well"), "mqtt": Health(False, "no broker is named")}
    assert [part.closed for part in parts] == [True, False]


def test_a_desk_without_any_service_that_starts_ends(tmp_path: Path) -> None:
    with (
        Desk(config_of(tmp_path), tmp_path / "station.toml", services=lambda around: iter([Part("a", "no")])) as desk,
        pytest.raises(RegadError, match="no service"),
    ):
        desk.start()


def test_the_line_starts_the_command_that_is_named_or_regads_own_desk(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    assert desk_command(config_of(tmp_path), path) == ()
    assert desk_command(config_of(tmp_path, DeskConfig(command=("mine",))), path) == ("mine",)
    own = desk_command(config_of(tmp_path, DeskConfig()), path)
    assert own[1:] == ("-m", "regad.runtime.desk", str(path))


def test_a_desk_ends_with_the_line_that_started_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was killed, or that Ctrl-C ended twice, tells it nothing."""
    did: list[str] = []

    class Told(Desk):
        def start(self) -> None:
            did.append("started")

        def close(self) -> None:
            did.append("closed")

    parents = iter([70, 70, 70, 1])
    monkeypatch.setattr(process.os, "getppid", lambda: next(parents))
    monkeypatch.setattr(process, "_EVERY", 0.0)
    monkeypatch.setattr(process, "read_config", lambda path: config_of(tmp_path))
    monkeypatch.setattr(process, "Desk", Told)
    run_desk(tmp_path / "station.toml", print)
    assert did == ["started", "closed"] and list(parents) == []
