"""What an open page is given: the state and what changes, alarms, the shift, and the live picture."""

from __future__ import annotations

import http.client
import io
import json
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from regad.runtime.backends.lifecycle import Closing
from regad.runtime.desk.service import Surroundings
from regad.runtime.desk.web.shift import ShiftSection, shift_began
from regad.runtime.desk.web.state import State
from regad.runtime.desk.web.station_state import alarms_of
from regad.runtime.errors import InputError
from regad.runtime.station.config import DeskConfig
from regad.runtime.station.live import LiveReader, LiveWriter, live_path

from ..station.trace.parts import filled
from .web_doubles import Client, Desk, Line, config_of, part_with_pictures


def events(client: Client, count: int) -> list[tuple[str, Any]]:
    """The first events of the live state, without the signs of life."""
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=20)
    connection.request("GET", "/api/v1/events", headers={"Cookie": client.cookie})
    answer = connection.getresponse()
    assert answer.headers["content-type"].startswith("text/event-stream")
    found: list[tuple[str, Any]] = []
    while len(found) < count:
        name = answer.readline().decode().strip().partition(": ")[2]
        data = answer.readline().decode().strip().partition(": ")[2]
        answer.readline()
        if name != "alive":
            found.append((name, json.loads(data)))
    answer.close()
    connection.close()
    return found


def test_an_open_page_is_given_the_state_and_then_what_changes(desk: Desk, engineer: Client) -> None:
    ((name, state),) = events(engineer, 1)
    assert name == "state"
    assert state["station"]["online"] and state["station"]["image"]["state"] == "READY"
    assert state["part"]["id"] == 4
    assert [one["id"] for one in state["rejects"]] == [4, 3, 2]
    assert len(state["words"]["out"]) == 20
    assert state["alarms"] == [] and state["services"] == {}


def test_what_a_part_of_the_state_holds_is_closed_by_the_thread_that_asked_it() -> None:
    class Section(Closing):
        def __init__(self) -> None:
            self.asked = threading.Event()
            self.asked_by = self.closed_by = 0

        def __call__(self, around: Surroundings) -> dict[str, Any]:
            self.asked_by = threading.get_ident()
            self.asked.set()
            return {}

        def close(self) -> None:
            self.closed_by = threading.get_ident()

    section = Section()
    with State(None, (section,), every=0.01) as state:  # type: ignore[arg-type]
        state.start()
        state.watch(lambda: None)
        assert section.asked.wait(20)
    assert section.closed_by == section.asked_by != threading.get_ident()


def test_the_state_tells_only_of_parts_that_changed() -> None:
    values: dict[str, Any] = {"a": 1, "b": [1]}
    state, told = State(None, (lambda around: dict(values),)), []  # type: ignore[arg-type]
    state.gather()
    number, whole = state.since(0)
    assert whole == {"a": 1, "b": [1], "error": ""}
    state.watch(lambda: told.append(1))
    state.gather()
    assert (state.since(number), told) == ((number, {}), [])
    values["b"] = [2]
    state.gather()
    assert state.since(number) == (number + 1, {"b": [2]})
    assert told == [1]

    def fails(around: object) -> dict[str, Any]:
        raise InputError("the trace is gone")

    failing = State(None, (fails, lambda around: {"a": 1}))  # type: ignore[arg-type]
    failing.gather()
    assert failing.since(0)[1] == {"a": 1, "error": "the trace is gone"}


def test_alarms_are_the_fault_and_the_flags_that_need_somebody() -> None:
    image = dict(Line().image)
    assert alarms_of(None) == ["OFFLINE"]
    assert alarms_of({"image": image}) == []
    assert alarms_of({"image": {**image, "fault": "CAMERA", "flags": 0b11111}}) == [
        *("CAMERA", "OFTEN_LATE", "TRACE_BEHIND", "CLOCK_BAD")
    ]


def test_a_shift_began_at_the_last_of_its_times() -> None:
    def at(text: str) -> float:
        return datetime.fromisoformat(f"2026-11-27T{text}").timestamp()

    times = ("06:00", "14:00", "22:00")
    assert shift_began(times, at("13:59:59")) == at("06:00:00")
    assert shift_began(times, at("14:00:00")) == at("14:00:00")
    assert shift_began(times, at("05:00:00")) == at("22:00:00") - 86_400
    assert shift_began((), at("05:00:00")) == at("00:00:00")


