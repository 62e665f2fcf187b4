"""A held station: no part is taken up until somebody releases it, also after a restart."""

from __future__ import annotations

import tempfile
from concurrent.futures import Future
from dataclasses import replace as replace_category
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace

from regad.runtime.errors import InputError, OutputError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.station.codes import Flag, State, Status
from regad.runtime.station.config import DeskConfig
from regad.runtime.station.events import Event, Held, Released
from regad.runtime.station.holding import FILE_NAME, Holding
from regad.runtime.station.installed import store_category
from regad.runtime.station.trace.entries import Audit, Remark

from ..run_doubles import ARTIFACT, category
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
    told = ask(first, "hold", by="challenge", reason="a challenge is due", job=1)
    assert first.state == {"job": 1, "reason": "a challenge is due", "id": told["hold_id"]}
    again, restored, _ = made(tmp_path)
    again.restore()
    assert events == restored == [Held("a challenge is due")]
    assert again.state == first.state, "who saw it before the restart means this one"
    ask(again, "release", by="ann", job=1, hold_id=told["hold_id"])
    assert again.state is None
    assert restored[1:] == [Released()] and not (tmp_path / FILE_NAME).exists()
    last, nothing, _ = made(tmp_path)
    last.restore()
    assert nothing == []
    assert remarks == [Audit(by="challenge", at=1.8e9, action="hold", before="job 1", after="a challenge is due")]


def test_a_release_that_was_meant_for_another_hold_lifts_none(tmp_path: Path) -> None:
    holding, events, remarks = made(tmp_path)
    ask(holding, "hold", by="challenge", reason="job 1 is due", job=1)
    holding.begin(2, "job 2 begins with a challenge")
    for wrong in (1, 0):
        with pytest.raises(InputError, match="the hold is that of job 2") as refused:
            ask(holding, "release", by="ann", job=wrong)
        assert refused.value.code == "other"
    assert holding.state is not None and holding.state["job"] == 2 and Released() not in events
    ask(holding, "release", by="ann", job=2)
    assert events[-1] == Released() and not (tmp_path / FILE_NAME).exists()
    last = remarks[-1]
    assert isinstance(last, Audit) and last.before == "job 2: job 2 begins with a challenge"
    ask(holding, "release", by="ann", job=7)
    assert holding.state is None, "without a hold there is nothing to mistake it for"


def test_the_stations_own_hold_outlasts_those_of_its_jobs(tmp_path: Path) -> None:
    """Who passes a job's challenge has not seen why the station itself is held."""
    holding, events, _ = made(tmp_path)
    own = ask(holding, "hold", by="mes", reason="batch 7 is blocked")["hold_id"]
    ask(holding, "hold", by="challenge", reason="job 1 is due", job=1)
    holding.begin(2, "job 2 begins with a challenge")
    assert holding.state == {"job": 0, "reason": "batch 7 is blocked", "id": own}
    again, restored, _ = made(tmp_path)
    again.restore()
    assert again.state == holding.state and restored[-1] == events[-1] == Held("batch 7 is blocked")
    with pytest.raises(InputError, match="the hold is that of the station, not of job 1"):
        ask(again, "release", by="ann", job=1)
    ask(again, "release", by="ann", job=2)
    assert again.state == holding.state and Released() not in restored
    ask(again, "release", by="mes", job=0, hold_id=own)
    assert again.state is None and restored[-1] == Released() and not (tmp_path / FILE_NAME).exists()
    ask(holding, "release", by="mes", job=0, hold_id=own)
    assert (holding.state or {})["job"] == 2 and events[-1] == Held("job 2 begins with a challenge")
    last, restored, _ = made(tmp_path)
    last.restore()
    assert last.state == holding.state and restored == [Held("job 2 begins with a challenge")]


def test_a_release_names_its_hold_among_those_of_one_job(tmp_path: Path) -> None:
    """A repeated request that comes late, or a page that shows what was: the hold that nobody has seen stays."""
    holding, events, _ = made(tmp_path)
    first = ask(holding, "hold", by="challenge", reason="job 1 is due", job=1)["hold_id"]
    assert ask(holding, "hold", by="challenge", reason="job 1 is due", job=1)["hold_id"] == first, "said again"
    holding.begin(1, "job 1 has another version")
    second = str((holding.state or {})["id"])
    holding.begin(1, "job 1 has another version")
    for stale in (first, second, "none of them"):
        with pytest.raises(InputError, match="another hold has come since, for job 1: job 1 has") as refused:
            ask(holding, "release", by="ann", job=1, hold_id=stale)
        assert refused.value.code == "other"
    assert Released() not in events and (tmp_path / FILE_NAME).exists()
    third = str((holding.state or {})["id"])
    assert len({first, second, third}) == 3
    for _ in range(2):  # the answer to the first one may have been lost
        assert ask(holding, "release", by="ann", job=1, hold_id=third) == {}
    assert holding.state is None and not (tmp_path / FILE_NAME).exists()
    again = ask(holding, "hold", by="challenge", reason="job 1 is due", job=1)["hold_id"]
    assert again != first, "it was released in between: another hold"
    ask(holding, "release", by="ann", job=1)
    assert holding.state is None, "who cannot name one means the one that there is"


