"""The queue before a slow sink: order, what is dropped, what fails, and that a verdict never waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regad.runtime.errors import OutputError
from regad.runtime.line.outbox import Outbox, Policy
from regad.runtime.line.sink import Sink
from regad.runtime.line.verdict import Verdict

from .verdicts import verdict


class Gate(Sink):
    """Takes a verdict only when the gate is open; ``begun`` says that it waits with one."""

    def __init__(self, *, shut: bool = False) -> None:
        self.gate, self.begun = threading.Event(), threading.Event()
        self.names: list[str] = []
        self.thread: int | None = None
        self.closed = 0
        if not shut:
            self.gate.set()

    def write(self, verdict: Verdict) -> bool:
        self.begun.set()
        self.gate.wait()
        self.thread = threading.get_ident()
        self.names.append(verdict.frame.name)
        if "bad" in verdict.frame.name:
            raise OutputError("the disk is full; free some space")
        if "odd" in verdict.frame.name:
            raise MemoryError("no room\nfor it")
        return True

    def close(self) -> None:
        self.closed += 1


def outbox(sink: Sink, policy: Policy = "block", *, length: int = 2, patience: float = 30) -> tuple[Outbox, list[str]]:
    said: list[str] = []
    made = Outbox(sink, what="picture", policy=policy, say=said.append, length=length, patience=patience)
    made.open()
    return made, said


def test_everything_is_written_in_order_in_another_thread_before_close_returns() -> None:
    sink = Gate()
    box, said = outbox(sink)
    names = [str(number) for number in range(20)]
    for name in names:
        assert box.write(verdict(name=name))
    box.close()
    box.close()
    assert sink.names == names
    assert sink.thread not in (None, threading.get_ident())
    assert (sink.closed, said, box.losses()) == (1, [], "")


def test_a_full_queue_lets_the_newest_pass_and_says_so_once() -> None:
    sink = Gate(shut=True)
    box, said = outbox(sink, "drop")
    box.write(verdict(name="0"))
    assert sink.begun.wait(30)
    for name in "12345":
        assert box.write(verdict(name=name)), "the verdict goes on"
    sink.gate.set()
    box.close()
    assert sink.names == ["0", "1", "2"]
    assert (box.dropped, box.failed, box.losses()) == (3, 0, "3 pictures left out")
    assert len(said) == 1
    assert "a picture was left out" in said[0]


def test_what_fails_is_counted_and_said_once_for_each_cause() -> None:
    sink = Gate()
    box, said = outbox(sink)
    for name in ("1", "bad 2", "bad 3", "odd 4", "5"):
        box.write(verdict(name=name))
    box.close()
    assert len(sink.names) == 5
    assert (box.dropped, box.failed, box.losses()) == (0, 3, "3 pictures not written")
    assert said == ["a picture was lost: the disk is full; free some space", "a picture was lost: MemoryError: no room"]


def test_a_disk_that_hangs_does_not_keep_the_run_from_ending() -> None:
    sink = Gate(shut=True)
    box, said = outbox(sink, "drop", patience=0.01)
    for name in "012":
        box.write(verdict(name=name))
        assert sink.begun.wait(30)
    box.close()
    assert (box.failed, said) == (3, ["3 picture(s) were dropped: writing one takes over 0.01 s"])
    sink.gate.set()


def test_a_disk_that_is_slow_but_works_loses_nothing_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The patience is for one item: here each turn of waiting sees one more written, and no more."""
    turns = threading.Semaphore(0)

    class Slow(Gate):
        def write(self, verdict: Verdict) -> bool:
            turns.acquire()
            return super().write(verdict)

    sink = Slow()
    box, said = outbox(sink, length=9)
    for name in "01234567":
        box.write(verdict(name=name))
    real = box._changed.wait_for

    def wait_for(ready: Callable[[], bool], timeout: float | None = None) -> bool:
        if timeout is not None:
            turns.release()
        return real(ready, timeout)

    monkeypatch.setattr(box._changed, "wait_for", wait_for)
    box.close()
    assert (len(sink.names), box.failed, said) == (8, 0, [])


def test_a_disk_that_hangs_holds_up_one_verdict_for_the_patience_and_no_more() -> None:
    sink = Gate(shut=True)
    box, said = outbox(sink, "block", patience=0.01)
    for name in "012345":
        assert box.write(verdict(name=name))
    assert sink.begun.wait(30)
    assert box.failed in (3, 4), "of six, two wait and one is in hand, or will be"
    assert said == ["a picture was lost: writing one takes over 0.01 s; more may follow"]
    sink.gate.set()


def test_what_was_given_up_is_counted_once_though_it_fails_later() -> None:
    sink = Gate(shut=True)
    box, said = outbox(sink, patience=0.01)
    box.write(verdict(name="bad"))
    assert sink.begun.wait(30)
    thread = box._thread
    box.close()
    sink.gate.set()
    assert thread is not None
    thread.join(30)
    assert (box.failed, len(said), sink.closed) == (1, 1, 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_thread_holds_up_nobody_and_what_comes_after_is_counted() -> None:
    def say(text: str) -> None:
        raise ValueError(text)

    sink = Gate()
    box = Outbox(sink, what="picture", policy="block", say=say, length=1)
    box.open()
    thread = box._thread
    box.write(verdict(name="bad"))
    assert thread is not None
    thread.join(30)
    for _ in range(3):
        assert box.write(verdict())
    box.close()
    assert (sink.names, box.failed, sink.closed) == (["bad"], 4, 1)


def test_an_abandoned_outbox_does_not_wait() -> None:
    sink = Gate(shut=True)
    box, _ = outbox(sink)
    for name in "012":
        box.write(verdict(name=name))
        assert sink.begun.wait(30)
    box.abandon()
    assert box.failed == 2
    assert sink.names == []
    sink.gate.set()


def test_a_closed_outbox_and_one_not_yet_open_take_nothing() -> None:
    box = Outbox(Gate(), what="picture", policy="block", say=lambda text: None)
    box.close()
    for _ in range(2):
        with pytest.raises(OutputError, match="is not open"):
            box.write(verdict())
        box.open()
        box.close()


def test_a_sink_that_cannot_be_opened_starts_no_thread() -> None:
    class Shut(Gate):
        def open(self) -> None:
            raise OutputError("read-only")

    before = threading.active_count()
    with pytest.raises(OutputError, match="read-only"):
        outbox(Shut())
    assert threading.active_count() == before


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["good", "bad", "odd"])), st.integers(1, 4), st.sampled_from(["block", "drop"]))
def test_every_verdict_is_written_dropped_or_failed(kinds: list[str], length: int, policy: Policy) -> None:
    sink = Gate()
    box, _ = outbox(sink, policy, length=length)
    for kind in kinds:
        box.write(verdict(name=kind))
    box.close()
    written = sum("good" in name for name in sink.names)
    assert written + box.dropped + box.failed == len(kinds)
    assert policy == "drop" or (box.dropped, box.failed) == (0, len(kinds) - kinds.count("good"))
