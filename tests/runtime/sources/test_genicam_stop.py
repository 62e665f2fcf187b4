"""Stopping a GenICam camera: at any moment, also while it is opened or its frame is on its way, and it is let go."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from regad.runtime.errors import SourceError
from regad.runtime.sources import genicam
from regad.runtime.sources.genicam import GenicamCapture, TriggeredSource, parse_address

ADDRESS = parse_address("genicam:any?Gain=1&Width=2&trigger=software")
PATIENCE = 20.0


class Library:
    """Stands in for Aravis: every call succeeds; `hook` sees each call's name before it is answered."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.open = 0
        self.hook: Callable[[str], None] = lambda name: None

    def call(self, name: str, *arguments: Any) -> Any:
        self.calls.append(name)
        self.hook(name)
        if name in ("arv_camera_new", "arv_camera_create_stream"):
            self.open += 1
            return self.open
        if name == "g_object_unref":
            self.open -= 1
        return 0 if "buffer" in name else 1

    def has_lost_control(self, device: int) -> bool:
        return False


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    made = Library()
    monkeypatch.setattr(genicam, "load_aravis", lambda: made)
    return made


def calls_of_opening(library: Library) -> list[str]:
    GenicamCapture(ADDRESS).release()
    found, library.calls = library.calls, []
    return [name for name in found if name != "g_object_unref" and "buffer" not in name]


def test_a_camera_that_is_stopped_while_it_is_opened_is_asked_nothing_more(library: Library) -> None:
    steps = calls_of_opening(library)[:-1]  # the last one lets it go
    for step in range(1, len(steps)):
        ended = threading.Event()
        library.calls = []

        def stops(name: str, step: int = step, ended: threading.Event = ended) -> None:
            asked = [one for one in library.calls if one in steps]
            if len(asked) == step:
                ended.set()

        library.hook = stops
        with pytest.raises(SourceError, match="stopped while it was being opened"):
            GenicamCapture(ADDRESS, ended.is_set)
        library.hook = lambda name: None
        until(lambda: library.open == 0)
        asked = [name for name in library.calls if name in steps and name != "arv_camera_stop_acquisition"]
        assert len(asked) == step, "no further call was waited for"


def until(true: Callable[[], bool]) -> None:
    """A camera is let go in a thread of its own."""
    waiting = threading.Event()
    for _ in range(2000):
        if true():
            return
        waiting.wait(0.01)
    pytest.fail("it was not let go")


def test_opening_has_an_end_though_each_call_comes_back(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(genicam.time, "monotonic", lambda: now[0])

    def slow(name: str) -> None:
        now[0] += 4.0 if name.startswith("arv_camera") else 0.0

    library.hook = slow
    with pytest.raises(SourceError, match="it took over 10 s"):
        GenicamCapture(ADDRESS)
    asked = [name for name in library.calls if name.startswith("arv_camera") and name != "arv_camera_stop_acquisition"]
    assert len(asked) == 3, "12 s, and nothing after them"


def test_a_source_that_is_stopped_while_its_frame_is_taken_lets_the_camera_go(library: Library) -> None:
    """Whoever stops it finds it busy; whoever waits for the frame has looked whether it ended a moment before."""
    source = TriggeredSource("genicam:any", ADDRESS)
    assert library.open == 2
    entered, go = threading.Event(), threading.Event()

    class Gate:
        """A lock that stops at its release, after everything inside was done."""

        def __init__(self) -> None:
            self.lock = threading.Lock()
            self.armed = True

        def acquire(self, blocking: bool = True) -> bool:
            return self.lock.acquire(blocking)

        def release(self) -> None:
            self.lock.release()

        def __enter__(self) -> None:
            self.lock.acquire()

        def __exit__(self, *given: object) -> None:
            if self.armed:
                self.armed = False
                entered.set()
                assert go.wait(PATIENCE)
            self.lock.release()

    source._busy = Gate()  # type: ignore[assignment]
    source._expose = lambda: (None, "no frame")  # type: ignore[method-assign]
    taking = threading.Thread(target=lambda: next(source, None))
    taking.start()
    assert entered.wait(PATIENCE)
    source.stop()
    assert library.open == 2, "it is busy"
    go.set()
    taking.join(PATIENCE)
    until(lambda: library.open == 0)
    library.calls = []
    assert next(source, None) is None and library.calls == [], "a camera that was let go is not triggered again"