@pytest.mark.parametrize("job", [1, 2])
@pytest.mark.parametrize("named", [False, True])
def test_a_hold_that_begins_while_another_is_released_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: int, named: bool
) -> None:
    holding, events, _ = made(tmp_path)
    told = ask(holding, "hold", by="challenge", reason="job 1 is due", job=1)
    unlink = Path.unlink

    def meanwhile(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok)
        holding.begin(job, "it begins with a challenge")

    monkeypatch.setattr(Path, "unlink", meanwhile)
    with pytest.raises(InputError, match=f"another hold began meanwhile, for job {job}: it begins with a challenge"):
        ask(holding, "release", by="ann", job=1, **(told if named else {}))
    assert holding.state is not None and holding.state["job"] == job and Released() not in events


def test_a_hold_of_before_there_were_ids_is_restored_with_one(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text('{"by": "challenge", "reason": "job 1 is due", "job": 1}')
    holding, _, _ = made(tmp_path)
    holding.restore()
    state = holding.state
    assert state is not None and state["reason"] == "job 1 is due" and state["id"]
    ask(holding, "release", by="ann", job=1, hold_id=state["id"])
    assert holding.state is None


def test_the_id_of_a_hold_is_the_stations_to_give(tmp_path: Path) -> None:
    holding, _, _ = made(tmp_path)
    with pytest.raises(InputError, match="hold is wrong"):
        ask(holding, "hold", by="a", reason="x", hold_id="mine")
    assert ask(holding, "hold", by="a", reason="x")["hold_id"] != "1", "1 is the request's own id"
    with pytest.raises(InputError, match="release is wrong"):
        ask(holding, "release", by="a", job=0, hold_id="")


def test_a_hold_that_begins_with_a_job_outlasts_the_process(tmp_path: Path) -> None:
    """Whether the desk runs or not: nothing else writes it down."""
    holding, events, _ = made(tmp_path)
    holding.begin(2, "job 2 has another version")
    again, restored, _ = made(tmp_path)
    again.restore()
    assert events == restored == [Held("job 2 has another version")]
    assert again.state is not None and again.state == holding.state and again.state["job"] == 2


def test_a_station_is_held_also_where_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OutputError("no space left")

    monkeypatch.setattr("regad.runtime.station.holding.atomic_write", full)
    holding, events, _ = made(tmp_path)
    with pytest.raises(OutputError):
        holding.begin(2, "job 2 has another version")
    assert events == [Held("job 2 has another version")] and holding.state is not None


def test_a_hold_that_cannot_be_read_is_a_hold(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"{half")
    holding, events, remarks = made(tmp_path)
    holding.restore()
    assert [type(event) for event in events] == [Held]
    assert holding.state is not None and "cannot be read" in holding.state["reason"]
    ask(holding, "release", by="ann", job=0)
    assert holding.state is None and not (tmp_path / FILE_NAME).exists()
    assert isinstance(remarks[0], Audit) and remarks[0].action == "release"


@pytest.mark.parametrize(
    "fields",
    [
        *({}, {"by": "a"}, {"by": "a", "reason": ""}, {"by": "", "reason": "x"}, {"by": "a", "reason": "x", "c": 1}),
        {"by": "a", "reason": "x", "job": -1},
    ],
)
def test_a_hold_without_a_name_or_a_reason_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    holding, events, _ = made(tmp_path)
    with pytest.raises(InputError, match="hold is wrong"):
        ask(holding, "hold", **fields)
    assert events == [] and not (tmp_path / FILE_NAME).exists()


class AnyHolds(RuleBasedStateMachine):
    """Programs and pages that hold, and release what they once saw, over restarts; with books of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.events: list[Event] = []
        self.seen: list[str] = ["never"]
        self.held: list[tuple[int, str]] = []  # the job and the id of each hold, by the books: the station's own first
        self.start()

    @rule()
    def start(self) -> None:
        self.holding = Holding(Path(self.folder.name), self.events.append, lambda remark: None)
        self.holding.restore()

    def note(self, job: int, told: str) -> None:
        self.held = sorted([(job, told), *(one for one in self.held if (one[0] == 0) != (job == 0))])
        self.seen.append(told)

    @rule(job=st.integers(0, 2), reason=st.sampled_from(["a", "b"]))
    def hold(self, job: int, reason: str) -> None:
        self.note(job, ask(self.holding, "hold", by="x", reason=reason, job=job)["hold_id"])

    @rule(job=st.integers(0, 2))
    def begin(self, job: int) -> None:
        before = self.seen[:]
        self.holding.begin(job, "another version")
        ids = {held.job: held.id for held in self.holding._holds}
        self.note(job, ids[job])
        assert self.seen[-1] not in before, "nobody has seen this one"

    @rule(job=st.integers(0, 2), which=st.integers(0, 4), named=st.booleans())
    def release(self, job: int, which: int, named: bool) -> None:
        meant = self.seen[-1 - which % len(self.seen)] if named else None
        left = [one for one in self.held if one[0] != job or meant not in (None, one[1])]
        lifts = not self.held or left != self.held
        try:
            ask(self.holding, "release", by="y", job=job, **({} if meant is None else {"hold_id": meant}))
        except InputError as error:
            assert not lifts and error.code == "other"
            return
        assert lifts
        self.held = left

    @invariant()
    def the_hold_is_that_of_the_books(self) -> None:
        state = self.holding.state
        assert (None if state is None else (state["job"], state["id"])) == next(iter(self.held), None)
        assert (Path(self.folder.name) / FILE_NAME).exists() == bool(self.held)
        last = self.events[-1] if self.events else Released()
        assert isinstance(last, Held if self.held else Released)

    def teardown(self) -> None:
        self.folder.cleanup()


def test_no_order_of_requests_lifts_a_hold_that_was_not_meant() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        AnyHolds, settings=settings(max_examples=25, stateful_step_count=20, deadline=None)
    )


def test_a_part_for_a_held_station_is_missed_and_the_next_after_the_release_is_judged(tmp_path: Path) -> None:
    with running(tmp_path) as station:
        station.until(lambda image: Status.READY in image.status)
        assert station.part() == "PASS"
        station.line.requests.handle({"command": "hold", "by": "challenge", "reason": "a challenge is due", "job": 1})
        image = station.until(lambda image: Flag.HELD in image.flags)
        assert image.state is State.SETUP and not image.status & (Status.READY | Status.ONLINE | Status.VALID)
        answer = station.trigger()
        assert answer["verdict"] == "MISSED" and "held: a challenge is due" in answer["reason"]
        for other in ("start", "reset"):  # what Modbus, MQTT, OPC UA and a digital line can say
            station.line.requests.handle({"command": other})
        assert station.trigger()["verdict"] == "MISSED"
        station.line.requests.handle({"command": "release", "by": "ann", "job": 1})
        station.until(lambda image: Status.READY in image.status)
        assert station.part() == "PASS"


def challenged(folder: Path, **job: Any) -> Station:
    """A station of two jobs, the first of which is challenged."""
    config = Station(folder, desk=DeskConfig(command=("true",))).config
    first = replace(config.jobs[0], **job)
    return Station(folder, config=replace(config, jobs=(first, config.jobs[1])))


def test_a_job_that_begins_with_a_challenge_is_held_before_its_first_part(tmp_path: Path) -> None:
    station = challenged(tmp_path, challenge_at_start=True)
    with station.line:
        station.line.start()
        station.until(lambda image: Flag.HELD in image.flags and Status.JOB_OK in image.status)
        assert station.trigger()["verdict"] == "MISSED"
        station.line.requests.handle({"command": "release", "by": "ann", "job": 1})
        station.until(lambda image: Status.READY in image.status)
        station.line.requests.handle({"command": "job", "number": 2})
        station.until(lambda image: Status.READY in image.status and image.job == 2)
        station.line.requests.handle({"command": "job", "number": 1})
        image = station.until(lambda image: image.job == 1)
        assert Flag.HELD in image.flags and Status.READY not in image.status


def test_another_version_of_a_challenged_job_is_held_before_its_first_part(tmp_path: Path) -> None:
    station = challenged(tmp_path, challenge_every_h=8.0)
    with station.line:
        station.line.start()
        station.until(lambda image: Status.READY in image.status)
        assert station.part() == "PASS"
        sha256 = store_category(tmp_path / "trace", replace_category(category(), created="new"))
        station.line.requests.handle({"command": "install", "job": 1, "sha256": sha256, "by": "anna"})
        station.until(lambda image: Flag.HELD in image.flags and Status.JOB_OK in image.status)
        assert "job 1 has another version" in station.trigger()["reason"]
        status = station.line.requests.handle({"command": "status"})
        assert not isinstance(status, Future)
        assert status["held"]["job"] == 1 and status["asked"]["version"].startswith(sha256)
        station.line.requests.handle({"command": "release", "by": "ann", "job": 1})
        station.until(lambda image: Status.READY in image.status)
        for number in (2, 1):
            station.line.requests.handle({"command": "job", "number": number})
            station.until(lambda image, number=number: Status.READY in image.status and image.job == number)
        assert station.part() == "PASS", "the same version is not challenged again"


def test_a_new_version_that_nobody_challenged_is_held_after_a_restart_too(tmp_path: Path) -> None:
    station = challenged(tmp_path, challenge_every_h=8.0)
    with station.line:
        station.line.start()
        station.until(lambda image: Status.READY in image.status)
        sha256 = store_category(tmp_path / "trace", replace_category(category(), created="new"))
        station.line.requests.handle({"command": "install", "job": 1, "sha256": sha256, "by": "anna"})
        station.until(lambda image: Flag.HELD in image.flags and Status.JOB_OK in image.status)
    again = Station(tmp_path, config=station.config)
    with again.line:
        again.line.start()
        again.until(lambda image: Flag.HELD in image.flags and Status.JOB_OK in image.status)
        assert "job 1 has another version" in again.trigger()["reason"]
