"""How a station's process ends: one line that says what was done, and the status that a shell or systemd expects."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from regad.runtime.formats.artifact import Artifact
from regad.runtime.station import process
from regad.runtime.station.codes import Status

from ..run_doubles import ARTIFACT
from .station_doubles import BAD, GOOD, Station, running


class Told:
    """A line that is stopped by ``number`` as soon as it has begun."""

    def __init__(self, number: signal.Signals, judged: int, lost: int = 0) -> None:
        self.said: list[str] = []
        self._number, self.judged = number, judged
        self.trace = SimpleNamespace(lag=SimpleNamespace(lost_rows=lost))

    def __enter__(self) -> Told:
        return self

    def __exit__(self, *error: object) -> None:
        self.said.append("closed")

    def start(self) -> None:
        signal.raise_signal(self._number)

    def run(self, monkeypatch: pytest.MonkeyPatch, folder: Path, *, autostart: bool = True) -> int:
        monkeypatch.setattr(process, "Line", lambda *given, **more: self)
        monkeypatch.setattr(process, "prepare_process", lambda: None)
        config = Station(folder).config
        config = replace(config, station=replace(config.station, autostart=autostart))
        return process.run_line(config, folder, self.said.append)


@pytest.mark.parametrize(("number", "how", "status"), [(signal.SIGINT, "Ctrl-C", 130), (signal.SIGTERM, "SIGTERM", 0)])
def test_a_station_that_is_stopped_says_so_once_all_is_closed(
    number: signal.Signals, how: str, status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = Told(number, 12)
    assert told.run(monkeypatch, tmp_path) == status
    wanted = f"stopped by {how}: 12 parts judged, all recorded; the outputs are cleared and closed, so nothing passes"
    assert told.said == ["closed", wanted]


def test_a_station_that_waits_for_start_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = Told(signal.SIGINT, 0)
    told.run(monkeypatch, tmp_path, autostart=False)
    assert told.said[0] == (
        'no part is judged before "start": at the page, by a command, or by station.autostart = true'
    )


def test_rows_that_are_lost_are_not_called_recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = Told(signal.SIGINT, 1, lost=3)
    told.run(monkeypatch, tmp_path)
    assert told.said[-1].startswith("stopped by Ctrl-C: 1 part judged, 3 rows of the trace are lost; ")


def test_parts_that_nobody_judged_do_not_count_as_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Artifact, "open", lambda path: ARTIFACT)
    with running(tmp_path) as station:
        line: Any = station.line
        station.until(lambda image: Status.READY in image.status)
        assert (station.part(GOOD), station.part(BAD)) == ("PASS", "REJECT")
        line.requests.handle({"command": "stop"})
        assert station.trigger()["verdict"] == "MISSED"
    assert (line.judged, line.recorded) == (2, 3)
