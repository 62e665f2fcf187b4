"""Versions of jobs that are installed while the station runs: in force between two parts, and after a restart."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from regad.runtime.errors import InputError, OutputError, RegadError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.category import Category, save_category
from regad.runtime.formats.digest import sha256_of
from regad.runtime.formats.threshold import Threshold
from regad.runtime.serve.registry_cli import pull_command
from regad.runtime.station.codes import Fault, Flag, Status
from regad.runtime.station.config import DeskConfig
from regad.runtime.station.config_job import JobSettings
from regad.runtime.station.effects import Load
from regad.runtime.station.events import Event, JobFailed, JobReady, JobRenewed
from regad.runtime.station.installed import Installed, Wish, category_path, settings_of, store_category
from regad.runtime.station.job_spec import JobError, JobSpec
from regad.runtime.station.jobs import Jobs
from regad.runtime.station.jobs_thread import JobsThread

from ..run_doubles import ARTIFACT, category
from .station_doubles import GOOD, Backend, Clock, Station, running
from .trace.parts import ask


class Bench:
    """A trace folder with one job of station.toml, `old`, and a version that can be installed, `new`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.told = folder, []  # type: ignore[var-annotated]
        self.new = store_category(folder, replace(category(), created="new"))
        self.old = store_category(folder, replace(category(), created="old"))
        path = folder / "part.safetensors"
        category_path(folder, self.old).replace(path)
        self.spec = JobSpec(1, "part", path, self.old)

    def jobs(self, **changes: Any) -> Jobs:
        made = Jobs(Backend().model, [replace(self.spec, **changes)], self._loaded, Installed(self.folder))
        made.open()
        return made

    def _loaded(self, spec: JobSpec, category: Category) -> None:
        self.told.append((spec.sha256, category.threshold.value, spec.by))

    def wish(self, **changes: Any) -> Wish:
        return replace(Wish(1, self.new, None, None, "anna", "sharper", 1.8e9), **changes)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_version_lies_ready_until_the_job_is_taken_again(bench: Bench) -> None:
    jobs = bench.jobs()
    before = jobs.take(1)
    assert jobs.install(bench.wish(threshold=7.0))[0] == bench.spec
    assert jobs.pinned(before.job) is before and bench.told == [(bench.old, 10.0, "")]
    after = jobs.take(1)
    assert after.job.pin == bench.new and jobs.take(1) is after
    assert bench.told[1:] == [(bench.new, 7.0, "anna")]
    with pytest.raises(KeyError):
        jobs.pinned(before.job)


def test_another_threshold_of_the_same_file_is_another_version(bench: Bench) -> None:
    jobs = bench.jobs()
    first = jobs.take(1)
    jobs.install(bench.wish(sha256=bench.old, threshold=7.0, warn=6.0))
    second = jobs.take(1)
    limits = second.detector.category.threshold  # type: ignore[attr-defined]
    assert second is not first and (limits.value, limits.warn) == (7.0, 6.0)


def test_a_restart_goes_by_what_was_installed_and_says_so(bench: Bench) -> None:
    bench.jobs().install(bench.wish())
    again = bench.jobs()
    assert again.take(1).job.pin == bench.new and again.errors == {}
    assert again.notes == [
        f"job 1: the version {bench.new[:12]}... that anna installed is in force, in place of what station.toml says"
    ]


def test_an_earlier_version_is_installed_again_to_roll_back(bench: Bench) -> None:
    jobs = bench.jobs()
    for sha256 in (bench.new, bench.old):
        jobs.install(bench.wish(sha256=sha256))
        assert jobs.take(1).job.pin == sha256
    assert bench.jobs().take(1).job.pin == bench.old
    assert bench.told[-1] == (bench.old, 10.0, "anna")


@pytest.mark.parametrize("change", [{"threshold": 9.0}, {"warn": 3.0}])
def test_station_toml_has_the_last_word_once_it_is_changed(bench: Bench, change: dict[str, float]) -> None:
    bench.jobs().install(bench.wish())
    again = bench.jobs(**change)
    assert again.take(1).job.pin == bench.old
    assert "is not used: station.toml was changed after it" in again.notes[0]


