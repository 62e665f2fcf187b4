"""Jobs that are added while the station runs: under a free number, with settings of their own, over a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from regad.runtime.errors import InputError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.station.codes import Flag, Status
from regad.runtime.station.config import DeskConfig
from regad.runtime.station.config_job import JobSettings
from regad.runtime.station.installed import Installed, settings_of, store_category
from regad.runtime.station.job_spec import JobError
from regad.runtime.station.jobs import Jobs

from ..run_doubles import ARTIFACT, category
from .installed_bench import Bench
from .station_doubles import GOOD, Backend, Station, running
from .trace.parts import ask


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_new_job_is_added_under_a_free_number_and_lies_ready(bench: Bench) -> None:
    jobs = bench.jobs()
    before, after, _ = jobs.install(bench.wish(job=7, name="gear", threshold=9.0))
    assert before is None and (after.number, after.name, after.sha256) == (7, "gear", bench.new)
    jobs._made = pytest.fail  # type: ignore[method-assign]  # it is read already
    assert jobs.take(7).job.name == "gear" and [spec.number for spec in jobs.table] == [1, 7]
    assert bench.told[-1] == (bench.new, 9.0, "anna") and jobs.take(1).job.pin == bench.old


def test_an_added_job_outlasts_a_restart_and_takes_other_versions(bench: Bench) -> None:
    bench.jobs().install(bench.wish(job=7, name="gear"))
    again = bench.jobs()
    assert again.take(7).job.pin == bench.new
    assert again.notes == ["job 7: gear, which anna added, is in force"]
    third = store_category(bench.folder, replace(category(), created="third"))
    before, after, _ = again.install(bench.wish(job=7, sha256=third, by="ben"))
    assert before is not None and before.sha256 == bench.new and after.name == "gear"
    last = bench.jobs()
    assert last.take(7).job == replace(last.take(7).job, pin=third, name="gear")


def test_a_job_of_station_toml_takes_the_number_of_one_that_was_added(bench: Bench) -> None:
    bench.jobs().install(bench.wish(job=7, name="gear"))
    seven = replace(bench.spec, number=7, name="plate")
    jobs = Jobs(Backend().model, [bench.spec, seven], None, Installed(bench.folder))
    jobs.open()
    assert jobs.take(7).job.name == "plate" and "is not used: station.toml was changed after it" in jobs.notes[0]


def test_a_number_that_is_taken_is_no_new_job(bench: Bench) -> None:
    jobs = bench.jobs()
    with pytest.raises(InputError, match=r"job 1 is there already \(part\); choose a free number"):
        jobs.install(bench.wish(name="gear"))
    with pytest.raises(JobError, match="cannot be read"):
        jobs.install(bench.wish(job=7, name="gear", sha256="f" * 64))
    assert [spec.number for spec in jobs.table] == [1] and not Installed(bench.folder).path.exists()


def test_an_added_job_keeps_its_settings_over_a_restart_and_over_other_versions(bench: Bench) -> None:
    settings = JobSettings(deadline_ms=250, challenge_every_h=8.0)
    jobs = bench.jobs()
    jobs.install(bench.wish(job=7, name="gear", settings=settings))
    file = json.loads(Installed(bench.folder).path.read_text())
    assert file["version"] == 3 and file["jobs"]["7"]["settings"] == {"deadline_ms": 250, "challenge_every_h": 8.0}
    again = bench.jobs()
    for table in (jobs, again):
        spec = table.spec(7)
        assert spec is not None and spec.challenged and settings_of(spec) == settings
        assert table.take(7).job.deadline_ns == 250_000_000
    third = store_category(bench.folder, replace(category(), created="third"))
    _, after, _ = again.install(bench.wish(job=7, sha256=third))
    assert settings_of(after) == settings and again.take(7).job.deadline_ns == 250_000_000
    _, after, _ = again.install(bench.wish(job=7, sha256=third, settings=JobSettings(deadline_ms=90)))
    assert not after.challenged and again.take(7).job.deadline_ns == 90_000_000, "the same file, other settings"
    again.install(bench.wish(job=7, sha256=third, settings=JobSettings()))
    assert json.loads(Installed(bench.folder).path.read_text())["version"] == 2, "an older program reads on"
    assert bench.jobs().take(7).job.deadline_ns is None


def test_the_settings_of_a_job_of_station_toml_stand_there(bench: Bench) -> None:
    jobs = bench.jobs(deadline_ns=7)
    with pytest.raises(InputError, match=r"job 1 is in station\.toml; set its deadline and its challenges there"):
        jobs.install(bench.wish(settings=JobSettings(deadline_ms=90)))
    assert not Installed(bench.folder).path.exists() and jobs.take(1).job.deadline_ns == 7
    jobs.install(bench.wish())
    assert jobs.take(1).job.deadline_ns == 7
    text = Installed(bench.folder).path.read_text()
    settings = '"note": "sharper", "settings": {"deadline_ms": 90}'
    Installed(bench.folder).path.write_text(text.replace('"note": "sharper"', settings))
    with pytest.raises(InputError, match="settings are for a job that was added"):
        bench.jobs()


@pytest.mark.parametrize("settings", ['{"deadline_ms": 0}', '{"challenge_every_h": 0.01}', '{"warn": 1}', "[]"])
def test_settings_that_station_toml_would_not_take_make_the_list_useless(bench: Bench, settings: str) -> None:
    bench.jobs().install(bench.wish(job=7, name="gear"))
    path = Installed(bench.folder).path
    path.write_text(path.read_text().replace('"note": "sharper"', f'"note": "", "settings": {settings}'))
    with pytest.raises(InputError, match="it says which categories were installed"):
        bench.jobs()


@contextmanager
def ready(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Station, dict[str, Any]]]:
    """A station that is READY, and the request that adds job 7."""
    monkeypatch.setattr(Artifact, "open", lambda path: ARTIFACT)
    with running(folder) as station:
        station.until(lambda image: bool(image.status & Status.READY))
        sha256 = store_category(folder / "trace", replace(category(), created="new"))
        yield station, {"command": "install", "job": 7, "sha256": sha256, "by": "anna", "name": "gear"}


def test_a_job_that_a_restart_would_not_take_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a desk nobody asks for its challenges, and the station would not start with it."""
    with ready(tmp_path, monkeypatch) as (station, request):
        done = station.line.requests.handle({**request, "settings": {"challenge_every_h": 8.0}})
        assert not isinstance(done, dict)
        with pytest.raises(InputError, match=r"job 7 asks for challenges, .*; expected a table \[desk\] too"):
            done.result(20)
        assert not Installed(tmp_path / "trace").path.exists()


