"""The register map: what a PLC reads is one moment, and never a verdict on another part."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.station.codes import Control, Fault, Flag, State, Status, VerdictCode
from regad.runtime.station.image import PlcWords, ProcessImage, Shown
from regad.runtime.station.registers import STALE_NS, StationRegisters

PASSED = ProcessImage(
    at_ns=0,
    state=State.RESULT,
    status=Status.ONLINE | Status.READY | Status.VALID | Status.JOB_OK,
    job=3,
    accepted=7,
    heartbeat=65537,
    shown=Shown(7, 0x12345678, VerdictCode.PASS, 45.4, 31.6, (100, 200)),
    parts=70000,
    rejects=2,
    missed=3,
    late=4,
)


class Clock:
    now = 0

    def __call__(self) -> int:
        return self.now


def made() -> tuple[StationRegisters, list[PlcWords], Clock]:
    told: list[PlcWords] = []
    clock = Clock()
    return StationRegisters(told.append, clock), told, clock


def test_the_result_stands_between_two_equal_numbers() -> None:
    registers, _, _ = made()
    registers.publish(PASSED)
    status = int(Status.ONLINE | Status.READY | Status.VALID | Status.JOB_OK | Status.HEARTBEAT)
    head = [status, 1, State.RESULT, Fault.NONE, 3, 7, 70000 & 0xFFFF, 2, 3, 4]
    assert registers.read(100, 20) == [*head, 7, 0x1234, 0x5678, VerdictCode.PASS, 45, 32, 100, 200, 0, 7]
    assert registers.read(113, 1) == [1]


def test_a_result_is_hidden_where_it_is_not_valid() -> None:
    registers, _, _ = made()
    registers.publish(replace(PASSED, status=Status.ONLINE, flags=Flag.LATE | Flag.DESK_OFFLINE))
    assert registers.read(110, 10) == [0, 0, 0, 0, 0, 0, 0, 0, Flag.DESK_OFFLINE, 0]


def test_an_old_pass_is_not_read_after_a_trigger_was_written() -> None:
    registers, told, _ = made()
    registers.publish(PASSED)
    registers.write(0, [Control.ENABLE | Control.TRIGGER, 8])
    assert registers.read(110, 10) == [0] * 10
    assert not Status(registers.read(100, 1)[0]) & (Status.VALID | Status.READY)
    registers.publish(replace(PASSED, writes=told[-1].number))
    assert registers.read(113, 1) == [1]


def test_a_trigger_that_is_written_again_hides_its_result_no_more() -> None:
    registers, told, _ = made()
    trigger = [Control.ENABLE | Control.TRIGGER, 7]
    registers.write(0, trigger)
    registers.publish(replace(PASSED, writes=told[-1].number))
    registers.write(0, trigger)  # function 23: each read writes the words again
    assert registers.read(113, 1) == [1]
    for control, seq in ((trigger[0], 8), (Control.ENABLE, 8), (trigger[0], 8)):
        registers.write(0, [control, seq])
        assert (registers.read(113, 1) == [1]) == (control == Control.ENABLE)
        registers.publish(replace(PASSED, writes=told[-1].number))


def test_a_write_of_the_heartbeat_hides_nothing() -> None:
    registers, _, _ = made()
    registers.write(0, [Control.ENABLE | Control.TRIGGER])
    registers.publish(replace(PASSED, writes=1))
    registers.write(13, [5])
    assert registers.read(113, 1) == [1]


def test_an_image_that_nobody_renews_falls_silent() -> None:
    registers, _, clock = made()
    registers.publish(PASSED)
    clock.now = STALE_NS
    assert registers.read(113, 1) == [1]
    clock.now = STALE_NS + 1
    assert registers.read(113, 1) == [0]
    assert Status(registers.read(100, 1)[0]) == Status.HEARTBEAT


def test_a_write_is_told_as_the_plc_meant_it() -> None:
    registers, told, _ = made()
    words = [Control.ENABLE, 9, 2, 0x0001, 0x0002, 0x4142, 0x4307, 0x2000, 0, 0x5858, 0, 0, 0, 77]
    registers.write(0, words)
    assert told == [PlcWords(1, 9, 2, 65538, "ABC?", 77, 1)]
    assert registers.read(0, 14) == words


@pytest.mark.parametrize(
    ("address", "count"), [(0, 15), (13, 2), (14, 1), (99, 2), (100, 21), (119, 2), (-1, 1), (0, 0)]
)
def test_words_outside_the_map_are_refused(address: int, count: int) -> None:
    registers, told, _ = made()
    with pytest.raises(IndexError):
        registers.read(address, count)
    with pytest.raises(IndexError):
        registers.write(address, [0] * count)
    assert told == []


@pytest.mark.parametrize("address", [100, 113])
def test_the_station_s_words_are_not_written(address: int) -> None:
    registers, _, _ = made()
    with pytest.raises(IndexError, match="0-13"):
        registers.write(address, [1])


@pytest.mark.parametrize("value", [-1, 65536])
def test_what_is_no_word_is_refused_and_nothing_of_it_taken(value: int) -> None:
    registers, told, _ = made()
    with pytest.raises(ValueError, match="65535"):
        registers.write(0, [1, value])
    assert (registers.read(0, 2), told) == ([0, 0], [])


@pytest.mark.parametrize(("percent", "word"), [(math.inf, 65535), (math.nan, 65535), (1e9, 65535), (99.5, 100), (0, 0)])
def test_a_score_that_does_not_fit_is_the_largest_word(percent: float, word: int) -> None:
    registers, _, _ = made()
    registers.publish(replace(PASSED, shown=replace(PASSED.shown, percent=percent)))
    assert registers.read(114, 1) == [word]


@given(st.integers(0, 13), st.lists(st.integers(0, 65535), min_size=1, max_size=14))
def test_every_write_inside_is_read_back_and_told_once(address: int, values: list[int]) -> None:
    registers, told, _ = made()
    if address + len(values) > 14:
        with pytest.raises(IndexError):
            registers.write(address, values)
        assert told == []
    else:
        registers.write(address, values)
        assert registers.read(address, len(values)) == values
        assert len(told) == 1