@pytest.mark.parametrize("text", ["{", '{"format": "regad-jobs", "version": 4, "jobs": {}}', "[]", "x" * 1_000_001])
def test_a_list_that_cannot_be_used_is_refused_with_what_to_do(bench: Bench, text: str) -> None:
    Installed(bench.folder).path.write_text(text)
    with pytest.raises(InputError, match=r"jobs\.json cannot be used .*put it back, or move it away"):
        bench.jobs()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "f" * 64}, "cannot be read: No such file"),
        ({"job": 9}, "there is no job 9; the station has: 1"),
        ({"warn": 50.0}, "the warn limit is 50"),
    ],
)
def test_a_version_that_cannot_judge_changes_nothing(bench: Bench, change: dict[str, Any], message: str) -> None:
    jobs = bench.jobs()
    before = jobs.take(1)
    with pytest.raises(JobError, match=message):
        jobs.install(bench.wish(**change))
    assert jobs.take(1) is before and not Installed(bench.folder).path.exists()


def test_a_file_under_another_hash_is_not_installed(bench: Bench) -> None:
    category_path(bench.folder, bench.new).write_bytes(bench.spec.path.read_bytes())
    with pytest.raises(JobError, match=f"has sha256 {bench.old[:12]}.*pinned is {bench.new[:12]}.*install another"):
        bench.jobs().install(bench.wish())


def test_what_cannot_be_written_down_is_not_installed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr("regad.runtime.station.installed.atomic_write", full)
    jobs = bench.jobs()
    with pytest.raises(OutputError, match="the disk is full"):
        jobs.install(bench.wish())
    assert jobs.take(1).job.pin == bench.old


def test_an_installed_file_that_is_gone_is_a_fault_and_never_the_version_before(bench: Bench) -> None:
    bench.jobs().install(bench.wish())
    category_path(bench.folder, bench.new).unlink()
    again = bench.jobs()
    assert "cannot be read" in again.errors[1]
    with pytest.raises(JobError) as error:
        again.take(1)
    assert error.value.fault is Fault.CATEGORY


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


def test_a_list_that_grows_too_long_is_refused_and_stays_readable(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = bench.jobs()
    monkeypatch.setattr("regad.runtime.station.installed._MOST", 100)
    with pytest.raises(InputError, match=r"put the jobs into station\.toml"):
        jobs.install(bench.wish(job=7, name="gear"))
    assert bench.jobs().errors == {}


def test_a_station_takes_a_new_job_in_and_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Artifact, "open", lambda path: ARTIFACT)
    with running(tmp_path) as station:
        station.until(lambda image: bool(image.status & Status.READY))
        sha256 = store_category(tmp_path / "trace", replace(category(), created="new"))
        request = {"command": "install", "job": 7, "sha256": sha256, "by": "anna", "name": "gear"}
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


def test_the_thread_answers_and_asks_for_the_job_anew(bench: Bench) -> None:
    events: list[Event] = []
    found: list[Any] = []
    worker = JobsThread(bench.jobs(), events.append, print, Clock())
    for wish in (bench.wish(receipt=found.append), bench.wish(job=9, receipt=found.append)):
        worker.submit(wish)
        worker.step(0.0)
    assert events == [JobRenewed(1)]
    assert [spec.sha256 for spec in found[0][:2]] == [bench.old, bench.new] and isinstance(found[1], JobError)
    worker.submit(Load(1))
    worker.step(0.0)
    assert isinstance(events[-1], JobReady) and events[-1].job.pin == bench.new


