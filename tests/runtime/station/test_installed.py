"""Versions of jobs that are installed while the station runs: in force between two parts, and after a restart."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from regad.runtime.errors import InputError, OutputError, RegadError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.category import save_category
from regad.runtime.formats.digest import sha256_of
from regad.runtime.formats.threshold import Threshold
from regad.runtime.serve.registry_cli import pull_command
from regad.runtime.station.codes import Fault, Status
from regad.runtime.station.effects import Load
from regad.runtime.station.events import Event, JobFailed, JobReady, JobRenewed
from regad.runtime.station.installed import Installed, category_path, store_category
from regad.runtime.station.job_spec import JobError
from regad.runtime.station.jobs_thread import JobsThread

from ..run_doubles import ARTIFACT, category
from .installed_bench import Bench
from .station_doubles import GOOD, Clock, Station, running
from .trace.parts import ask


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


def test_a_list_that_grows_too_long_is_refused_and_stays_readable(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = bench.jobs()
    monkeypatch.setattr("regad.runtime.station.installed._MOST", 100)
    with pytest.raises(InputError, match=r"put the jobs into station\.toml"):
        jobs.install(bench.wish(job=7, name="gear"))
    assert bench.jobs().errors == {}


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
