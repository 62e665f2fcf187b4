"""A machine to be stepped event by event: its time, and all that it asks for."""

from __future__ import annotations

from typing import Any

from regad.runtime.station.codes import Control, Status, TriggerKind, VerdictCode
from regad.runtime.station.effects import Effect, Expose, Judge, Record
from regad.runtime.station.events import Booted, Event, JobReady, JobWanted, Judged, PlcWrote, Taken
from regad.runtime.station.image import PlcWords
from regad.runtime.station.machine import Machine
from regad.runtime.station.part import Job, Outcome
from regad.runtime.station.settings import Settings

MS = 1_000_000
ONE, TWO = Job(1, "one", "a" * 64), Job(2, "two", "b" * 64, 10 * MS)


class Bench:
    """A machine, the time, and all that it asked for."""

    def __init__(self, **settings: Any) -> None:
        given = {"kind": TriggerKind.MODBUS, "autostart": True, "deadline_ns": 100 * MS, **settings}
        self.machine = Machine(Settings(**given), 5)
        self.now = 0
        self.effects: list[Effect] = []
        self.words = PlcWords()
        self.frames = 0

    def send(self, event: Event, after_ms: float = 0) -> list[Effect]:
        self.now += round(after_ms * MS)
        made = self.machine.handle(event, self.now)
        self.effects += made
        return made

    def write(self, control: int, seq: int = 0, job: int = 1, beat: int = 0, after_ms: float = 0) -> list[Effect]:
        self.now += round(after_ms * MS)
        self.words = PlcWords(control, seq, job, 9, "S", beat, self.words.number + 1)
        return self.send(PlcWrote(self.words, self.now))

    def ready(self) -> Bench:
        for event in (Booted(), JobWanted(1), JobReady(ONE)):
            self.send(event)
        self.write(Control.ENABLE)
        assert self.status & Status.READY
        return self

    def trigger(self, seq: int = 7) -> Expose:
        made = self.write(Control.ENABLE | Control.TRIGGER, seq)
        (expose,) = [effect for effect in made if isinstance(effect, Expose)]
        self.write(Control.ENABLE, seq)
        return expose

    def expose(self, expose: Expose) -> Judge:
        self.frames += 1
        (judge,) = self.send(Taken(expose.token, self.frames, self.now, "frame"))
        assert isinstance(judge, Judge)
        return judge

    def judged(self, judge: Judge, verdict: VerdictCode = VerdictCode.PASS, **more: Any) -> list[Effect]:
        outcome = Outcome(verdict, judge.job.pin, 1.0, 4.0, **more)
        return self.send(Judged(judge.token, judge.frame_id, outcome))

    def part(self, seq: int = 7, verdict: VerdictCode = VerdictCode.PASS, **more: Any) -> list[Effect]:
        return self.judged(self.expose(self.trigger(seq)), verdict, **more)

    @property
    def status(self) -> Status:
        return self.machine.image.status

    @property
    def verdict(self) -> VerdictCode:
        return self.machine.image.shown.verdict

    @property
    def records(self) -> list[Record]:
        return [effect for effect in self.effects if isinstance(effect, Record)]
