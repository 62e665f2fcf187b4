"""Machine, I/O thread and judge together, stepped by hand in any order."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from regad.runtime.station.codes import TriggerKind, VerdictCode
from regad.runtime.station.effects import Effect, Expose, Judge
from regad.runtime.station.events import Booted, JobReady, JobWanted, Judged, Taken, Trigger
from regad.runtime.station.image import ProcessImage
from regad.runtime.station.io_thread import IoThread
from regad.runtime.station.judge import JudgingThread
from regad.runtime.station.machine import Machine
from regad.runtime.station.part import Answer, Token
from regad.runtime.station.settings import Settings

from .station_doubles import Clock
from .thread_doubles import ONE, PINNED, TOKEN, grey_frame, judged


class Rig:
    """Machine, I/O thread and judge, stepped by hand; the camera is the test's own."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.exposed: list[Expose] = []
        self.passed: list[Token] = []
        self.image = ProcessImage()
        machine = Machine(Settings(autostart=True, deadline_ns=50_000_000, hold_ns=100_000_000), 1)
        self.io = IoThread(machine, self.publish, self.perform, str, print, self.clock)
        self.judge = JudgingThread(lambda job: PINNED, self.io.post, print, self.clock)
        self.good: dict[int, bool] = {}
        self.triggered: dict[int, int] = {}
        for event in (Booted(), JobWanted(1), JobReady(ONE)):
            self.io.post(event)
        self.io.step(0.0)
        self.frames = 0

    def publish(self, image: ProcessImage) -> None:
        self.image = image
        if image.passes:
            seq = image.shown.tag
            assert self.good.get(seq), f"PASS for part {seq}, which is not known to be good"
            assert image.shown.ms <= 50.0

    def perform(self, effect: Effect) -> None:
        if isinstance(effect, Expose):
            self.exposed.append(effect)
        elif isinstance(effect, Judge):
            self.judge.submit(effect)
        elif isinstance(effect, Answer) and effect.verdict is VerdictCode.PASS:
            self.passed.append(effect.token)

    def do(self, step: str) -> None:
        if step == "trigger":
            self.io.post(Trigger(TriggerKind.COMMAND, self.clock.now))
        elif step in ("good", "bad", "early"):
            if not self.exposed:
                return
            expose = self.exposed[-1] if step == "early" else self.exposed.pop()
            self.frames += 1
            taken = expose.after_ns - 1 if step == "early" else self.clock.now
            if step != "early":
                self.good.setdefault(expose.token.seq, step == "good")
            self.io.post(Taken(expose.token, self.frames, taken, grey_frame(150 if step == "bad" else 60, self.frames)))
        elif step == "io":
            self.io.step(0.0)
        elif step == "judge":
            self.judge.step(0.0)
        elif step == "again":
            self.io.post(Judged(Token(0, 1), 1, judged([grey_frame(60)])[0]))
        else:
            self.clock.pass_ms(float(step))


steps = st.sampled_from(["trigger", "good", "bad", "early", "io", "io", "judge", "judge", "again", "1", "20", "60"])


@settings(max_examples=200)
@given(st.lists(steps, max_size=60))
def test_in_whatever_order_the_threads_run_pass_is_the_part_s_own_and_in_time(order: list[str]) -> None:
    rig = Rig()
    for step in order:
        rig.do(step)
    assert not rig.io.broken


def test_the_order_that_is_meant_gives_pass() -> None:
    rig = Rig()
    for step in ("trigger", "io", "good", "io", "judge", "io"):
        rig.do(step)
    assert rig.image.passes and rig.passed == [TOKEN]
    for step in ("60", "60", "io"):
        rig.do(step)
    assert not rig.image.passes
