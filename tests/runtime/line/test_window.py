"""The window: what it shows, how it ends a run, and when there is none."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from regad.runtime.errors import DeviceError
from regad.runtime.formats.spec import InputSpec
from regad.runtime.line import window as windows
from regad.runtime.line.window import Window, open_window

from .verdicts import verdict


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
    monkeypatch.setattr(windows, "load_cv2", lambda: fake)
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


def test_a_display_that_dies_on_the_way_is_one_line(screen: FakeCv2, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*args: object) -> None:
        raise cv2.error("GTK: the display is gone")

    window = Window()
    window.write(verdict())
    for name in ("imshow", "destroyAllWindows"):
        monkeypatch.setattr(screen, name, die)
    with pytest.raises(DeviceError, match=r"the display failed \(GTK: the display is gone\)"):
        window.write(verdict())
    window.close()


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
    monkeypatch.setattr(windows, "build_options", lambda: {"GUI": "NONE"})
    assert open_window(None) is None
    with pytest.raises(DeviceError, match="pip install opencv-python"):
        open_window(True)


@pytest.mark.parametrize("code", [0, -6])
def test_a_dead_display_does_not_take_the_run_with_it(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setenv("DISPLAY", ":77")
    monkeypatch.setattr(windows, "build_options", lambda: {"GUI": "QT5"})
    monkeypatch.setattr(windows.subprocess, "run", lambda *args, **options: SimpleNamespace(returncode=code))
    assert (open_window(None) is None) is (code != 0)
    if code:
        with pytest.raises(DeviceError, match="display cannot be opened"):
            open_window(True)
