"""The I/O thread, stepped by hand: outputs before effects, and what it does when something of it fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from regad.runtime.station.codes import Fault, State, Status, TriggerKind, VerdictCode
from regad.runtime.station.effects import Effect, Record
from regad.runtime.station.events import Booted, Event, JobReady, JobWanted, Stop, Trigger
from regad.runtime.station.image import ProcessImage
from regad.runtime.station.io_thread import IoThread
from regad.runtime.station.machine import Machine
from regad.runtime.station.part import Answer
from regad.runtime.station.settings import Settings
from regad.runtime.station.worker import Worker

from .station_doubles import PATIENCE, Clock
from .thread_doubles import ONE


class Failing(Machine):
    def handle(self, event: Event, now_ns: int) -> list[Effect]:
        if isinstance(event, Trigger):
            raise ZeroDivisionError("oops")
        return super().handle(event, now_ns)


def io_thread(machine: Machine, perform: Callable[[Effect], None], clock: Clock, trouble: str = "") -> tuple[Any, ...]:
    images: list[ProcessImage] = []
    said: list[str] = []
    return IoThread(machine, images.append, perform, lambda: trouble, said.append, clock), images, said


def test_outputs_come_before_effects() -> None:
    order: list[str] = []
    clock = Clock()
    machine = Machine(Settings(autostart=True))
    io = IoThread(
        machine, lambda image: order.append("image"), lambda effect: order.append("effect"), str, print, clock
    )
    for event in (Booted(), JobWanted(1)):
        io.post(event)
    io.step(0.0)
    assert order == ["image", "image", "effect"]


def test_the_heartbeat_counts_every_100_ms_and_not_while_a_thread_is_silent() -> None:
    clock = Clock()
    io, images, _ = io_thread(Machine(Settings()), lambda effect: None, clock)
    for _ in range(10):
        clock.pass_ms(50)
        io.step(0.0)
    assert images[-1].heartbeat == 5
    stuck, images, _ = io_thread(Machine(Settings()), lambda effect: None, clock, "the judge hangs")
    clock.pass_ms(100)
    stuck.step(0.0)
    assert (images[-1].heartbeat, images[-1].fault) == (0, Fault.HANG)


def test_a_machine_that_fails_puts_out_a_fault_and_nothing_else_any_more() -> None:
    clock = Clock()
    io, images, said = io_thread(Failing(Settings(autostart=True)), lambda effect: None, clock)
    io.post(Booted())
    io.post(Trigger(TriggerKind.COMMAND, clock.now))
    io.step(0.0)
    assert (images[-1].state, images[-1].fault, images[-1].status) == (State.FAULT, Fault.INTERNAL, Status.ERROR)
    assert said == ["the state machine failed on Trigger: ZeroDivisionError: oops"]
    count = len(images)
    io.post(Booted())
    clock.pass_ms(1000)
    io.step(0.0)
    assert len(images) == count


def test_a_machine_that_fails_answers_every_trigger_and_does_not_say_that_all_is_well() -> None:
    clock = Clock()
    told: list[Answer] = []
    asked: list[int] = []

    class FailsOnStop(Machine):
        def handle(self, event: Event, now_ns: int) -> list[Effect]:
            return super().handle(event, now_ns) if not isinstance(event, Stop) else [][1]

    def trouble() -> str:
        asked.append(clock.now)
        return ""

    def perform(effect: Effect) -> None:
        if isinstance(effect, Answer) and effect.reply is not None:
            effect.reply(effect)

    io = IoThread(FailsOnStop(Settings(autostart=True)), lambda image: None, perform, trouble, lambda text: None, clock)
    for event in (Booted(), JobWanted(1), JobReady(ONE)):
        io.post(event)
    for _ in range(2):  # the first is taken up, the second missed
        io.post(Trigger(TriggerKind.COMMAND, clock.now, reply=told.append))
    io.post(Stop())
    io.post(Trigger(TriggerKind.COMMAND, clock.now, reply=told.append))
    io.step(0.0)
    assert [each.verdict for each in told] == [VerdictCode.MISSED, VerdictCode.NOT_JUDGED, VerdictCode.NOT_JUDGED]
    assert told[1].outcome is not None and "the state machine failed on Stop" in told[1].outcome.error
    clock.pass_ms(1000)
    io.step(0.0)
    assert asked == [], "the watchdog was fed"


def test_an_effect_that_fails_is_a_fault_and_the_thread_lives() -> None:
    clock = Clock()

    def perform(effect: Effect) -> None:
        if not isinstance(effect, Record):
            raise OSError("no room")

    io, images, said = io_thread(Machine(Settings(autostart=True)), perform, clock)
    io.post(Booted())
    io.post(JobWanted(1))
    io.step(0.0)
    io.step(0.0)
    assert images[-1].fault is Fault.INTERNAL
    assert said[0] == "Load failed: OSError: no room"


def test_a_step_that_raises_is_told_and_the_thread_goes_on() -> None:
    said: list[str] = []
    done = threading.Event()

    class Stumbling(Worker):
        count = 0

        def step(self, timeout: float) -> None:
            self.count += 1
            if self.count == 1:
                raise ValueError("first")
            done.set()

    worker = Stumbling("stumbler", Clock(), said.append)
    worker.start()
    assert done.wait(PATIENCE)
    worker.stop()
    assert said == ["stumbler: ValueError: first"]
