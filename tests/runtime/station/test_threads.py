"""The threads of the line with a clock, a camera and a judge of the test's own, stepped by hand in any order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regad.runtime.formats.limits import Limit
from regad.runtime.formats.spec import InputSpec
from regad.runtime.imaging.arrival import Prepared, prepare
from regad.runtime.result import Result, Timings
from regad.runtime.sources.frame import Frame, Source
from regad.runtime.station.camera import CameraSettings, CameraThread
from regad.runtime.station.codes import Fault, State, Status, TriggerKind, VerdictCode
from regad.runtime.station.effects import Effect, Expose, Judge, Record
from regad.runtime.station.events import (
    Booted,
    Event,
    Gone,
    JobReady,
    JobWanted,
    Judged,
    NoFrame,
    Raised,
    Stop,
    Taken,
    Trigger,
)
from regad.runtime.station.image import ProcessImage
from regad.runtime.station.io_thread import IoThread
from regad.runtime.station.judge import JudgingThread, Pinned
from regad.runtime.station.machine import Machine
from regad.runtime.station.part import Answer, Job, Token
from regad.runtime.station.settings import Settings
from regad.runtime.station.worker import Worker

from .station_doubles import PATIENCE, Clock

ONE = Job(1, "one", "a" * 64)
TOKEN = Token(1, 1)


def grey_frame(grey: int, mark: int = 0, taken: float = 0.0) -> Frame:
    image = np.full((8, 8, 3), grey, np.uint8)
    image[mark // 8 % 8, mark % 8] += mark > 0
    return Frame("test", mark, 0.0, image, taken=taken)


class Brightness:
    """Good below 100."""

    def prepare(self, image: Any) -> Prepared:
        return prepare(image, InputSpec())

    def predict_prepared(self, frames: Any) -> list[Result]:
        score = float(frames[0].image.mean())
        heat = np.zeros((224, 224), np.float32)
        heat[7, 9] = score
        thetas = np.zeros((3, 2, 3), np.float32)
        return [Result(score, 100.0, score > 100.0, heat, thetas, Timings(0, 0, 0, 0), InputSpec())]


PINNED = Pinned(ONE, Brightness(), {}, "cafe", "beef")


# The I/O thread.


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


# The judge.


def judged(
    frames: list[Frame], pinned: Callable[[Job], Pinned] = lambda job: PINNED, watch_frozen: bool = True
) -> list[Any]:
    events: list[Any] = []
    thread = JudgingThread(pinned, events.append, print, Clock(), watch_frozen=watch_frozen)
    for number, frame in enumerate(frames, 1):
        thread.submit(Judge(Token(1, number), number, frame, ONE))
        thread.step(0.0)
    thread.step(0.0)
    return [event.outcome for event in events]


def test_a_judgement_carries_all_that_the_trace_keeps() -> None:
    (outcome,) = judged([grey_frame(60)])
    assert (outcome.verdict, outcome.pin, outcome.spot, outcome.fault) == (
        VerdictCode.PASS,
        ONE.pin,
        (9, 7),
        Fault.NONE,
    )
    assert outcome.details.frame.image.shape == (224, 224, 3) and outcome.details.map.max() == outcome.score == 60.0
    details = outcome.details
    assert (details.frame.measures.brightness, details.category, details.preparation) == (60.0, "cafe", "beef")


def test_a_score_that_is_no_number_is_not_judged() -> None:
    class Broken(Brightness):
        def predict_prepared(self, frames: Any) -> list[Result]:
            return [replace(super().predict_prepared(frames)[0], score=float("nan"), anomalous=False)]

    (outcome,) = judged([grey_frame(60)], lambda job: replace(PINNED, detector=Broken()))
    assert (outcome.verdict, outcome.fault, outcome.error) == (
        VerdictCode.NOT_JUDGED,
        Fault.JUDGE,
        "the score is nan",
    )


def test_a_picture_that_equals_the_one_before_is_not_judged() -> None:
    found = judged([grey_frame(60), grey_frame(60), grey_frame(61), grey_frame(60)])
    assert [each.fault for each in found] == [Fault.NONE, Fault.FROZEN, Fault.NONE, Fault.NONE]
    unwatched = judged([grey_frame(60), grey_frame(60)], watch_frozen=False)
    assert [each.fault for each in unwatched] == [Fault.NONE, Fault.NONE]


@pytest.mark.parametrize(("grey", "word"), [(0, "black"), (2, "black"), (253, "white"), (255, "white")])
def test_a_black_or_white_picture_is_not_judged(grey: int, word: str) -> None:
    (outcome,) = judged([grey_frame(grey)])
    assert (outcome.verdict, outcome.fault) == (VerdictCode.NOT_JUDGED, Fault.PICTURE)
    assert f"the picture is {word}" in outcome.error


def test_a_part_that_was_taught_black_is_judged() -> None:
    dark = Pinned(ONE, Brightness(), {"brightness": Limit(0.0, 20.0, (0.0, 5.0))}, "cafe")
    (outcome,) = judged([grey_frame(1)], lambda job: dark)
    assert outcome.verdict is VerdictCode.PASS


def test_whatever_is_raised_is_not_judged() -> None:
    def gone(job: Job) -> Pinned:
        raise KeyError("job 1 has another category by now")

    (outcome,) = judged([grey_frame(60)], gone)
    assert (outcome.verdict, outcome.fault) == (VerdictCode.NOT_JUDGED, Fault.JUDGE)
    (unusable,) = judged([Frame("test", 0, 0.0, np.zeros((2, 2, 7), np.uint8))])
    assert (unusable.verdict, unusable.fault) == (VerdictCode.NOT_JUDGED, Fault.PICTURE)


# The camera.


class Fed(Source):
    """A live camera whose frames the test hands over."""

    live = True

    def __init__(self) -> None:
        super().__init__("fed camera")
        self.frames: list[Frame] = []
        self.changed = threading.Condition()
        self.ended = False

    def feed(self, *frames: Frame) -> None:
        with self.changed:
            self.frames += frames
            self.changed.notify_all()

    def stop(self) -> None:
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def _start(self) -> None: ...

    def _read(self) -> None: ...

    def _next(self) -> Frame:
        with self.changed:
            self.changed.wait_for(lambda: self.frames or self.ended)
            if self.ended:
                raise StopIteration
            return self.frames.pop(0)


class Heard:
    """Events as they come, for a test that waits for one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def first(self, kind: type) -> Any:
        with self._changed:
            assert self._changed.wait_for(lambda: any(isinstance(each, kind) for each in self.events), PATIENCE)
            return next(each for each in self.events if isinstance(each, kind))


