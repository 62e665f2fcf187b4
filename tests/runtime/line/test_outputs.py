"""Sinks: JSON lines that are never half, overlays that are never half, and the window."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from regad.runtime.detector import Result, Timings
from regad.runtime.errors import DeviceError, OutputError
from regad.runtime.formats import atomic
from regad.runtime.formats.spec import InputSpec
from regad.runtime.line import jsonlines
from regad.runtime.line import pictures as sinks
from regad.runtime.line.jsonlines import JsonLines, LineFile, record
from regad.runtime.line.pictures import Overlays, Window, encode, open_window
from regad.runtime.line.verdict import Verdict
from regad.runtime.sources.frame import Frame


def verdict(
    score: float | None = 3.0, name: str = "a/x.png", image: Any = None, spec: InputSpec | None = None
) -> Verdict:
    picture = np.full((40, 60, 3), 90, np.uint8) if image is None else image
    frame = Frame("shots/x.jpg", 7, 1700000000.1234567, None if score is None else picture, name=name)
    if score is None:
        return Verdict(frame, error="cannot be read")
    heat = np.full((224, 224), score, np.float32)
    thetas = np.tile(np.array([[1, 0, 0], [0, 1, 0.25]], np.float32), (3, 1, 1))
    timings = Timings(1.00049, 20.5, 4.25, 26.0)
    return Verdict(frame, Result(score, 5.0, score > 5.0, heat, thetas, timings, spec or InputSpec()))


def lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


# JSON lines


def test_record_of_a_judged_frame() -> None:
    assert record(verdict(), "art", "cat") == {
        "source": "shots/x.jpg",
        "frame": 7,
        "time": 1700000000.123457,
        "score": 3.0,
        "threshold": 5.0,
        "anomalous": False,
        "thetas": [[[1, 0, 0], [0, 1, 0.25]]] * 3,
        "ms": {"preprocess": 1.0, "encode": 20.5, "score": 4.25, "total": 26.0},
        "artifact": "art",
        "category": "cat",
    }


def test_record_of_what_could_not_be_judged_has_no_verdict() -> None:
    assert record(verdict(None), "art", "cat") == {
        "source": "shots/x.jpg",
        "frame": 7,
        "time": 1700000000.123457,
        "error": "cannot be read",
    }


def test_each_line_is_on_disk_when_write_returns(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "log.jsonl"
    sink = JsonLines(LineFile(str(path)), "art", "cat")
    for count in (1, 2, 3):
        assert sink.write(verdict())
        assert len(lines(path)) == count
    sink.close()
    sink.close()


def test_an_existing_record_is_continued_and_its_half_line_removed(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"frame": 0}\n{"frame": 1}\n{"frame": 2, "sco')
    LineFile(str(path)).write('{"frame": 3}')
    assert [line["frame"] for line in lines(path)] == [0, 1, 3]
    path.write_text('{"half')
    LineFile(str(path)).write("{}")
    assert lines(path) == [{}]
    path.write_text('{"frame": 0}\n' + '{"long": "' + "x" * 200_000)
    LineFile(str(path)).write("{}")
    assert lines(path) == [{"frame": 0}, {}]


@pytest.mark.parametrize("content", ["shopping list\n", '{\n  "format": "regad-artifact"\n}\n', "\x89PNG"])
def test_a_file_that_is_no_record_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other"
    path.write_text(content)
    with pytest.raises(OutputError, match="does not hold JSON lines"):
        LineFile(str(path))
    assert path.read_text() == content


def test_a_full_disk_leaves_whole_lines_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    sink = JsonLines(LineFile(str(path)), "art", "cat")
    sink.write(verdict())
    real = os.write

    def nearly_full(handle: int, data: bytes) -> int:
        if len(data) > 20:
            return real(handle, data[:20])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(jsonlines.os, "write", lambda handle, data: nearly_full(handle, data[:25]))
    with pytest.raises(OutputError, match=r"cannot write .*log\.jsonl: No space left on device"):
        sink.write(verdict())
    monkeypatch.undo()
    assert len(lines(path)) == 1
    sink.write(verdict())
    assert len(lines(path)) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device() -> None:
    sink = JsonLines(LineFile("/dev/full"), "art", "cat")
    with pytest.raises(OutputError, match="No space left") as caught:
        sink.write(verdict())
    assert "\n" not in str(caught.value)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for target in (tmp_path / "file" / "log.jsonl", tmp_path):
        with pytest.raises(OutputError, match="cannot write"):
            JsonLines(LineFile(str(target)), "art", "cat")


def test_stdout_gets_each_line_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    sink = JsonLines(LineFile("-"), "art", "cat")
    sink.write(verdict())
    assert json.loads(capfd.readouterr().out)["frame"] == 7
    sink.close()


def test_captured_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    JsonLines(LineFile("-"), "art", "cat").write(verdict())
    assert json.loads(capsys.readouterr().out)["score"] == 3.0


def test_stdout_whose_reader_has_gone(tmp_path: Path) -> None:
    code = (
        "from regad.runtime.line.jsonlines import LineFile\nfile = LineFile('-')\n"
        "try:\n    while True: file.write('{}' * 1000)\nexcept BrokenPipeError: raise SystemExit(7)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.readline()
    child.stdout.close()
    assert child.wait(20) == 7
    assert child.stderr.read() == b""
    child.stderr.close()


# Overlays


def test_overlays_are_called_as_their_frames_and_hold_the_picture(tmp_path: Path) -> None:
    sink = Overlays(tmp_path / "out")
    for name in ("good/x.png", "bad/x.png", "frame_000012.jpg"):
        assert sink.write(verdict(9.0, name))
    sink.close()
    found = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*"))
    assert found == ["bad/x.png", "frame_000012.jpg", "good/x.png"]
    picture = cv2.imread(str(tmp_path / "out/bad/x.png"))
    assert picture is not None
    assert picture.shape[1] == 300  # 60 pixels, enlarged five times
    assert picture[100, 150, 2] > picture[100, 150, 0], "stored as BGR: the anomaly is red, not blue"


def test_only_what_was_judged_has_an_overlay(tmp_path: Path) -> None:
    Overlays(tmp_path).write(verdict(None))
    assert not list(tmp_path.iterdir())


def test_overlays_of_anomalies_only(tmp_path: Path) -> None:
    sink = Overlays(tmp_path, only_anomalous=True)
    sink.write(verdict(3.0, "good.png"))
    sink.write(verdict(9.0, "bad.png"))
    assert [path.name for path in tmp_path.iterdir()] == ["bad.png"]


def test_a_full_disk_leaves_no_half_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Overlays(tmp_path)
    sink.write(verdict(9.0, "x.png"))
    before = (tmp_path / "x.png").read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fsync", full)
    for name in ("x.png", "y.png"):
        with pytest.raises(OutputError, match="No space left on device"):
            sink.write(verdict(3.0, name))
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    assert (tmp_path / "x.png").read_bytes() == before


def test_overlay_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="choose another --overlay"):
        Overlays(tmp_path / "file" / "out")
    monkeypatch.setattr(sinks.os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match="read-only"):
        Overlays(tmp_path)


def test_a_picture_too_large_for_jpeg() -> None:
    with pytest.raises(OutputError, match="cannot be stored as"):
        encode(np.zeros((70_000, 2, 3), np.uint8), ".jpg")


# The window


class FakeCv2:
    """Enough of cv2 to stand in for a screen."""

    WND_PROP_VISIBLE = 4

    def __init__(self) -> None:
        self.shown: list[Any] = []
        self.key = -1
        self.visible = 1.0
        self.closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(cv2, name)

    def imshow(self, title: str, picture: Any) -> None:
        self.shown.append(picture)

    def waitKey(self, ms: int) -> int:  # noqa: N802
        return self.key

    def getWindowProperty(self, title: str, what: int) -> float:  # noqa: N802
        return self.visible

    def destroyAllWindows(self) -> None:  # noqa: N802
        self.closed = True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> FakeCv2:
    fake = FakeCv2()
    monkeypatch.setattr(sinks, "load_cv2", lambda: fake)
    return fake


def test_window_shows_results_and_errors(screen: FakeCv2) -> None:
    window = Window()
    assert window.write(verdict(9.0, image=np.zeros((300, 400), np.uint8)))
    assert window.write(verdict(None))
    assert screen.shown[0].shape == screen.shown[1].shape, "an error does not make the window jump"
    window.close()
    assert screen.closed


@pytest.mark.parametrize("key", [ord("q"), 27])
def test_q_and_escape_end_the_run(screen: FakeCv2, key: int) -> None:
    window = Window()
    assert window.write(verdict())
    screen.key = key
    assert not window.write(verdict())


def test_closing_the_window_ends_the_run(screen: FakeCv2) -> None:
    window = Window()
    assert window.write(verdict())
    screen.visible = 0.0
    assert not window.write(verdict())
    assert len(screen.shown) == 1


def test_large_frames_are_scaled_to_the_window_with_their_region(screen: FakeCv2) -> None:
    image = np.full((2000, 4000, 3), 200, np.uint8)
    Window().write(verdict(1.0, image=image, spec=InputSpec(roi=(1000, 500, 3000, 1500))))
    picture = screen.shown[0]
    assert picture.shape[1] == 1280
    assert picture[10, 10].tolist() == [70, 70, 70]
    assert picture[170, 330].tolist() == [200, 200, 200]


def test_no_window_without_a_display_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert open_window(None) is None
    assert open_window(False) is None
    if sys.platform.startswith("linux"):
        with pytest.raises(DeviceError, match="there is no display"):
            open_window(True)


def test_no_window_with_a_headless_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(sinks, "build_options", lambda: {"GUI": "NONE"})
    assert open_window(None) is None
    with pytest.raises(DeviceError, match="pip install opencv-python"):
        open_window(True)


@pytest.mark.parametrize("code", [0, -6])
def test_a_dead_display_does_not_take_the_run_with_it(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setenv("DISPLAY", ":77")
    monkeypatch.setattr(sinks, "build_options", lambda: {"GUI": "QT5"})
    monkeypatch.setattr(sinks.subprocess, "run", lambda *args, **options: SimpleNamespace(returncode=code))
    assert (open_window(None) is None) is (code != 0)
    if code:
        with pytest.raises(DeviceError, match="display cannot be opened"):
            open_window(True)
