"""Digital inputs and outputs on a recording stand-in of gpiod: PASS only for a part that passes, and for no other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import gpiod
import pytest
from gpiod.line import Bias, Direction, Edge
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.errors import DeviceError, InputError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.station.codes import Status, TriggerKind, VerdictCode
from regad.runtime.station.config import StationConfig, TriggerConfig
from regad.runtime.station.config_file import parse_config
from regad.runtime.station.config_gpio import GpioConfig
from regad.runtime.station.events import Event, JobWanted, Reset, Trigger
from regad.runtime.station.gpio import GpioOutputs, GpioThread, levels
from regad.runtime.station.gpio_lines import GpioLines
from regad.runtime.station.image import ProcessImage, Shown

from ..run_doubles import ARTIFACT
from .gpio_double import StandInChip
from .station_doubles import BAD, GOOD, Clock, Station, running

MS = 1_000_000
READY, BUSY, VALID, PASS, HEALTHY, TRIGGER, RESET = 5, 6, 13, 19, 26, "PLC_TRIG", 20
JOB = (21, 12, 25, 24)
CONFIG = GpioConfig(
    ready=READY,
    busy=BUSY,
    valid=VALID,
    passed=PASS,
    healthy=HEALTHY,
    trigger=TRIGGER,
    reset=RESET,
    job=JOB,
    debounce_ms=3,
    bias="pull-down",
)
GOOD_IMAGE = ProcessImage(status=Status.ONLINE | Status.VALID, shown=Shown(verdict=VerdictCode.PASS))


@pytest.fixture
def chip(monkeypatch: pytest.MonkeyPatch) -> StandInChip:
    made = StandInChip()
    monkeypatch.setattr(gpiod, "request_lines", made)
    monkeypatch.setattr(Artifact, "open", lambda path, verify=True: ARTIFACT)
    return made


class Rig:
    """The outputs and the thread on the stand-in, stepped by the test."""

    def __init__(self, chip: StandInChip) -> None:
        self.chip = chip
        self.clock = Clock()
        self.events: list[Event] = []
        lines = GpioLines(CONFIG)
        self.outputs = GpioOutputs(CONFIG, lines, self.clock)
        self.thread = GpioThread(CONFIG, lines, self.outputs, self.events.append, print, self.clock)

    def show(self, image: ProcessImage, edges: int = 0) -> None:
        self.outputs.publish(replace(image, at_ns=self.clock.now, edges=edges))

    def on(self) -> set[Any]:
        moments = self.chip.outputs.moments
        return {line for line, level in moments[-1].items() if level} if moments else set()


@pytest.fixture
def rig(chip: StandInChip) -> Rig:
    return Rig(chip)


def test_lines_are_requested_low_with_the_settings_of_the_table(rig: Rig, chip: StandInChip) -> None:
    assert set(chip.outputs.lines) == {READY, BUSY, VALID, PASS, HEALTHY}
    assert all(s.output_value.name == "INACTIVE" and not s.active_low for s in chip.outputs.config.values())
    trigger, bit = chip.inputs.config[TRIGGER], chip.inputs.config[JOB[0]]
    assert (trigger.direction, trigger.edge_detection, trigger.bias) == (Direction.INPUT, Edge.RISING, Bias.PULL_DOWN)
    assert trigger.debounce_period == timedelta(milliseconds=3) and bit.edge_detection is Edge.BOTH


def test_pass_and_valid_come_and_go_at_one_moment(rig: Rig) -> None:
    rig.show(GOOD_IMAGE)
    assert rig.on() == {VALID, PASS, HEALTHY}
    rig.show(replace(GOOD_IMAGE, shown=Shown(verdict=VerdictCode.REJECT)))
    assert rig.on() == {VALID, HEALTHY}
    rig.show(replace(GOOD_IMAGE, status=Status.ONLINE | Status.READY))
    assert rig.on() == {READY, HEALTHY}
    assert len(rig.chip.outputs.moments) == 3


images = st.builds(
    ProcessImage,
    status=st.sets(st.sampled_from(list(Status))).map(lambda bits: Status(sum(bits))),
    shown=st.builds(Shown, verdict=st.sampled_from(list(VerdictCode))),
)


@given(images, st.booleans(), st.booleans())
def test_pass_is_energised_only_for_a_fresh_pass_of_a_real_picture(
    image: ProcessImage, silent: bool, superseded: bool
) -> None:
    said = levels(image, silent=silent, superseded=superseded)
    assert said["passed"] == (image.passes and Status.SIMULATED not in image.status and not silent and not superseded)
    assert said["valid"] or not said["passed"]
    assert said["healthy"] == (Status.ONLINE in image.status and not silent)
    if silent or superseded:
        assert not (said["ready"] or said["valid"] or said["passed"])


def test_an_edge_takes_the_old_result_away_until_an_image_knows_of_it(rig: Rig) -> None:
    rig.show(GOOD_IMAGE)
    rig.chip.inputs.edge(TRIGGER, rig.clock.now - 2 * MS)
    rig.thread.step(0.0)
    assert rig.on() == {HEALTHY}, "before the I/O thread has seen it"
    assert rig.events == [Trigger(TriggerKind.GPIO, rig.clock.now - 2 * MS, edge=1)], "with the kernel's time"
    rig.show(GOOD_IMAGE)
    assert rig.on() == {HEALTHY}, "an image of before the edge, put out after it"
    rig.show(GOOD_IMAGE, edges=1)
    assert rig.on() == {VALID, PASS, HEALTHY}


def test_edges_that_the_kernel_dropped_are_triggers_too(rig: Rig) -> None:
    rig.chip.inputs.edge(TRIGGER, 10)
    rig.chip.inputs.edge(TRIGGER, 20, lost=2)
    rig.thread.step(0.0)
    assert [event.edge for event in rig.events if isinstance(event, Trigger)] == [1, 2, 3, 4]


def test_an_image_that_nobody_renews_falls(rig: Rig) -> None:
    rig.show(GOOD_IMAGE)
    rig.clock.pass_ms(501)
    rig.thread.step(0.0)
    assert rig.on() == set()
    rig.show(GOOD_IMAGE)
    assert rig.on() == {VALID, PASS, HEALTHY}
    rig.outputs.close()
    assert rig.on() == set()


def test_a_reset_edge_resets(rig: Rig) -> None:
    rig.chip.inputs.edge(RESET, 1)
    rig.thread.step(0.0)
    assert rig.events == [Reset()]


def test_a_job_counts_once_its_bits_have_stood(rig: Rig) -> None:
    rig.thread.step(0.0)
    for bit in (0, 2):
        rig.chip.inputs.edge(JOB[bit], rig.clock.now)
        rig.clock.pass_ms(30)
        rig.thread.step(0.0)
    assert rig.events == []
    rig.clock.pass_ms(21)
    rig.thread.step(0.0)
    assert rig.events == [JobWanted(5)]
    for bit in (0, 2):
        rig.chip.inputs.edge(JOB[bit], rig.clock.now, level=False)
    rig.thread.step(0.0)
    rig.clock.pass_ms(51)
    rig.thread.step(0.0)
    assert rig.events == [JobWanted(5)], "0 changes nothing"


def test_a_chip_that_fails_is_told_and_tried_again(rig: Rig, chip: StandInChip) -> None:
    chip.broken = True
    rig.show(GOOD_IMAGE)
    rig.thread.step(0.0)
    assert "No such device" in rig.outputs.failure and "No such device" in rig.thread.failure
    chip.broken = False
    rig.thread.step(0.0)
    assert rig.on() == {VALID, PASS, HEALTHY} and not rig.outputs.failure and not rig.thread.failure


def test_lines_that_are_held_and_a_missing_package_are_one_clear_line(
    chip: StandInChip, monkeypatch: pytest.MonkeyPatch
) -> None:
    chip.busy = True
    with pytest.raises(DeviceError, match=r"busy.*gpioinfo"):
        GpioLines(CONFIG)
    monkeypatch.setitem(__import__("sys").modules, "gpiod", None)
    with pytest.raises(DeviceError, match=r"pip install 'regad\[gpio\]'"):
        GpioLines(CONFIG)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "has no line"),
        ({"valid": 3, "passed": 3}, "is given 2 times"),
        ({"job": (1, 2, 3, 4, 5)}, "up to 4"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(table: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        GpioConfig(**table)


@pytest.mark.parametrize(
    ("kind", "table"), [("gpio", GpioConfig(passed=19)), ("gpio", None), ("command", GpioConfig(trigger=4))]
)
def test_a_trigger_line_and_its_kind_go_together(kind: Any, table: GpioConfig | None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="go together"):
        Station(tmp_path, gpio=table, trigger=TriggerConfig(kind=kind))


def test_the_table_is_read_from_the_file(tmp_path: Path) -> None:
    document = {
        "model": {"path": "m"},
        "camera": {"source": "camera:0"},
        "trigger": {"kind": "gpio"},
        "job": [{"number": 1, "name": "a", "category": "c", "sha256": "0" * 64}],
        "gpio": {"pass": 19, "trigger": "PLC_TRIG", "job": [1, "B1"], "bias": "pull-down"},
    }
    config, faults = parse_config(document, tmp_path)
    assert not faults and config is not None and config.gpio is not None
    assert config.gpio.outputs == {"passed": 19} and config.gpio.inputs == ["PLC_TRIG", 1, "B1"]
    document["gpio"] = {"pass": -1, "pasz": 3}
    assert parse_config(document, tmp_path)[0] is None


TABLES = {"gpio": CONFIG, "trigger": TriggerConfig(kind="gpio", deadline_ms=20_000, hold_ms=60_000)}


def wait(station: Station, chip: StandInChip, wanted: Callable[[set[Any]], bool]) -> set[Any]:
    """What is on, once it is as wanted."""

    def on() -> set[Any]:
        moments = chip.outputs.moments
        return {line for line, level in moments[-1].items() if level} if moments else set()

    station.until(lambda image: wanted(on()))
    return on()


def test_a_line_with_wires_passes_a_good_part_and_no_bad_one(chip: StandInChip, tmp_path: Path) -> None:
    with running(tmp_path, **TABLES) as station:
        for grey, passes in ((GOOD, True), (BAD, False), (GOOD, True)):
            station.camera.grey = grey
            wait(station, chip, lambda on: READY in on)
            before = len(chip.outputs.moments)
            chip.inputs.edge(TRIGGER, time.monotonic_ns())
            on = wait(station, chip, lambda on, before=before: VALID in on and len(chip.outputs.moments) > before)  # type: ignore[misc]
            assert (PASS in on) is passes and HEALTHY in on
            since = chip.outputs.moments[before:]
            assert not since[0][VALID] and not since[0][READY], "the part before is taken away first"
            assert [moment[PASS] for moment in since].count(True) == passes
    assert chip.outputs.released and chip.inputs.released
    assert not any(chip.outputs.moments[-1].values()), "every output has fallen"


@pytest.mark.parametrize("mode", ["simulate", "shadow"])
def test_a_shadowing_or_simulating_station_energises_no_pass(chip: StandInChip, tmp_path: Path, mode: Any) -> None:
    tables = {**TABLES, "station": StationConfig(mode=mode, autostart=True, job=1)}
    with running(tmp_path, **tables) as station:
        wait(station, chip, lambda on: READY in on)
        chip.inputs.edge(TRIGGER, time.monotonic_ns())
        wait(station, chip, lambda on: VALID in on)
    assert not any(moment[PASS] for moment in chip.outputs.moments)