class Lens:
    """A camera thread that is not started: the test steps it; only the source's own thread runs."""

    def __init__(self, source: Callable[[], Source], **given: Any) -> None:
        self.clock = Clock()
        self.heard = Heard()
        self.thread = CameraThread(source, self.heard, print, CameraSettings(**given), self.clock)
        self.thread.reopen()

    def expose(self) -> int:
        self.thread.expose(Expose(TOKEN, self.clock.now))
        return self.clock.now

    def frame(self, after_ms: float, index: int = 0) -> Frame:
        return grey_frame(60, index, (self.clock.now + after_ms * 1e6) / 1e9)


def test_the_first_frame_taken_after_the_trigger_is_the_part_s_and_none_from_a_buffer() -> None:
    fed = Fed()
    lens = Lens(lambda: fed)
    lens.expose()
    early, late = lens.frame(-5, 1), lens.frame(2, 3)
    fed.feed(early, late, lens.frame(9, 4))
    taken = lens.heard.first(Taken)
    assert taken.frame is late and taken.token == TOKEN
    lens.thread.stop()


def test_a_streaming_camera_is_given_one_frame_time_more() -> None:
    fed = Fed()
    lens = Lens(lambda: fed)
    fed.feed(lens.frame(-80, 1), lens.frame(-40, 2), lens.frame(-0.001, 3))
    lens.expose()
    begun, wanted = lens.frame(39, 4), lens.frame(79, 5)
    fed.feed(begun, wanted)
    assert lens.heard.first(Taken).frame is wanted
    lens.thread.stop()


