"""Sources: every kind, error frames, read-ahead, newest-frame semantics, a camera that falls silent."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from regad.runtime import capture, sources
from regad.runtime.errors import SourceError
from regad.runtime.frames import Frame
from regad.runtime.listing import image_files, natural_key
from regad.runtime.sources import open_camera, open_source, record_names, redact
from regad.runtime.streams import LiveSource, ReadAhead

PATIENCE = 5.0  # how long a test waits for another thread before it fails


def save_image(path: Path, colour: tuple[int, int, int] = (200, 100, 50), size: tuple[int, int] = (32, 24)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def save_video(path: Path, greys: list[int]) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    assert writer.isOpened()
    for grey in greys:
        writer.write(np.full((48, 64, 3), grey, np.uint8))
    writer.release()
    return path


class FakeCapture:
    """A camera that gives what a test feeds it, and then waits. None is a failed read, an exception is raised."""

    def __init__(self, *items: Any) -> None:
        self._items: deque[Any] = deque(items)
        self._changed = threading.Condition()
        self._idle = False
        self.released = False

    def read(self) -> tuple[bool, Any]:
        with self._changed:
            while not self._items and not self.released:
                self._idle = True
                self._changed.notify_all()
                self._changed.wait()
            self._idle = False
            if self.released:
                return False, None
            item = self._items.popleft()
        if isinstance(item, Exception):
            raise item
        return item is not None, item

    def release(self) -> None:
        with self._changed:
            self.released = True
            self._changed.notify_all()

    def feed(self, *items: Any) -> None:
        with self._changed:
            self._items.extend(items)
            self._changed.notify_all()

    def settle(self) -> None:
        """Wait until everything that was fed has been read and the reader asks for more."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._idle and not self._items, PATIENCE)


def picture(value: int) -> Any:
    """A BGR frame whose blue channel is ``value``."""
    frame = np.zeros((4, 6, 3), np.uint8)
    frame[..., 0] = value
    return frame


def blue(frame: Frame) -> int:
    assert frame.image is not None
    return int(frame.image[0, 0, 2])


# Files


def test_natural_order() -> None:
    names = ["b10.png", "b2.png", "B1.png", "a/3.png", "7.png"]
    assert sorted(map(Path, names), key=natural_key) == list(
        map(Path, ["7.png", "a/3.png", "B1.png", "b2.png", "b10.png"])
    )


