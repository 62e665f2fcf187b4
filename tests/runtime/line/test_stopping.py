"""Signals: the first ends a run after the frame in hand, the second and those of the start interrupt."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading

import pytest

from regad.runtime.line.stopping import StopSignals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_sets_the_event_and_the_second_interrupts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopSignals() as signals:
        with signals.run() as stop:
            signal.raise_signal(number)
            assert stop.is_set()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_a_signal_interrupts_the_start_at_once() -> None:
    with StopSignals() as signals:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        with signals.run() as stop:
            assert not stop.is_set()


def test_a_handler_that_was_not_set_from_python_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    real = signal.signal
    monkeypatch.setattr(signal, "signal", lambda number, handler: real(number, handler) and None)
    with StopSignals():
        pass
    monkeypatch.undo()
    for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
        signal.signal(number, handler)


def test_no_handlers_outside_the_main_thread() -> None:
    seen = []

    def use() -> None:
        with StopSignals() as signals, signals.run() as stop:
            seen.append(stop.is_set())

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [False]


CHILD = """
import sys, threading
import numpy as np
from regad.runtime.detector import Result, Timings
from regad.runtime.formats.spec import InputSpec
from regad.runtime.line.counters import Counters
from regad.runtime.line.jsonlines import JsonLines
from regad.runtime.line.loop import exit_status, run_line
from regad.runtime.line.stopping import StopSignals
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

counters = Counters()
with StopSignals() as signals, LiveSource("camera:0", Camera, timeout=3600) as source, JsonLines("-") as sink:
    with signals.run() as stop:
        complete = run_line(source, predict, sink, counters, stop=stop)
    print(counters.summary(source.dropped), file=sys.stderr)
sys.exit(exit_status(counters, complete=complete, lost=False, fail_on_anomaly=False))
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