def test_a_triggered_camera_needs_no_frame_time_however_far_its_frames_lie_apart() -> None:
    fed = Fed()
    fed.triggered = True
    lens = Lens(lambda: fed, settle_ns=3_000_000)
    fed.feed(lens.frame(-80, 1), lens.frame(-40, 2), lens.frame(-0.001, 3))
    lens.expose()
    wanted = lens.frame(0.5, 5)
    fed.feed(lens.frame(-0.5, 4), wanted)
    assert lens.heard.first(Taken).frame is wanted, "nor settle_ms, which is for cameras that stream"
    lens.thread.stop()


def test_a_camera_that_is_asked_for_its_frames_needs_no_frame_time() -> None:
    fed = Fed()
    lens = Lens(lambda: fed, streams=False, settle_ns=3_000_000)
    lens.expose()
    wanted = lens.frame(3, 3)
    fed.feed(lens.frame(-40, 1), lens.frame(2, 2), wanted)
    assert lens.heard.first(Taken).frame is wanted
    lens.thread.stop()


def test_no_frame_in_time_is_the_part_s_trouble_and_a_silent_camera_the_station_s() -> None:
    lens = Lens(Fed, max_age_ns=500_000_000)
    lens.expose()
    lens.clock.pass_ms(501)
    lens.thread.step(0.0)
    (event,) = lens.heard.events
    assert isinstance(event, NoFrame) and event.fault is Fault.CAMERA and "no frame within 500 ms" in event.text
    lens.clock.pass_ms(2000)
    lens.thread.step(0.0)
    assert isinstance(lens.heard.events[1], Raised) and lens.heard.events[1].fault is Fault.CAMERA
    lens.thread.stop()


def test_a_camera_that_hangs_is_thrown_away_and_opened_again() -> None:
    sources: list[Fed] = []

    def opened() -> Source:
        sources.append(Fed())
        return sources[-1]

    lens = Lens(opened)
    lens.expose()
    lens.clock.pass_ms(2501)
    lens.thread.step(0.0)
    lens.expose()
    while len(sources) < 2:
        lens.thread.step(0.001)
    sources[0].feed(lens.frame(1, 1))
    wanted = lens.frame(2, 2)
    sources[1].feed(wanted)
    assert lens.heard.first(Taken).frame is wanted
    assert lens.heard.first(Gone).fault is Fault.CAMERA
    lens.thread.stop()


def test_an_error_of_the_camera_is_the_part_s_at_once() -> None:
    fed = Fed()
    lens = Lens(lambda: fed)
    lens.expose()
    fed.feed(Frame("test", 0, 0.0, None, error="unplugged", taken=(lens.clock.now + 1) / 1e9))
    assert lens.heard.first(NoFrame).text == "unplugged"
    lens.thread.stop()


def test_a_good_frame_that_nobody_asked_for_ends_the_fault_that_failed_parts_made() -> None:
    fed = Fed()
    lens = Lens(lambda: fed)
    lens.expose()
    fed.feed(Frame("test", 0, 0.0, None, error="unplugged", taken=(lens.clock.now + 1) / 1e9))
    lens.heard.first(NoFrame)
    fed.feed(lens.frame(2, 1))
    assert lens.heard.first(Gone) == Gone(Fault.CAMERA)
    lens.thread.stop()


def test_a_recording_with_broken_pictures_is_no_fault_for_ever() -> None:
    fed = Fed()
    fed.live = False
    lens = Lens(lambda: fed)
    lens.expose()
    fed.feed(Frame("test", 0, 0.0, None, error="no picture"))
    lens.heard.first(NoFrame)
    lens.thread.step(0.0)
    assert lens.heard.events[-1] == Gone(Fault.CAMERA)
    lens.thread.stop()


def test_a_camera_that_cannot_be_opened_says_why() -> None:
    tried = threading.Event()

    def closed() -> Source:
        tried.set()
        raise RuntimeError("no such device")

    lens = Lens(closed)
    assert tried.wait(PATIENCE)
    lens.expose()
    lens.clock.pass_ms(2001)
    lens.thread.step(0.1)
    assert "no such device" in lens.heard.first(NoFrame).text
    lens.thread.stop()


# All of them together.


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
