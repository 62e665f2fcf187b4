"""How a run ends: interrupts and signals, a source that fails, a sink that ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

from regad.runtime.commands import run as cli
from regad.runtime.detector import Detector
from regad.runtime.errors import SourceError
from regad.runtime.line.loop import StopSignals
from regad.runtime.sources.frame import Frame, Source

from ..run_doubles import Bench, Run, failure


class Scripted(Source):
    """A source that gives what a test lists; an exception in the list is raised."""

    def __init__(self, *items: Any, live: bool) -> None:
        super().__init__("camera:0")
        self.live = live
        self._items = iter(items)

    def _read(self) -> None:
        pass

    def _stop(self) -> None:
        pass

    def _next(self) -> Frame:
        item = next(self._items)
        if isinstance(item, BaseException):
            raise item
        if isinstance(item, str):
            return Frame("camera:0", 0, 0.0, None, error=item)
        return Frame("camera:0", 0, 0.0, np.full((30, 40, 3), item, np.uint8))


@pytest.mark.parametrize(("live", "code"), [(True, 0), (False, 3)])
def test_ctrl_c_ends_with_a_summary(run: Run, monkeypatch: pytest.MonkeyPatch, live: bool, code: int) -> None:
    monkeypatch.setattr(cli, "open_source", lambda uri: Scripted(40, 50, KeyboardInterrupt(), live=live))
    outcome = run("--source", "x")
    assert outcome.code == code, "files left over are not judged; a camera ends when it is stopped"
    assert "2 frames in" in outcome.err
    assert "error" not in outcome.err


def test_ctrl_c_during_the_start(run: Run, monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    def load(*args: object, **options: object) -> Detector:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.Detector, "load", load)
    outcome = run("--source", bench.image("x.png", 4))
    assert (outcome.code, outcome.err.splitlines()[-1]) == (130, "interrupted")


def test_a_camera_tells_changes_and_every_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Scripted(40, 40, 200, 200, "no frame from camera:0", 40, KeyboardInterrupt(), live=True)
    monkeypatch.setattr(cli, "open_source", lambda uri: script)
    outcome = run("--source", "x")
    assert [line.split()[0] for line in outcome.out.splitlines()] == ["good", "ANOMALY", "good"]
    assert "not judged: no frame from camera:0" in outcome.err
    assert outcome.code == 3


def test_a_source_that_fails_for_good(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "open_source", lambda uri: Scripted(40, SourceError("the reader broke"), live=False))
    assert failure(run("--source", "x")) == "error: the reader broke"


def test_nothing_judged_is_no_success(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "open_source", lambda uri: Scripted(KeyboardInterrupt(), live=True))
    assert run("--source", "x").code == 3


def test_a_sink_may_end_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ending:
        closed = False

        def write(self, verdict: Any) -> bool:
            return False

        def close(self) -> None:
            Ending.closed = True

    monkeypatch.setattr(cli, "open_window", lambda wanted: Ending())
    monkeypatch.setattr(cli, "open_source", lambda uri: Scripted(40, 40, live=True))
    outcome = run("--source", "x")
    assert outcome.code == 0
    assert "1 frame in" in outcome.err
    assert Ending.closed


def test_signals_wait_for_the_frame_in_hand() -> None:
    done = []
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals() as stop, pytest.raises(KeyboardInterrupt), stop.busy():
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("recorded")
    assert done == ["recorded"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_signal_does_not_wait() -> None:
    done = []
    with StopSignals() as stop, pytest.raises(KeyboardInterrupt), stop.busy():
        signal.raise_signal(signal.SIGINT)
        done.append("first")
        signal.raise_signal(signal.SIGINT)
        done.append("second")
    assert done == ["first"]


def test_no_handlers_outside_the_main_thread() -> None:
    entered = threading.Event()

    def use() -> None:
        with StopSignals() as stop, stop.busy():
            entered.set()

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert entered.is_set()


CHILD = """
import sys, threading, time
import numpy as np
from regad.runtime.commands import run as cli
from regad.runtime.line import loop as inspection
from regad.runtime.detector import Result, Timings
from regad.runtime.sources.frame import Frame
from regad.runtime.line.loop import StopSignals, exit_status, inspect
from regad.runtime.line.jsonlines import JsonLines, LineFile
from regad.runtime.line.counters import Progress
from regad.runtime.formats.spec import InputSpec
from regad.runtime.sources.streams import LiveSource

class Camera:
    def __init__(self): self.frames = 3
    def read(self):
        self.frames -= 1
        if self.frames < 0:
            threading.Event().wait(3600)
        return True, np.zeros((8, 8, 3), np.uint8)
    def release(self): pass

def predict(image):
    heat, thetas = np.zeros((224, 224), np.float32), np.zeros((3, 2, 3), np.float32)
    return Result(1.0, 2.0, False, heat, thetas, Timings(1, 1, 1, 3), InputSpec())

with StopSignals() as stop, LiveSource("camera:0", Camera, timeout=3600) as source:
    progress = Progress(live=True)
    complete = inspect(source, predict, [JsonLines(LineFile("-"), "a", "c")], progress, stop=stop)
    progress.say(progress.summary(source.dropped))
sys.exit(exit_status(progress, complete=complete, fail_on_anomaly=False))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_waiting_camera_run_cleanly(number: signal.Signals) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    first = json.loads(child.stdout.readline())  # from here on it judges, or waits for the camera
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 0
    assert first["anomalous"] is False
    for line in out.splitlines():
        json.loads(line)
    assert err.splitlines()[-1].startswith(f"{1 + len(out.splitlines())} frame")
    assert "Traceback" not in err