def test_a_version_that_is_installed_while_its_job_is_set_is_told_of_before_the_job_is_ready(bench: Bench) -> None:
    """The machine asks for no second load then: one is under way."""
    events: list[Any] = []
    jobs = bench.jobs()

    def begins(number: int) -> None:
        spec = jobs.spec(number)
        assert spec is not None
        events.append(spec.sha256)

    worker = JobsThread(jobs, events.append, print, Clock(), begins)
    worker.submit(bench.wish())
    worker.submit(Load(1))
    worker.submit(Load(9))
    for _ in range(3):
        worker.step(0.0)
    renewed, told, ready, failed = events
    assert (renewed, told) == (JobRenewed(1), bench.new) and isinstance(failed, JobFailed)
    assert isinstance(ready, JobReady) and ready.job.pin == bench.new


def test_the_files_are_named_by_their_hash(tmp_path: Path) -> None:
    sha256 = store_category(tmp_path, category())
    assert [path.name for path in (tmp_path / "categories").iterdir()] == [f"{sha256}.safetensors"]
    assert sha256_of(category_path(tmp_path, sha256)) == sha256


def test_a_station_judges_the_next_part_by_what_was_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Artifact, "open", lambda path: ARTIFACT)
    with running(tmp_path) as station:
        assert station.part(GOOD) == "PASS"
        sha256 = store_category(tmp_path / "trace", replace(category(), created="new"))
        request = {"command": "install", "job": 1, "sha256": sha256, "by": "anna", "note": "sharper"}
        future = station.line.requests.handle({**request, "threshold": 1e-3})
        assert not isinstance(future, dict)
        assert future.result(20) == {
            **{"job": 1, "sha256": sha256, "category": category().hash, "threshold": 1e-3, "warn": None}
        }
        jobs = station.line.jobs
        station.until(lambda image: bool(image.status & Status.READY) and jobs._ready[1].pinned.job.pin == sha256)
        assert station.part(GOOD) == "REJECT"
        refused = station.line.requests.handle({**request, "sha256": "0" * 64})
        assert not isinstance(refused, dict)
        with pytest.raises(RegadError, match="cannot be read"):
            refused.result(20)
    again = Station(tmp_path, config=station.config)
    with again.line:
        again.line.start()
        again.until(lambda image: bool(image.status & Status.READY))
        assert again.part(GOOD) == "REJECT"
    ((user, action, before, after),) = ask(
        tmp_path / "trace", "SELECT user, action, before, after FROM audit WHERE action LIKE 'install%'"
    )
    assert (user, action) == ("anna", "install job 1")
    assert json.loads(before)["threshold"] is None and json.loads(after)["threshold"] == 1e-3
    rows = ask(
        tmp_path / "trace",
        "SELECT v.approved_by, v.note, v.threshold, i.verdict FROM inspection AS i "
        "JOIN category_version AS v ON v.id = i.category_version ORDER BY i.id",
    )
    assert rows == [(None, None, 10.0, 1), ("anna", "sharper", 1e-3, 2), ("anna", "sharper", 1e-3, 2)]


def test_a_category_that_was_pulled_judges_the_next_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/fleet.md says: pull, put it beside the versions that the station keeps, install."""
    monkeypatch.setattr(Artifact, "open", lambda path, verify=True: ARTIFACT)
    share, pulled = tmp_path / "share.safetensors", tmp_path / "new.safetensors"
    save_category(replace(category(), created="new", threshold=Threshold(1e-3, "manual")), share)
    with running(tmp_path) as station:
        assert station.part(GOOD) == "PASS"
        words = [str(share), "--out", str(pulled), "--model", str(tmp_path / "model.regad")]
        pull_command.main(words, standalone_mode=False)
        sha256 = sha256_of(pulled)
        kept = category_path(tmp_path / "trace", sha256)
        kept.parent.mkdir(exist_ok=True)
        shutil.copy(pulled, kept)
        request = {"command": "install", "by": "rollout", "job": 1, "sha256": sha256, "id": 1}
        future = station.line.requests.handle(request)
        assert not isinstance(future, dict) and future.result(20)["sha256"] == sha256
        jobs = station.line.jobs
        station.until(lambda image: bool(image.status & Status.READY) and jobs._ready[1].pinned.job.pin == sha256)
        assert station.part(GOOD) == "REJECT"