def test_a_program_that_knows_no_added_jobs_refuses_the_list_that_has_some(bench: Bench) -> None:
    jobs = bench.jobs()
    jobs.install(bench.wish())
    assert json.loads(Installed(bench.folder).path.read_text())["version"] == 1
    jobs.install(bench.wish(job=7, name="gear"))
    assert json.loads(Installed(bench.folder).path.read_text())["version"] == 2
    text = Installed(bench.folder).path.read_text()
    Installed(bench.folder).path.write_text(text.replace('"gear"', '""'))
    with pytest.raises(InputError, match="exactly one of them"):
        bench.jobs()


def test_a_station_takes_a_new_job_in_and_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ready(tmp_path, monkeypatch) as (station, request):
        done = station.line.requests.handle(request)
        assert not isinstance(done, dict) and done.result(20)["job"] == 7
        assert station.line.image.job == 1 and station.part(GOOD) == "PASS", "the job in force goes on"
        station.line.requests.handle({"command": "job", "number": 7})
        station.until(lambda image: bool(image.status & Status.READY) and image.job == 7)
        assert station.part(GOOD) == "PASS"
    again = Station(tmp_path, config=station.config)
    with again.line:
        again.line.start()
        again.line.requests.handle({"command": "job", "number": 7})
        again.until(lambda image: bool(image.status & Status.READY) and image.job == 7)
    rows = ask(tmp_path / "trace", "SELECT user, before FROM audit WHERE action = 'install job 7'")
    assert rows == [("anna", None)]
    assert ask(tmp_path / "trace", "SELECT name FROM job WHERE number = 7") == [("gear",)]


def added(station: Station, **fields: Any) -> None:
    """Add job 7, or put another version of it in force."""
    sha256 = store_category(station.folder / "trace", replace(category(), created=str(fields)))
    done = station.line.requests.handle({"command": "install", "job": 7, "sha256": sha256, "by": "anna", **fields})
    assert not isinstance(done, dict) and done.result(20)["job"] == 7


def test_an_added_job_has_its_own_deadline_and_is_challenged_as_one_of_station_toml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Artifact, "open", lambda path: ARTIFACT)
    station = Station(tmp_path, desk=DeskConfig(command=("true",)))
    with station.line:
        station.line.start()
        station.until(lambda image: bool(image.status & Status.READY))
        added(station, name="gear", settings={"deadline_ms": 50, "challenge_every_h": 8.0})
        station.line.requests.handle({"command": "job", "number": 7})
        station.until(lambda image: bool(image.status & Status.READY) and image.job == 7)
        go_on = station.backend.hold()
        assert station.trigger()["verdict"] == "LATE", "station.toml's deadline is 20 s"
        go_on.set()
        station.until(lambda image: bool(image.status & Status.READY))
        added(station)
        station.until(lambda image: Flag.HELD in image.flags)
        assert "job 7 has another version" in station.trigger()["reason"], "before its first part"
    again = Station(tmp_path, config=station.config)
    with again.line:
        again.line.start()
        again.line.requests.handle({"command": "job", "number": 7})
        image = again.until(lambda image: image.job == 7)
        assert Flag.HELD in image.flags
    rows = ask(tmp_path / "trace", "SELECT after FROM audit WHERE action = 'install job 7'")
    assert [json.loads(after).get("deadline_ms") for (after,) in rows] == [50, 50]
    assert ask(tmp_path / "trace", "SELECT DISTINCT deadline_ms FROM inspection WHERE late") == [(50.0,)]
    without = Station(tmp_path, config=msgspec.structs.replace(station.config, desk=None))
    with pytest.raises(InputError, match="job 7 asks for challenges, which are done at the page"), without.line:
        without.line.start()