def test_the_shift_counts_its_own_parts(tmp_path: Path) -> None:
    folder, now = tmp_path / "trace", datetime(2026, 11, 27, 15).timestamp()
    changes = [{"wall": now - 7200}, {"wall": now - 60, "verdict": 2, "output": 2}, {"wall": now - 30}]
    filled(folder, *(part_with_pictures(seq, **one) for seq, one in enumerate(changes, 1)))
    around = Surroundings(config_of(tmp_path, DeskConfig(shifts=("14:00",))), tmp_path, None, None, print)  # type: ignore[arg-type]
    with ShiftSection(around, lambda: now) as section:
        found = section(around)
        assert found["shift"] == {"began": now - 3600, "parts": 2, "rejects": 1}
        assert (found["part"]["id"], [one["id"] for one in found["rejects"]]) == (3, [2])
        assert section(around) is found, "nothing new: nothing is asked for"
    missing = Surroundings(config_of(tmp_path / "none", DeskConfig()), tmp_path, None, None, print)  # type: ignore[arg-type]
    with ShiftSection(missing) as section:
        assert section(missing) == {"shift": None, "part": None, "rejects": []}


def test_a_picture_is_copied_only_while_somebody_looks_on(tmp_path: Path) -> None:
    now = [10**10]
    path, image = tmp_path / "live", np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    with LiveWriter(path, lambda: now[0]) as writer, LiveReader(path, lambda: now[0]) as reader:
        assert path.stat().st_mode & 0o077 == 0
        writer.show(image, 5)
        assert not writer.watched and reader.read() is None
        assert reader.watch() and writer.watched
        writer.show(image, 6)
        frame = reader.read()
        assert frame is not None and frame.taken_ns == 6 and np.array_equal(frame.image, image)
        writer.show(image + 1, 7)
        assert reader.number == frame.number, "ten times a second at most"
        now[0] += 100_000_000
        large = np.full((3000, 5000, 3), 7, np.uint8)
        writer.show(large, 8)
        grown = reader.read()
        assert grown is not None and grown.image.shape == (1000, 1667, 3) and grown.number > frame.number
        now[0] += 2_000_000_000
        assert not writer.watched
    assert not path.exists()


def test_a_line_that_is_started_anew_is_looked_at_anew(tmp_path: Path) -> None:
    path, image = tmp_path / "live", np.zeros((4, 4, 3), np.uint8)
    with LiveReader(path) as reader:
        assert not reader.watch()
        for number in (1, 2):
            with LiveWriter(path) as writer:
                assert reader.watch()
                writer.show(image + number, number)
                frame = reader.read()
                assert frame is not None and frame.taken_ns == number


def test_a_file_that_is_not_the_lines_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "live"
    path.write_bytes(b"x" * 5000)
    with LiveReader(path) as reader:
        assert not reader.watch() and reader.read() is None
    path.unlink()
    path.symlink_to(tmp_path / "other")
    (tmp_path / "other").write_bytes(b"x" * 5000)
    with LiveReader(path) as reader:
        assert not reader.watch()


def test_a_line_without_room_for_the_picture_goes_on_without(tmp_path: Path) -> None:
    writer = LiveWriter(tmp_path / "none" / "live")
    assert not writer.watched
    writer.show(np.zeros((4, 4, 3), np.uint8), 1)
    writer.close()


def test_the_live_picture_is_encoded_once_and_waited_for(desk: Desk, engineer: Client) -> None:
    path = live_path(desk.page._around.config.commands.socket)
    with LiveWriter(path) as writer:
        while not writer.watched:
            LiveReader(path).watch()
        writer.show(np.full((600, 1200, 3), 90, np.uint8), time.monotonic_ns())
        answer = engineer.ask("GET", "/api/v1/frame.jpg")
        assert Image.open(io.BytesIO(answer.body)).size == (960, 480)
        number = answer.headers["x-regad-number"]
        assert 0 <= int(answer.headers["x-regad-age-ms"]) < 60_000
        assert engineer.ask("GET", "/api/v1/frame.jpg?after=0").headers["x-regad-number"] == number


def test_the_stream_for_a_display_is_one_jpeg_after_another(desk: Desk, engineer: Client) -> None:
    path = live_path(desk.page._around.config.commands.socket)
    with LiveWriter(path) as writer, LiveReader(path) as reader:
        assert reader.watch()
        writer.show(np.zeros((20, 30, 3), np.uint8), time.monotonic_ns())
        connection = http.client.HTTPConnection("127.0.0.1", engineer.port, timeout=20)
        connection.request("GET", "/api/v1/live.mjpeg", headers={"Cookie": engineer.cookie})
        answer = connection.getresponse()
        assert answer.headers["content-type"] == "multipart/x-mixed-replace; boundary=regad-frame"
        assert answer.readline() == b"--regad-frame\r\n"
        assert answer.readline() == b"Content-Type: image/jpeg\r\n"
        size = int(answer.readline().split()[1])
        assert answer.readline() == b"\r\n"
        assert Image.open(io.BytesIO(answer.read(size))).size == (30, 20)
        answer.close()
        connection.close()
