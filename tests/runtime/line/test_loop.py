"""How a run ends: interrupts and signals, a source that fails, a sink that ends it."""

from __future__ import annotations

import signal
import threading
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from regad.runtime.commands import run as cli
from regad.runtime.detector import Detector, Result, Timings
from regad.runtime.errors import DeviceError, SourceError
from regad.runtime.formats.spec import InputSpec
from regad.runtime.line.counters import Counters
from regad.runtime.line.loop import judge, run_line
from regad.runtime.line.sink import Sink
from regad.runtime.line.verdict import Verdict
from regad.runtime.sources.frame import Frame, Source

from ..run_doubles import NOT_JUDGED_KEYS, Bench, Run, failure, records


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


class Scripted(Source):
    """A source that gives what a test lists; an exception in the list is raised, a function called."""

    def __init__(self, *items: Any, live: bool) -> None:
        super().__init__("camera:0")
        self.live = live
        self._items = iter(items)

    def _read(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def _next(self) -> Frame:
        item = next(self._items)
        while callable(item):
            item()
            item = next(self._items)
        if isinstance(item, BaseException):
            raise item
        if isinstance(item, str):
            return Frame("camera:0", 0, 0.0, None, error=item)
        return Frame("camera:0", 0, 0.0, np.full((30, 40, 3), item, np.uint8))


@pytest.mark.parametrize(("live", "code"), [(True, 0), (False, 3)])
def test_ctrl_c_ends_with_a_summary(run: Run, monkeypatch: pytest.MonkeyPatch, live: bool, code: int) -> None:
    monkeypatch.setattr(cli, "open_source", lambda uri: Scripted(40, interrupt, 50, 60, live=live))
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
    script = Scripted(40, 40, 200, 200, "no frame from camera:0", interrupt, 40, live=True)
    monkeypatch.setattr(cli, "open_source", lambda uri: script)
    outcome = run("--source", "x")
    assert [line.split()[0] for line in outcome.out.splitlines()] == ["good", "ANOMALY", "good"]
    assert "not judged: no frame from camera:0" in outcome.err
    assert outcome.code == 3


def test_a_source_that_fails_for_good(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "open_source", lambda uri: Scripted(40, SourceError("the reader broke"), live=False))
    assert failure(run("--source", "x")) == "error: the reader broke"


def test_nothing_judged_is_no_success(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "open_source", lambda uri: Scripted(live=True))
    assert run("--source", "x").code == 3


def test_a_sink_may_end_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ending(Sink):
        done: ClassVar[list[str]] = []

        def open(self) -> None:
            self.done.append("open")

        def write(self, verdict: Verdict) -> bool:
            self.done.append("write")
            return False

        def close(self) -> None:
            self.done.append("close")

    monkeypatch.setattr(cli, "open_window", lambda wanted: Ending())
    monkeypatch.setattr(cli, "open_source", lambda uri: Scripted(40, 40, live=True))
    outcome = run("--source", "x")
    assert outcome.code == 0
    assert "1 frame in" in outcome.err
    assert Ending.done == ["open", "write", "close"]


def test_a_device_that_fails_at_work_leaves_a_record_of_the_frame_in_hand(
    run: Run, monkeypatch: pytest.MonkeyPatch, bench: Bench
) -> None:
    log = bench.root / "log.jsonl"
    real = Detector.predict

    def predict(self: Detector, image: Any) -> Any:
        if image[0, 0, 0] == 50:
            raise DeviceError("the GPU has fallen off the bus; restart the machine")
        return real(self, image)

    monkeypatch.setattr(Detector, "predict", predict)
    monkeypatch.setattr(cli, "open_source", lambda uri: Scripted(40, 50, 60, live=True))
    assert failure(run("--source", "x", "--json", log)).startswith("error: the GPU has fallen off the bus")
    good, failed = records(log)
    assert (good["anomalous"], good["reject"]) == (False, False)
    assert list(failed) == NOT_JUDGED_KEYS
    assert failed["reject"] is True
    assert failed["error"] == "the GPU has fallen off the bus; restart the machine"


def test_a_defect_of_the_program_leaves_a_record_too() -> None:
    def predict(image: Any) -> Any:
        raise ZeroDivisionError

    verdict, fatal = judge(Frame("x", 0, 0.0, np.zeros((2, 2, 3), np.uint8)), predict)
    assert (verdict.word, verdict.error, verdict.reject) == ("NOT JUDGED", "ZeroDivisionError", True)
    assert isinstance(fatal, ZeroDivisionError)


def test_a_defect_ends_a_run_in_one_line_and_hides_passwords() -> None:
    def predict(image: Any) -> Any:
        raise RuntimeError("no answer from http://me:secret@host/1\nat line 5")

    sink = Kept()
    with pytest.raises(DeviceError, match=r"judging failed \(RuntimeError: no answer from http://\*\*\*@host/1\)"):
        run_line(Scripted(40, live=True), predict, sink, Counters(), stop=threading.Event())
    assert [verdict.error for verdict in sink.verdicts] == ["no answer from http://***@host/1"]


def test_only_a_result_that_says_good_is_not_rejected() -> None:
    frame = Frame("x", 0, 0.0, np.zeros((2, 2, 3), np.uint8))
    heat, thetas = np.zeros((224, 224), np.float32), np.zeros((3, 2, 3), np.float32)
    results = {
        score: Result(score, 5.0, score > 5.0, heat, thetas, Timings(1, 1, 1, 3), InputSpec()) for score in (1, 9)
    }
    assert Verdict(frame, results[1]).reject is False
    assert Verdict(frame, results[9]).reject is True
    assert Verdict(frame, error="no image").reject is True


def test_each_note_of_the_frames_is_said_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Noting(Scripted):
        def _next(self) -> Frame:
            frame = super()._next()
            assert frame.image is not None
            return replace(frame, notes=("12 bits in a 16-bit file", f"note {frame.image[0, 0, 0] // 100}"))

    monkeypatch.setattr(cli, "open_source", lambda uri: Noting(40, 41, 140, live=False))
    notes = [line for line in run("--source", "x").err.splitlines() if line.startswith("note: ")]
    assert [note.rpartition(": ")[2] for note in notes] == ["12 bits in a 16-bit file", "note 0", "note 1"]
    assert all(note.startswith("note: camera:0 frame 0: ") for note in notes)


# How it is stopped


class Endless(Source):
    """A live source that gives frames until it is closed, or waits for one that never comes (``silent``)."""

    live = True

    def __init__(self, *, silent: bool = False) -> None:
        super().__init__("camera:0")
        self.closed = threading.Event()
        self.waiting = threading.Event()
        self._silent = silent
        self._count = 0

    def _read(self) -> None:
        pass

    def stop(self) -> None:
        self.closed.set()

    def _next(self) -> Frame:
        if self._silent:
            self.waiting.set()
            self.closed.wait()
        if self.closed.is_set():
            raise StopIteration
        self._count += 1
        return Frame("camera:0", self._count, 0.0, None, error="dark")


class Kept(Sink):
    """Keeps the verdicts; after ``enough`` of them it calls ``then``."""

    def __init__(self, enough: int = 0, then: Any = None) -> None:
        self.verdicts: list[Verdict] = []
        self._enough, self._then = enough, then

    def write(self, verdict: Verdict) -> bool:
        if len(self.verdicts) + 1 == self._enough:
            self._then()
        self.verdicts.append(verdict)
        return True


def test_the_loop_runs_in_any_thread_and_an_event_stops_it() -> None:
    stop, source, ended = threading.Event(), Endless(), []
    counters, sink = Counters(), Kept(3, stop.set)

    def work() -> None:
        ended.append(run_line(source, failing_predict, sink, counters, stop=stop))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert ended == [True]
    assert len(sink.verdicts) == counters.seen == 3, "the frame in hand is recorded whole, and none is begun after it"


def failing_predict(image: Any) -> Any:
    raise AssertionError("nothing to predict")


def test_the_event_wakes_a_loop_that_waits_for_a_frame() -> None:
    stop, source = threading.Event(), Endless(silent=True)
    thread = threading.Thread(target=lambda: run_line(source, failing_predict, Kept(), Counters(), stop=stop))
    thread.start()
    assert source.waiting.wait(30)
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    assert source.closed.is_set()


def test_no_thread_is_left_behind_by_a_run_that_ends() -> None:
    before = threading.active_count()
    assert run_line(Scripted("dark", live=False), failing_predict, Kept(), Counters(), stop=threading.Event())
    assert threading.active_count() == before


def test_a_stop_before_the_first_frame_takes_none() -> None:
    stop, sink = threading.Event(), Kept()
    stop.set()
    assert run_line(Scripted("dark", live=False), failing_predict, sink, Counters(), stop=stop) is False
    assert sink.verdicts == []
