"""What the receivers share: a place in the trace that passes over no part, and the trace read beside its writer."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regad.runtime.desk.service import Health, Surroundings
from regad.runtime.desk.sinks import thread
from regad.runtime.desk.sinks.cursor import Cursor, Place
from regad.runtime.desk.sinks.follower import Follower
from regad.runtime.desk.sinks.message import alarm_message, state_message, utc, verdict_message
from regad.runtime.desk.sinks.outbox import Outbox
from regad.runtime.desk.sinks.thread import SinkThread
from regad.runtime.desk.watch import Heard
from regad.runtime.errors import InputError, OutputError

from .sink_doubles import Books, Line, around, config_of, until


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_is_answered_in_whatever_order_each_part_is_taken_once_or_more_and_none_is_passed_over(
    data: st.DataObject,
) -> None:
    rows = data.draw(st.integers(1, 20))
    box = Outbox(Place("t", 0), window=4)
    accepted: set[int] = set()
    way: dict[int, int] = {}
    number = refusals = 0
    while box.taken.row < rows:
        if box.refused and box.idle:
            way.clear()
            box.rewind()
        while box.room and box.sent.row < rows:
            number += 1
            way[number] = box.sent.row + 1
            box.send(number, Place("t", way[number]))
        answered = data.draw(st.sampled_from(sorted(way)))
        takes = refusals > 10 or data.draw(st.booleans())
        refusals += not takes
        row = way.pop(answered)
        accepted |= {row} if takes else set()
        assert box.answer(answered, takes)
        assert not box.answer(answered, takes)
        assert set(range(1, box.taken.row + 1)) <= accepted
    assert accepted == set(range(1, rows + 1))


def test_what_is_not_sent_moves_the_place_once_nothing_before_it_is_on_its_way() -> None:
    box = Outbox(Place("t", 0))
    box.pass_over(Place("t", 1))
    assert box.taken.row == 1
    box.send(7, Place("t", 2))
    box.pass_over(Place("t", 3))
    assert (box.taken.row, box.sent.row) == (1, 3)


def test_a_cursor_is_kept_and_written_at_most_once_a_second(tmp_path: Path) -> None:
    now = [100.0]
    cursor = Cursor(tmp_path / "desk" / "a.cursor", lambda: now[0])
    assert cursor.place is None
    cursor.move(Place("t", 5))
    cursor.move(Place("t", 6))
    assert Cursor(tmp_path / "desk" / "a.cursor").place == Place("t", 5)
    now[0] += 1.0
    cursor.move(Place("t", 7))
    assert Cursor(tmp_path / "desk" / "a.cursor").place == Place("t", 7)
    cursor.move(Place("t", 8))
    cursor.save()
    assert Cursor(tmp_path / "desk" / "a.cursor").place == Place("t", 8)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"trace": "t", "row": -1}', b"[]"])
def test_a_damaged_cursor_is_told_and_not_guessed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.cursor").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.cursor is no place in the trace .* delete it to begin at the newest"):
        Cursor(tmp_path / "a.cursor")


def test_a_follower_begins_at_the_newest_part_and_sees_what_comes(tmp_path: Path) -> None:
    with Books(tmp_path) as books, Follower(tmp_path) as follower:
        books.add(3)
        start = follower.start_of(None, follower.look().row)
        assert start.row == 3
        assert follower.rows(start, 10) == []
        books.add(4)
        follower.look()
        assert [row["seq"] for row in follower.rows(start, 3)] == [4, 5, 6]
        assert [row["seq"] for row in follower.rows(Place(start.trace, 6), 3)] == [7]
        assert follower.behind(start) == 4


def test_a_trace_that_is_missing_is_waited_for(tmp_path: Path) -> None:
    with Follower(tmp_path) as follower:
        assert follower.look() == ("", 0, 0)
        assert "No such file" in follower.error
        with Books(tmp_path) as books:
            books.add()
            assert follower.look().row == 1
            assert follower.error == ""


def test_a_trace_that_was_begun_anew_is_read_from_its_first_part(tmp_path: Path) -> None:
    with Follower(tmp_path) as follower:
        with Books(tmp_path) as books:
            books.add(5)
        place = Place(follower.look().trace, 5)
        for path in tmp_path.glob("trace.db*"):
            path.rename(path.with_name(f"old-{path.name}"))
        with Books(tmp_path) as books:
            books.add(9)
            heads = follower.look()
            assert heads.trace != place.trace
            again = follower.start_of(place, heads.row)
            assert again == Place(heads.trace, 0)
            assert follower.rows(place, 10) == []
            assert len(follower.rows(again, 10)) == 9
            assert follower.behind(place) == 9


def test_a_row_that_may_yet_be_corrected_is_held_back(tmp_path: Path) -> None:
    now = [0.0]
    with Books(tmp_path) as books, Follower(tmp_path, 1.0, lambda: now[0]) as follower:
        books.add()
        assert follower.look().row == 0
        now[0] = 0.5
        books.add()
        assert follower.look().row == 0
        now[0] = 1.1
        assert follower.look().row == 1
        books.trace.correct(2, 5, True)
        books.add()
        now[0] = 1.6
        assert follower.look().row == 2
        (row,) = follower.rows(Place(follower.heads.trace, 1), 10)
        assert (row["output"], row["late"]) == (5, 1)


def test_the_message_of_a_part(tmp_path: Path) -> None:
    with Books(tmp_path) as books, Follower(tmp_path) as follower:
        books.add(verdict=2, output=2, score=3.0, spot_x=4, spot_y=5, serial="A17", reason="bad", ms_total=61.5)
        trace = follower.look().trace
        (row,) = follower.rows(Place(trace, 0), 1)
    told = json.loads(msgspec.json.encode(verdict_message(row, trace, "press")))
    assert told == {
        **{"key": f"{trace}-1-1", "station": "press", "id": 1, "boot": 1, "seq": 1, "clock_ok": True, "warn": False},
        **{"time": "2027-01-15T08:00:01.000Z", "pass": False, "output": "REJECT", "verdict": "REJECT", "job": 3},
        **{"reason": "bad", "error": "", "score": 3.0, "threshold": 2.0, "percent": 150.0, "spot": [4, 5]},
        **{"category": "c" * 16, "part_id": 0, "serial": "A17", "trigger": "modbus", "ms_acquire": None},
        **{"ms_judge": None, "ms_total": 61.5, "deadline_ms": None, "late": False, "shadow": False},
        **{"simulated": False},
    }


@pytest.mark.parametrize(
    ("changes", "passes"),
    [({}, True), ({"simulated": True}, False), ({"shadow": True, "output": 0}, False), ({"output": 5}, False)],
)
def test_pass_is_true_only_for_what_was_put_out_as_pass_by_a_live_station(
    tmp_path: Path, changes: dict[str, int], passes: bool
) -> None:
    with Books(tmp_path) as books, Follower(tmp_path) as follower:
        books.add(**changes)
        trace = follower.look().trace
        (row,) = follower.rows(Place(trace, 0), 1)
    assert verdict_message(row, trace, "press").passed is passes


def test_an_alarm_has_the_name_of_its_code(tmp_path: Path) -> None:
    with Books(tmp_path) as books, Follower(tmp_path) as follower:
        books.event("alarm", 10, "the camera gives no frames")
        books.event("alarm", 61, "the disk is short")
        books.event("info", 0, "ready")
        trace = follower.look().trace
        found = [alarm_message(event, trace, "press") for event in follower.events(Place(trace, 0))]
    assert [(one.severity, one.code, one.name) for one in found] == [
        ("alarm", 10, "CAMERA"), ("alarm", 61, "DISK_SHORT"), ("info", 0, ""),
    ]  # fmt: skip
    assert found[0].key == f"{trace}-e1"


def test_a_station_that_does_not_answer_is_offline(tmp_path: Path) -> None:
    gone = state_message(Heard(3, None, "it does not answer"), config_of(tmp_path))
    assert (gone.online, gone.state, gone.text) == (False, "", "it does not answer")
    here = state_message(Heard(3, Line().handle({"command": "status"}), ""), config_of(tmp_path))
    assert (here.online, here.state, here.ready, here.fault, here.job) == (True, "READY", True, "", 1)


@given(st.floats())
def test_any_time_that_a_clock_may_show_is_told(wall: float) -> None:
    assert len(utc(wall)) in (0, 24)


class Shaky(SinkThread):
    """Fails in its first step, by a fault of the code or one that a person can fix."""

    def __init__(self, given: Surroundings, error: Exception) -> None:
        super().__init__("shaky", given)
        self.error: Exception | None = error
        self.went_on = threading.Event()

    def prepare(self) -> None:
        pass

    def step(self) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        self.went_on.set()
        self.ended.wait()


@pytest.mark.parametrize(
    ("error", "text"),
    [(OutputError("the disk is full; free some"), "the disk is full; free some"), (KeyError("x"), "KeyError: 'x'")],
)
def test_a_step_that_fails_is_an_alarm_and_the_next_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, text: str
) -> None:
    paused = threading.Event()
    monkeypatch.setattr(thread, "_PAUSE", 0.01)
    said: list[str] = []
    given = around(tmp_path)
    shaky = Shaky(Surroundings(given.config, given.path, given.link, given.watch, said.append), error)
    monkeypatch.setattr(shaky.ended, "wait", lambda seconds=None: paused.wait(60))
    shaky.start()
    try:
        until(lambda: text in shaky.health().text and not shaky.health().ok, "the alarm")
        assert said == [f"shaky: {shaky.health().text}"]
        paused.set()
        assert shaky.went_on.wait(60)
    finally:
        shaky.close()


def test_a_receiver_that_gets_nowhere_for_a_minute_is_an_alarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shaky = Shaky(around(tmp_path), ValueError())
    shaky.said, shaky.behind = "connecting", 7
    assert shaky.health() == Health(True, "connecting", 7)
    monkeypatch.setattr(thread, "PATIENCE", -1.0)
    assert shaky.health() == Health(False, "connecting", 7)
