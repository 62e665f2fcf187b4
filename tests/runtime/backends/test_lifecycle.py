"""Open, in use, closed: what close waits for, what it refuses, and that it releases once."""

from __future__ import annotations

import threading

import pytest

from regad.runtime.backends.lifecycle import Lifecycle
from regad.runtime.errors import DeviceError

CLOSED = "this model or detector was closed and cannot be used any more; load the artifact again"


class Held:
    """A lifecycle, how often it was released, and a thread that is at work until `let_go`."""

    def __init__(self) -> None:
        self.released = 0
        self.life = Lifecycle(self.release)
        self.begun, self.end = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.work)

    def release(self) -> None:
        self.released += 1

    def work(self) -> None:
        with self.life.working():
            self.begun.set()
            assert self.end.wait(30)
            with self.life.working():  # a call within the call
                pass

    def start(self) -> None:
        self.thread.start()
        assert self.begun.wait(30)

    def let_go(self) -> None:
        self.end.set()
        self.thread.join(30)


def use(life: Lifecycle) -> None:
    with life.working():
        pass


def closing(life: Lifecycle) -> threading.Thread:
    """A thread that closes; returns once no new call gets in."""
    thread = threading.Thread(target=life.close)
    thread.start()
    while not life.closed:
        thread.join(0.001)
    return thread


def test_after_close_every_call_is_refused_with_one_message() -> None:
    held = Held()
    use(held.life)
    held.life.close()
    for _ in range(2):
        with pytest.raises(DeviceError) as caught:
            use(held.life)
        assert (str(caught.value), caught.value.code) == (CLOSED, "closed")
    held.life.close()
    assert held.released == 1


def test_close_waits_for_a_call_of_another_thread_and_lets_no_new_one_in() -> None:
    held = Held()
    held.start()
    closer = closing(held.life)
    with pytest.raises(DeviceError, match="closed"):
        use(held.life)
    assert closer.is_alive()
    assert held.released == 0
    held.let_go()
    closer.join(30)
    assert not closer.is_alive()
    assert held.released == 1


def test_every_close_returns_when_all_is_released_and_it_is_released_once() -> None:
    held = Held()
    held.start()
    closers = [closing(held.life) for _ in range(4)]
    held.let_go()
    for closer in closers:
        closer.join(30)
        assert not closer.is_alive()
    assert held.released == 1


def test_a_thread_that_closes_within_its_own_call_does_not_wait_for_itself() -> None:
    held = Held()
    with held.life.working():
        held.life.close()
        assert held.released == 0
        use(held.life)
        assert held.released == 0
    assert held.released == 1


def test_a_call_that_fails_is_over() -> None:
    held = Held()
    with pytest.raises(ValueError, match="at work"), held.life.working():
        raise ValueError("at work")
    held.life.close()
    assert held.released == 1


def test_a_release_that_fails_is_said_and_not_repeated() -> None:
    def fail() -> None:
        calls.append(1)
        raise DeviceError("the device is gone")

    calls: list[int] = []
    life = Lifecycle(fail)
    with pytest.raises(DeviceError, match="gone"):
        life.close()
    life.close()
    assert calls == [1]
