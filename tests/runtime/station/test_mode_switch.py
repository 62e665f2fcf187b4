"""The mode is switched while the station runs; no restart puts out verdicts that somebody has taken away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regad.runtime.errors import InputError, OutputError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.station.codes import Mode, Status
from regad.runtime.station.config import CameraConfig, Config, JobConfig, ModelConfig, StationConfig, TraceConfig
from regad.runtime.station.events import Event, ModeWanted
from regad.runtime.station.mode_switch import FILE_NAME, ModeSwitch, starts_in

from ..run_doubles import ARTIFACT
from .station_doubles import BAD, Station, running
from .trace.parts import ask


@pytest.fixture(autouse=True)
def artifact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Artifact, "open", lambda path: ARTIFACT)


def config_of(folder: Path, mode: Any) -> Config:
    job = JobConfig(number=1, name="one", category=folder / "one.safetensors", sha256="0" * 64)
    return Config(
        model=ModelConfig(path=folder),
        camera=CameraConfig(source="camera:0"),
        jobs=(job,),
        station=StationConfig(mode=mode),
        trace=TraceConfig(folder=folder),
    )


def want(config: Config, mode: str, post: Any, **more: Any) -> dict[str, Any]:
    return ModeSwitch(config, post).handlers["mode"]({"command": "mode", "id": 1, "by": "anna", "mode": mode, **more})


@pytest.mark.parametrize("configured", ["shadow", "live"])
def test_live_lasts_until_the_restart_and_shadow_beyond_it(tmp_path: Path, configured: str) -> None:
    config, events = config_of(tmp_path, configured), list[Event]()
    assert want(config, "live", events.append) == {} and starts_in(config).value == configured, "station.toml decides"
    assert want(config, "shadow", events.append) == {} and starts_in(config) is Mode.SHADOW
    later = config_of(tmp_path, "live")
    assert starts_in(later) is (Mode.SHADOW if configured == "live" else Mode.LIVE), "who changes the file has the word"
    want(config, "live", events.append)
    assert starts_in(config).value == configured
    assert events == [ModeWanted(mode, "anna") for mode in (Mode.LIVE, Mode.SHADOW, Mode.LIVE)]


def test_a_mark_that_is_damaged_or_a_broken_link_is_shadow(tmp_path: Path) -> None:
    config = config_of(tmp_path, "live")
    (tmp_path / FILE_NAME).write_bytes(b"\x00")
    assert starts_in(config) is Mode.SHADOW
    (tmp_path / FILE_NAME).unlink()
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "nowhere")
    assert starts_in(config) is Mode.SHADOW


def test_shadow_after_live_outlasts_a_station_toml_that_was_set_to_live_meanwhile(tmp_path: Path) -> None:
    switch = ModeSwitch(config_of(tmp_path, "shadow"), list[Event]().append)
    for mode in ("live", "shadow"):
        switch.handlers["mode"]({"command": "mode", "by": "anna", "mode": mode})
    assert starts_in(config_of(tmp_path, "live")) is Mode.SHADOW
    assert starts_in(config_of(tmp_path, "shadow")) is Mode.SHADOW


def test_a_folder_that_cannot_be_looked_into_is_shadow_and_none_is_as_configured(tmp_path: Path) -> None:
    """The check asks as whoever runs it; the trace itself says what is wrong with its folder."""
    assert starts_in(config_of(tmp_path / ("x" * 300), "live")) is Mode.SHADOW
    assert starts_in(config_of(tmp_path / "none yet", "live")) is Mode.LIVE
    (tmp_path / "file").touch()
    assert starts_in(config_of(tmp_path / "file", "live")) is Mode.LIVE


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mode": "simulate"}, "Invalid enum value 'simulate'"),
        ({"mode": "live", "by": ""}, "length >= 1"),
        ({"mode": "live", "confirm": "yes"}, "unknown field `confirm`"),
        ({}, "required field `mode`"),
    ],
)
def test_what_is_no_mode_is_refused(tmp_path: Path, fields: dict[str, str], message: str) -> None:
    switch = ModeSwitch(config_of(tmp_path, "shadow"), pytest.fail)
    with pytest.raises(InputError, match=message):
        switch.handlers["mode"]({"command": "mode", "by": "anna", **fields})


def test_a_station_that_simulates_stays_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no real part may pass") as refused:
        want(config_of(tmp_path, "simulate"), "live", pytest.fail)
    assert refused.value.code == "simulate"


def test_a_mark_that_cannot_be_written_is_told_and_the_shadow_begins_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    events: list[Event] = []
    with pytest.raises(OutputError, match="goes into shadow, and a restart may put it back to live: cannot write"):
        want(config_of(tmp_path / "file", "live"), "shadow", events.append)
    assert events == [ModeWanted(Mode.SHADOW, "anna")]


def test_a_station_goes_live_and_back_with_its_user_in_the_audit_trail(tmp_path: Path) -> None:
    config = StationConfig(mode="live", autostart=True, job=1)
    with running(tmp_path, station=StationConfig(mode="shadow", autostart=True, job=1)) as station:
        station.until(lambda image: Status.READY in image.status and Status.SHADOW in image.status)
        assert station.part() == "NONE"
        station.line.requests.handle({"command": "mode", "by": "anna", "mode": "live"})
        station.until(lambda image: Status.SHADOW not in image.status)
        assert [station.part(), station.part(BAD)] == ["PASS", "REJECT"]
    live = Station(tmp_path, station=config)
    with live.line:
        live.line.start()
        live.until(lambda image: Status.READY in image.status)
        assert live.part() == "PASS"
        live.line.requests.handle({"command": "mode", "by": "ben", "mode": "shadow"})
        live.until(lambda image: Status.SHADOW in image.status)
    again = Station(tmp_path, config=live.config)
    with again.line:
        again.line.start()
        again.until(lambda image: Status.READY in image.status)
        assert again.part() == "NONE"
        assert any("the station starts in shadow" in text for text in again.said)
    trace = tmp_path / "trace"
    assert ask(trace, "SELECT user, before, after FROM audit WHERE action = 'mode'") == [
        ("anna", "shadow", "live"),
        ("ben", "live", "shadow"),
    ]
    assert ask(trace, "SELECT shadow, output FROM inspection ORDER BY id") == [(1, 0), (0, 1), (0, 2), (0, 1), (1, 0)]
