"""What runs in a thread of its own: read-ahead, newest-frame semantics, a camera that falls silent."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pytest

from regad.runtime.errors import SourceError
from regad.runtime.imaging.reading import LOW_SAMPLES
from regad.runtime.sources.frame import Frame
from regad.runtime.sources.streams import LiveSource, ReadAhead

from .captures import PATIENCE, FakeCapture, blue, picture

# Reading ahead


def test_reading_ahead_overlaps_and_drops_nothing() -> None:
    decoded = [threading.Event() for _ in range(4)]

    def frames() -> Any:
        for index, event in enumerate(decoded):
            event.set()
            yield Frame("x", index, 0.0, picture(index))

    with ReadAhead("x", frames()) as source:
        first = next(source)
        assert decoded[1].wait(PATIENCE), "the next frame is decoded while the first is being judged"
        assert [first.index, *(frame.index for frame in source)] == [0, 1, 2, 3]
        with pytest.raises(StopIteration):
            next(source)


def test_an_unforeseen_failure_of_the_reading_thread_reaches_the_caller() -> None:
    def frames() -> Any:
        yield Frame("x", 0, 0.0, picture(1))
        raise MemoryError("too large")

    with ReadAhead("x", frames()) as source:
        next(source)
        with pytest.raises(SourceError, match="reading x failed: too large"):
            next(source)


def test_leaving_early_ends_the_thread() -> None:
    closed = threading.Event()

    def frames() -> Any:
        try:
            for index in itertools.count():
                yield Frame("x", index, 0.0, picture(1))
        finally:
            closed.set()

    with ReadAhead("x", frames()) as source:
        next(source)
    assert closed.wait(PATIENCE)


# Cameras and streams


@contextmanager
def running(source: LiveSource, *captures: FakeCapture) -> Iterator[LiveSource]:
    """Use a source; at the end the captures give up waiting, as a real driver does after its own timeout."""
    try:
        with source:
            yield source
            source.stop()
            for item in captures:
                item.release()
    finally:
        assert source._thread is None or not source._thread.is_alive()


def live(camera: FakeCapture, **options: Any) -> AbstractContextManager[LiveSource]:
    return running(LiveSource("camera:0", lambda: camera, **options), camera)


def test_bgr_becomes_rgb_once() -> None:
    camera = FakeCapture(picture(200))
    with live(camera) as source:
        frame = next(source)
    assert frame.image is not None
    assert tuple(frame.image[0, 0]) == (0, 0, 200)
    assert (frame.source, frame.index, frame.name) == ("camera:0", 0, "frame_000000.jpg")


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1)])
def test_grey_cameras_are_accepted(shape: tuple[int, ...]) -> None:
    with live(FakeCapture(np.full(shape, 7 << 8, np.uint16))) as source:
        frame = next(source)
    assert frame.image is not None
    assert frame.image.shape == (4, 6, 3)
    assert (frame.image == 7).all()


def test_a_frame_of_no_known_form_is_an_error_frame() -> None:
    with live(FakeCapture(np.zeros((4, 6, 2), np.uint8))) as source:
        assert "uint8" in str(next(source).error)


def test_a_slow_judge_sees_the_newest_frame_and_the_count_of_the_dropped() -> None:
    camera = FakeCapture()
    with live(camera) as source:
        camera.feed(picture(1))
        assert blue(next(source)) == 1
        camera.feed(*(picture(value) for value in range(2, 12)))
        camera.settle()
        frame = next(source)
        assert (blue(frame), frame.index, source.dropped) == (11, 10, 9)
        camera.feed(picture(12))
        assert (blue(next(source)), source.dropped) == (12, 9)


def test_a_camera_that_falls_silent_is_reported_again_and_again() -> None:
    now = [100.0]
    camera = FakeCapture()
    with live(camera, timeout=0.01, clock=lambda: now[0]) as source:
        camera.feed(picture(1))
        assert next(source).error is None
        now[0] += 5
        first = next(source)
        now[0] += 10
        second = next(source)
        assert first.image is None
        assert first.error == "no frame from camera:0 for 5 s (unplugged, or the stream stopped); trying to reopen it"
        assert "for 15 s" in str(second.error)
        assert (first.index, second.index) == (1, 2)
        camera.feed(picture(2))
        camera.settle()
        assert (blue(next(source))) == 2


def test_an_unplugged_camera_is_reopened_until_it_is_back() -> None:
    first, second = FakeCapture(picture(1), None), FakeCapture(picture(2))
    opened: list[Any] = [first, SourceError("no camera"), SourceError("no camera"), second]
    order = iter(opened)

    def open_capture() -> Any:
        item = next(order)
        if isinstance(item, Exception):
            raise item
        return item

    with running(LiveSource("camera:0", open_capture, retry=(0.0, 0.0)), second) as source:
        second.settle()  # the reader has lost the first, failed twice, and read all of the second
        assert blue(next(source)) == 2
        assert first.released
    assert next(order, None) is None


def test_a_driver_that_raises_or_gives_nothing_counts_as_unplugged() -> None:
    broken, empty, sound = (
        FakeCapture(RuntimeError("driver")),
        FakeCapture(np.zeros((0, 0, 3), np.uint8)),
        FakeCapture(),
    )
    order = iter([broken, empty, sound])
    with running(LiveSource("camera:0", lambda: next(order), retry=(0.0, 0.0)), sound) as source:
        sound.feed(picture(9))
        assert blue(next(source)) == 9
    assert broken.released
    assert empty.released


def test_pauses_between_attempts_to_reopen_double_up_to_a_limit() -> None:
    waits: list[float] = []
    camera = FakeCapture(None)
    attempts = iter([camera])

    def open_capture() -> Any:
        item = next(attempts, None)
        if item is None:
            raise SourceError("gone")
        return item

    source = LiveSource("camera:0", open_capture, retry=(1.0, 5.0))
    stopped = source._stopped

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 5:
            stopped.set()
        return stopped.is_set()

    stopped.wait = wait  # type: ignore[method-assign, assignment]
    source._read()
    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_leftover_frame_from_before_the_silence_is_not_taken_for_the_present() -> None:
    now = [0.0]
    camera = FakeCapture(picture(1))
    with live(camera, timeout=0.01, clock=lambda: now[0]) as source:
        camera.settle()
        now[0] = 60.0
        assert "no frame" in str(next(source).error)


def test_closing_wakes_a_waiting_reader() -> None:
    camera = FakeCapture()
    source = LiveSource("camera:0", lambda: camera)
    ended = threading.Event()

    def consume() -> None:
        assert list(source) == []
        ended.set()

    thread = threading.Thread(target=consume)
    thread.start()
    camera.settle()
    source.stop()
    camera.release()
    source.close()
    assert ended.wait(PATIENCE)
    thread.join()


# Nothing ends the reading thread


@pytest.mark.parametrize(
    "error", [RuntimeError("rtsp://u:secret@h/1 broke"), MemoryError(), ValueError("bad\nargument")]
)
def test_whatever_opening_again_raises_is_told_and_tried_again(error: Exception) -> None:
    first, second = FakeCapture(None), FakeCapture()
    tried = threading.Event()
    order = iter([first, error, error, second])

    def open_capture() -> Any:
        item = next(order)
        if isinstance(item, Exception):
            raise item
        if item is second:
            tried.set()
            assert gate.wait(PATIENCE)
        return item

    gate = threading.Event()
    with running(LiveSource("camera:0", open_capture, timeout=0.01, retry=(0.0, 0.0)), second) as source:
        assert next(source).error is not None
        assert tried.wait(PATIENCE)
        message = str(next(source).error)
        assert "trying to reopen it; the last attempt failed: " in message
        assert "secret" not in message
        assert "\n" not in message
        gate.set()
        second.feed(picture(7))
        second.settle()
        assert blue(next(source)) == 7


class Stubborn(FakeCapture):
    """A capture whose driver raises when it is released."""

    def release(self) -> None:
        super().release()
        raise OSError("the driver is gone")


def test_a_driver_that_raises_on_release_is_replaced() -> None:
    second = FakeCapture(picture(5))
    order = iter([Stubborn(None), second])
    with running(LiveSource("camera:0", lambda: next(order), retry=(0.0, 0.0)), second) as source:
        second.settle()
        assert blue(next(source)) == 5


def test_a_frame_that_cannot_be_converted_is_an_error_frame() -> None:
    class Odd:
        size = 12
        dtype = None

        @property
        def ndim(self) -> int:
            raise RuntimeError("a driver's own array at http://u:secret@h/")

    camera = FakeCapture()
    with live(camera) as source:
        camera.feed(Odd())
        frame = next(source)
        assert str(frame.error).startswith("the frame cannot be used: a driver's own array")
        assert "secret" not in str(frame.error)
        camera.feed(picture(3))
        assert blue(next(source)) == 3


def test_a_camera_that_cannot_be_opened_the_first_time_is_a_source_error() -> None:
    def open_capture() -> Any:
        raise OverflowError("too large for an int")

    with pytest.raises(SourceError, match="camera:0 cannot be opened: too large"):
        LiveSource("camera:0", open_capture)


def test_a_frame_says_when_it_was_taken_on_the_monotonic_clock() -> None:
    now = [50.0]
    camera = FakeCapture()
    with live(camera, clock=lambda: now[0]) as source:
        camera.feed(picture(1))
        camera.settle()
        now[0] = 51.0
        assert next(source).taken == 50.0


def test_a_12_bit_camera_in_16_bits_is_said() -> None:
    with live(FakeCapture(np.full((4, 6), 4000, np.uint16))) as source:
        assert next(source).notes == (LOW_SAMPLES,)


def test_stop_from_another_thread_ends_a_waiting_reader_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regad.runtime.sources.frame._JOIN", 0.0)  # the reader waits for the gate
    gate = threading.Event()

    def frames() -> Iterator[Frame]:
        yield Frame("x", 0, 0.0, picture(1))
        gate.wait(PATIENCE)
        yield Frame("x", 1, 0.0, picture(2))

    with ReadAhead("x", frames()) as source:
        next(source)
        timer = threading.Timer(0.0, source.stop)
        timer.start()
        assert list(source) == []
        timer.join()
        gate.set()


def test_a_closed_source_gives_nothing_more() -> None:
    camera = FakeCapture()
    source = LiveSource("camera:0", lambda: camera)
    source.close()
    source.close()
    assert list(source) == []
    assert camera.released
    with ReadAhead("x", iter([Frame("x", 0, 0.0, picture(1))])) as still:
        still.close()
        assert list(still) == []
