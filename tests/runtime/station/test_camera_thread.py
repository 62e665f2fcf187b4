"""The camera's thread with a camera of the test's own: which frame is the part's, and what a bad camera is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from regad.runtime.sources.frame import Frame, Source
from regad.runtime.station.camera import CameraSettings, CameraThread
from regad.runtime.station.codes import Fault
from regad.runtime.station.effects import Expose
from regad.runtime.station.events import Event, Gone, NoFrame, Raised, Taken

from .station_doubles import PATIENCE, Clock
from .thread_doubles import TOKEN, grey_frame


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


def unplugged() -> tuple[Fed, Lens]:
    """A camera that was asked for a part's frame, and failed."""
    fed = Fed()
    lens = Lens(lambda: fed)
    lens.expose()
    fed.feed(Frame("test", 0, 0.0, None, error="unplugged", taken=(lens.clock.now + 1) / 1e9))
    return fed, lens


def test_an_error_of_the_camera_is_the_part_s_at_once() -> None:
    _, lens = unplugged()
    assert lens.heard.first(NoFrame).text == "unplugged"
    lens.thread.stop()


def test_a_good_frame_that_nobody_asked_for_ends_the_fault_that_failed_parts_made() -> None:
    fed, lens = unplugged()
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