def test_images_are_listed_below_a_folder_without_hidden_and_foreign_files(tmp_path: Path) -> None:
    for name in ("10.png", "2.PNG", "deep/1.jpg", ".hidden.png", ".cache/3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "folder.png").mkdir()
    assert [str(p.relative_to(tmp_path)) for p in image_files(tmp_path, recursive=True)] == [
        "2.PNG",
        "10.png",
        "deep/1.jpg",
    ]


def test_record_names_follow_the_folders_and_keep_twins_apart() -> None:
    paths = [Path("in/a/x.jpg"), Path("in/b/x.jpg"), Path("in/y.bmp"), Path("in/y.jpg")]
    assert record_names(paths, Path("in")) == ["a/x.png", "b/x.png", "y.bmp.png", "y.jpg.png"]
    paths = [Path("y.bmp"), Path("y.jpg"), Path("y.bmp.png")]
    assert len(set(record_names(paths, Path()))) == 3


def test_image_file(tmp_path: Path) -> None:
    path = save_image(tmp_path / "part.png")
    with open_source(str(path)) as source:
        (frame,) = list(source)
        assert (source.total, source.live, source.still) == (1, False, True)
    assert frame.image is not None
    assert frame.image.shape == (24, 32, 3)
    assert tuple(frame.image[0, 0]) == (200, 100, 50)
    assert (frame.source, frame.index, frame.error, frame.name) == (str(path), 0, None, "part.png")


def test_file_address(tmp_path: Path) -> None:
    with open_source(f"file://{save_image(tmp_path / 'part.png')}") as source:
        assert len(list(source)) == 1


def test_folder_gives_every_image_in_order_and_unreadable_ones_as_errors(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        save_image(tmp_path / f"{number}.png", (number, 0, 0))
    (tmp_path / "3.png").write_bytes(b"not an image")
    whole = (tmp_path / "10.png").read_bytes()
    (tmp_path / "4.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "5.png").symlink_to(tmp_path / "gone.png")
    with open_source(str(tmp_path)) as source:
        frames = list(source)
    assert [Path(frame.source).name for frame in frames] == [f"{n}.png" for n in (1, 2, 3, 4, 5, 10)]
    assert [frame.index for frame in frames] == list(range(6))
    assert [frame.image is None for frame in frames] == [False, False, True, True, True, False]
    for frame in frames[2:5]:
        assert frame.error is not None
        assert frame.source in frame.error


def test_glob(tmp_path: Path) -> None:
    for name in ("s10.png", "s2.png", "deep/s3.png", "other.png", "s4.txt"):
        save_image(tmp_path / f"{name}.png" if name.endswith("txt") else tmp_path / name)
    with open_source(f"{tmp_path}/s*.png") as source:
        assert [frame.name for frame in source] == ["s2.png", "s4.txt.png", "s10.png"]
    with open_source(f"{tmp_path}/**/s3.png") as source:
        assert [frame.name for frame in source] == ["deep/s3.png"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    with open_source(str(save_image(tmp_path / "shot[1].png"))) as source:
        assert len(list(source)) == 1


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("empty", "holds no image"),
        ("*.png", "no image file"),
        ("gone.png", "does not exist; a source is one of"),
        ("notes.txt", "neither an image"),
        ("broken.avi", "cannot be opened as a video"),
    ],
)
def test_what_cannot_be_opened_says_why(tmp_path: Path, uri: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "broken.avi").write_bytes(b"RIFF" + bytes(400))
    with pytest.raises(SourceError, match=words) as caught:
        open_source(str(tmp_path / uri))
    assert "\n" not in str(caught.value)


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
        with pytest.raises(MemoryError):
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


# Videos


def test_video_ends_cleanly_with_every_frame_in_rgb(tmp_path: Path) -> None:
    path = save_video(tmp_path / "line.avi", list(range(0, 200, 20)))
    with open_source(str(path)) as source:
        assert source.total == 10
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(10))
    assert all(frame.error is None and frame.source == str(path) for frame in frames)
    assert [round(float(frame.image.mean()) / 20) for frame in frames if frame.image is not None] == list(range(10))
    assert frames[3].name == "frame_000003.jpg"


def test_video_that_was_cut_off_ends_with_an_error(tmp_path: Path) -> None:
    whole = save_video(tmp_path / "whole.avi", [90] * 20).read_bytes()
    path = tmp_path / "cut.avi"
    path.write_bytes(whole[: int(len(whole) * 0.8)])
    with open_source(str(path)) as source:
        frames = list(source)
    assert all(frame.error is None for frame in frames[:-1])
    assert frames[-1].error is not None
    assert "broke off after" in frames[-1].error


# Cameras and streams


@contextmanager
def running(source: LiveSource, *captures: FakeCapture) -> Iterator[LiveSource]:
    """Use a source; at the end the captures give up waiting, as a real driver does after its own timeout."""
    try:
        with source:
            yield source
            source._stop()
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
    source._stop()
    camera.release()
    source.close()
    assert ended.wait(PATIENCE)
    thread.join()


@pytest.mark.parametrize("uri", [None, "63", "camera:63", "/dev/video63"])
def test_no_camera_at_that_index(uri: str | None) -> None:
    with pytest.raises(SourceError, match=r"no camera at index 63 \(cameras on this machine: "):
        open_camera(63) if uri is None else open_source(uri)


def test_a_stream_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(SourceError) as caught:
        open_source("rtsp://user:secret@127.0.0.1:9/stream")
    assert "secret" not in str(caught.value)
    assert "rtsp://***@127.0.0.1:9/stream cannot be opened" in str(caught.value)


def test_gstreamer_needs_an_opencv_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "build_options", lambda: {"GUI": "NONE", "GStreamer": "NO", "FFMPEG": "YES"})
    with pytest.raises(SourceError, match="built without GStreamer"):
        open_source("videotestsrc ! videoconvert ! appsink")


def test_gstreamer_pipelines_are_live_unless_they_read_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "gstreamer_capture", lambda pipeline, shown: lambda: FakeCapture(picture(1), None))
    for pipeline, is_live in (
        ("v4l2src ! videoconvert ! appsink", True),
        ("rtspsrc location=rtsp://u:p@cam/1 ! decodebin ! appsink", True),
        ("filesrc location=a.mp4 ! decodebin ! appsink", False),
    ):
        with open_source(pipeline) as source:
            assert source.live is is_live
            assert "u:p" not in source.uri
            assert blue(next(source)) == 1


def test_redact() -> None:
    assert redact("rtsp://me:pass@host/1") == "rtsp://***@host/1"
    assert redact("http://host/a@b") == "http://host/a@b"
