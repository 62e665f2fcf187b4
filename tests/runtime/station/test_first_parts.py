"""Which jobs begin held: each time, and with another version, also over a restart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from regad.runtime.errors import OutputError
from regad.runtime.station import first_parts
from regad.runtime.station.first_parts import FILE_NAME, FirstParts
from regad.runtime.station.job_spec import JobSpec


class Bench:
    """Job 1 is challenged every 8 h, 2 at each start, 3 never."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: list[tuple[int, str]] = []
        self.specs = {number: JobSpec(number, "", folder, "a" * 64) for number in (1, 2, 3)}
        self.specs[1] = replace(self.specs[1], challenge_every_h=8.0)
        self.specs[2] = replace(self.specs[2], challenge_at_start=True)

    def started(self) -> FirstParts:
        hold = lambda job, why: self.held.append((job, why.split()[2]))  # noqa: E731
        made = FirstParts(self.folder, self.specs.values, self.specs.get, hold)
        made.begin()
        return made

    def change(self, number: int) -> None:
        self.specs[number] = replace(self.specs[number], threshold=7.0)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_job_begins_held_each_time_or_with_another_version(bench: Bench) -> None:
    parts = bench.started()
    for number in (1, 3, 1, 2, 2, 3, 2):
        parts.load(number)
    assert bench.held == [(2, "begins"), (2, "begins")]
    for number in (1, 2, 3):
        bench.change(number)
        parts.load(number)
        parts.load(number)
    assert bench.held[2:] == [(1, "has"), (2, "has")]


def test_a_version_that_was_installed_before_a_restart_and_not_in_force_begins_held(bench: Bench) -> None:
    bench.started().load(3)
    bench.change(1)
    for _ in range(2):  # nobody has set it yet
        again = bench.started()
    again.load(1)
    assert bench.held == [(1, "has")]
    bench.started().load(1)
    assert bench.held == [(1, "has")], "the hold has a file of its own"


def test_a_job_that_is_added_is_as_one_of_station_toml_from_then_on(bench: Bench) -> None:
    """What it was first seen with is no other version; the next one is, also over a restart."""
    parts = bench.started()
    bench.specs[7] = JobSpec(7, "gear", bench.folder, "a" * 64, challenge_every_h=8.0)
    parts.load(7)
    assert bench.held == []
    bench.change(7)
    parts.load(7)
    assert bench.held == [(7, "has")]
    bench.specs[7] = replace(bench.specs[7], threshold=8.0)  # installed, not set, and the line is started anew
    bench.started().load(7)
    assert bench.held == [(7, "has")] * 2
    bench.specs[7] = replace(bench.specs[7], threshold=9.0, challenge_every_h=None)
    bench.started().load(7)
    assert len(bench.held) == 2, "it is asked for no challenge any more"


def test_a_version_with_which_a_job_is_challenged_for_the_first_time_begins_held(bench: Bench) -> None:
    """Another file and the challenges come together; over a restart too."""
    parts = bench.started()
    parts.load(3)
    bench.specs[3] = replace(bench.specs[3], threshold=7.0, challenge_every_h=8.0)
    bench.specs[7] = JobSpec(7, "gear", bench.folder, "a" * 64)  # added since
    parts.load(7)
    bench.specs[7] = replace(bench.specs[7], threshold=7.0, challenge_every_h=8.0)
    parts.load(3)
    assert bench.held == [(3, "has")]
    bench.started().load(7)
    assert bench.held == [(3, "has"), (7, "has")]
    bench.specs[8] = JobSpec(8, "plate", bench.folder, "a" * 64)
    parts = bench.started()
    parts.load(8)
    bench.specs[8] = replace(bench.specs[8], challenge_every_h=8.0)
    parts.load(8)
    assert len(bench.held) == 2, "challenges alone are no other version"


def test_versions_that_cannot_be_read_are_others(bench: Bench) -> None:
    (bench.folder / FILE_NAME).write_bytes(b"{half")
    parts = bench.started()
    parts.load(1)
    assert bench.held == [(1, "has")]
    bench.started().load(1)
    assert len(bench.held) == 1


def test_a_full_disk_holds_the_job_all_the_same_and_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = bench.started()

    def full(path: Path, data: bytes) -> None:
        raise OutputError("no space left")

    monkeypatch.setattr(first_parts, "atomic_write", full)
    bench.change(1)
    with pytest.raises(OutputError, match="it is not known which versions were challenged: no space left"):
        parts.load(1)
    assert bench.held == [(1, "has")]
    with pytest.raises(OutputError):
        bench.started().load(1)
    assert len(bench.held) == 2, "a restart holds it again"
