"""Sources: every kind, and what cannot be opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from regad.runtime.errors import SourceError
from regad.runtime.imaging.files import list_folder, natural_key
from regad.runtime.sources import capture
from regad.runtime.sources import open as sources
from regad.runtime.sources.open import open_camera, open_source
from regad.runtime.sources.stills import record_names
from regad.runtime.text import redact

from .captures import FakeCapture, blue, picture


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
    assert [str(p.relative_to(tmp_path)) for p in list_folder(tmp_path, recursive=True).images] == [
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


@pytest.mark.parametrize("name", ["part.png", "line.avi", "shots", "notes.txt", "*.png"])
def test_what_cannot_be_looked_at_is_not_called_missing(
    tmp_path: Path, lock: Callable[[Path], None], name: str
) -> None:
    (tmp_path / "locked").mkdir()
    lock(tmp_path / "locked")
    path = tmp_path / "locked" / name
    with pytest.raises(SourceError) as caught:
        open_source(str(path))
    assert str(caught.value) == f"{path} cannot be read: Permission denied; check its permissions"


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


# What is opened


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
