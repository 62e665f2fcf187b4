"""Jobs: pinned by the sha256 of their files, ready before they are asked for, changed only when all is well."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regad.runtime.backends.base import Inference
from regad.runtime.errors import DeviceError
from regad.runtime.formats.category import Category, save_category, tensors_sha256
from regad.runtime.station.codes import Fault
from regad.runtime.station.effects import Load, Rebuild
from regad.runtime.station.events import Event, Gone, JobFailed, JobReady, Raised
from regad.runtime.station.job_spec import JobError, JobSpec, sha256_of
from regad.runtime.station.jobs import Jobs
from regad.runtime.station.jobs_thread import JobsThread

from ..formats.test_registration import registered
from ..run_doubles import category
from .station_doubles import Backend, Clock


class Table:
    """Two jobs in a folder."""

    def __init__(self, folder: Path) -> None:
        self.backend = Backend()
        self.paths = [folder / "one.safetensors", folder / "two.safetensors"]
        self.loaded: list[int] = []
        for path in self.paths:
            save_category(replace(category(), created=path.stem), path)
        self.specs = [JobSpec(n, path.stem, path, sha256_of(path)) for n, path in enumerate(self.paths, 1)]

    def jobs(self, **changes: Any) -> Jobs:
        specs = [replace(self.specs[0], **changes), self.specs[1]]
        return Jobs(self.backend.model, specs, lambda spec, category: self.loaded.append(spec.number))


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)


def test_all_jobs_are_ready_at_the_start_and_not_read_again(table: Table) -> None:
    jobs = table.jobs()
    jobs.open()
    assert table.loaded == [1, 2] and jobs.errors == {}
    first = jobs.take(1)
    assert first is jobs.take(1) and table.loaded == [1, 2]
    assert jobs.pinned(first.job) is first


def test_a_job_has_the_limits_that_the_station_sets(table: Table) -> None:
    jobs = table.jobs(threshold=5.0, warn=4.0, deadline_ns=7)
    jobs.open()
    pinned = jobs.take(1)
    limits = pinned.detector.category.threshold  # type: ignore[attr-defined]
    assert (limits.value, limits.warn, pinned.job.deadline_ns) == (5.0, 4.0, 7)


def test_a_category_that_registers_the_part_is_a_job_as_any_other(table: Table) -> None:
    save_category(replace(registered(), artifact=category().artifact), table.paths[0])
    jobs = table.jobs(sha256=sha256_of(table.paths[0]))
    jobs.open()
    assert jobs.errors == {} and jobs.take(1).preparation == registered().preparation != jobs.take(2).preparation


def test_a_job_that_cannot_be_used_leaves_the_others_alone(table: Table) -> None:
    jobs = table.jobs(sha256="0" * 64)
    jobs.open()
    assert list(jobs.errors) == [1] and "pinned is 000000000000" in jobs.errors[1]
    with pytest.raises(JobError) as error:
        jobs.take(1)
    assert error.value.fault is Fault.CATEGORY
    assert jobs.take(2).job.number == 2


def test_a_limit_that_does_not_fit_the_category_is_that_job_s_fault(table: Table) -> None:
    jobs = table.jobs(warn=50.0)
    jobs.open()
    assert "the warn limit is 50" in jobs.errors[1]


def test_an_unknown_job_is_told_with_those_there_are(table: Table) -> None:
    jobs = table.jobs()
    jobs.open()
    with pytest.raises(JobError, match="there is no job 7; the station has: 1, 2") as error:
        jobs.take(7)
    assert error.value.fault is Fault.UNKNOWN_JOB


@pytest.mark.parametrize("harm", ["swapped", "damaged", "gone"])
def test_a_file_that_is_not_the_pinned_one_any_more_is_found(table: Table, harm: str) -> None:
    jobs = table.jobs()
    jobs.open()
    path = table.paths[0]
    if harm == "swapped":
        path.write_bytes(table.paths[1].read_bytes())
    elif harm == "damaged":
        path.write_bytes(path.read_bytes()[:-5])
    else:
        path.unlink()
    for look in (lambda: jobs.check(1), lambda: jobs.take(1)):
        with pytest.raises(JobError, match=r"one\.safetensors") as error:
            look()
        assert error.value.fault is Fault.CATEGORY


def test_a_file_that_was_only_touched_is_still_the_pinned_one(table: Table) -> None:
    jobs = table.jobs()
    jobs.open()
    table.paths[0].touch()
    jobs.check(1)
    assert jobs.take(1).job.number == 1


def test_a_rebuilt_backend_makes_all_jobs_ready_again(table: Table) -> None:
    jobs = table.jobs()
    jobs.open()
    before = jobs.take(1)
    jobs.rebuild()
    after = jobs.take(1)
    assert after is not before and after.job == before.job and table.backend.opened == 2


class Tagged(Backend):
    """Its handle of a category is the tag in its statistics, and that is the score."""

    def prepare(self, statistics: Any, scoring: object = None, calibration: object = None) -> object:
        return float(statistics[0].tensors["x1"].flat[0])

    def infer(self, images: Any, statistics: Any) -> Inference:
        return super().infer(images, None)._replace(anomaly_score=np.full(len(images), statistics, np.float32))


class Bounded:
    """The four jobs of `tags`, of which so many stay in memory."""

    def __init__(self, specs: list[JobSpec], room: float) -> None:
        self.loaded: list[int] = []
        size = specs[0].path.stat().st_size
        self.jobs = Jobs(
            Tagged().model, specs, lambda spec, category: self.loaded.append(spec.number), limit=int(room * size)
        )
        self.jobs.open()

    def score(self, number: int) -> float:
        pinned = self.jobs.take(number)
        assert self.jobs.pinned(pinned.job) is pinned
        frame = pinned.detector.prepare(np.full((9, 9, 3), 80, np.uint8))
        return pinned.detector.predict_prepared([frame])[0].score


def tagged(number: int) -> Category:
    made = category()
    statistics = made.statistics[0]
    tensors = {name: np.full_like(value, number) for name, value in statistics.tensors.items()}
    return replace(made, statistics=(replace(statistics, tensors=tensors),), data_sha256=tensors_sha256(tensors))


@pytest.fixture(scope="module")
def tags(tmp_path_factory: pytest.TempPathFactory) -> list[JobSpec]:
    """Four jobs whose categories score by their own number."""
    folder, specs = tmp_path_factory.mktemp("tags"), []
    for number in range(1, 5):
        path = folder / f"{number}.safetensors"
        save_category(tagged(number), path)
        specs.append(JobSpec(number, str(number), path, sha256_of(path)))
    return specs


def test_the_jobs_used_least_lately_make_room(tags: list[JobSpec]) -> None:
    bounded = Bounded(tags, 2.5)
    assert bounded.loaded == [1, 2] and bounded.jobs.errors == {}
    for number, loaded in ((1, []), (3, [3]), (1, []), (2, [2]), (1, []), (3, [3])):
        bounded.loaded.clear()
        assert bounded.score(number) == number and bounded.loaded == loaded, number
        assert len(bounded.jobs._ready) == 2


def test_the_job_in_force_stays_however_large_it_is(tags: list[JobSpec]) -> None:
    bounded = Bounded(tags, 0.5)
    for number in (2, 4, 4):
        assert bounded.score(number) == number and list(bounded.jobs._ready) == [number]


def test_a_job_that_is_not_in_memory_is_held_to_its_pin_at_the_start_and_when_it_is_set(
    tags: list[JobSpec], tmp_path: Path
) -> None:
    swapped = tmp_path / "4.safetensors"
    swapped.write_bytes(tags[3].path.read_bytes())
    bounded = Bounded([*tags[:3], replace(tags[3], path=swapped)], 1.5)
    assert bounded.loaded == [1] and bounded.jobs.errors == {}
    swapped.write_bytes(tags[2].path.read_bytes())
    with pytest.raises(JobError, match=r"4\.safetensors has sha256"):
        bounded.jobs.take(4)
    bounded.jobs.rebuild()
    assert list(bounded.jobs.errors) == [4] and bounded.score(3) == 3


@settings(max_examples=12)
@given(taken=st.lists(st.integers(1, 4), min_size=3, max_size=9), room=st.floats(0.1, 4.5))
def test_no_job_is_judged_by_another_one_s_statistics(tags: list[JobSpec], taken: list[int], room: float) -> None:
    bounded = Bounded(tags, room)
    for number in taken:
        assert bounded.score(number) == number
        held = [made.bytes for made in bounded.jobs._ready.values()]
        assert len(held) == 1 or sum(held) <= bounded.jobs._limit  # type: ignore[operator]


def thread(jobs: Jobs) -> tuple[JobsThread, list[Event], Clock]:
    events: list[Event] = []
    clock = Clock()
    return JobsThread(jobs, events.append, print, clock), events, clock


def test_the_job_in_force_is_looked_at_every_five_seconds(table: Table) -> None:
    jobs = table.jobs()
    jobs.open()
    worker, events, clock = thread(jobs)
    worker.submit(Load(1))
    worker.step(0.0)
    assert isinstance(events[-1], JobReady)
    table.paths[0].write_bytes(b"something else")
    clock.pass_ms(4999)
    worker.step(0.0)
    assert len(events) == 1
    clock.pass_ms(1)
    worker.step(0.0)
    assert isinstance(events[-1], JobFailed) and events[-1].fault is Fault.CATEGORY
    clock.pass_ms(5000)
    worker.step(0.0)
    assert len(events) == 2


def test_a_backend_that_cannot_be_opened_again_stays_a_fault(table: Table) -> None:
    jobs = table.jobs()
    jobs.open()
    worker, events, _ = thread(jobs)
    worker.submit(Load(1))
    worker.step(0.0)
    opened, table.backend.model = table.backend.model, lambda: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    jobs._open_model = lambda: (_ for _ in ()).throw(DeviceError("the GPU is gone"))
    worker.submit(Rebuild())
    worker.step(0.0)
    assert events[-1] == Raised(Fault.JUDGE, "the backend cannot be opened again: the GPU is gone")
    jobs._open_model = opened
    worker.submit(Rebuild())
    worker.step(0.0)
    assert isinstance(events[-2], JobReady) and events[-1] == Gone(Fault.JUDGE)
