"""The I/O thread: the only one that drives the state machine, and so the owner of outputs, deadline and heartbeat."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from .codes import Fault, State, Status, VerdictCode
from .effects import Effect
from .events import Beat, Event, Raised, Tick, Trigger
from .image import ProcessImage
from .machine import Machine
from .part import Answer, Outcome, Reply, Token
from .worker import Clock, Failed, Worker

__all__ = ["HEARTBEAT_NS", "IoThread"]

HEARTBEAT_NS = 100_000_000
"""How often word 101 counts up."""
_BURST = 64  # events handled before the time is looked at again


class IoThread(Worker):
    """Takes events from every thread, in order, and has their effects done.

    ``publish`` puts an image out; it comes first, before any effect. ``perform`` does an effect without blocking.
    ``trouble`` says which thread of the line does not answer ("" where all do): the heartbeat counts only while none
    is named. Should the machine itself fail, nothing is put out any more but FAULT 50, the heartbeat stands still,
    ``trouble`` is not asked, and every trigger is answered NOT_JUDGED.
    """

    def __init__(
        self,
        machine: Machine,
        publish: Callable[[ProcessImage], None],
        perform: Callable[[Effect], None],
        trouble: Callable[[], str],
        failed: Failed,
        clock: Clock = time.monotonic_ns,
    ) -> None:
        super().__init__("i/o", clock, failed)
        self._machine = machine
        self._publish = publish
        self._perform = perform
        self._trouble = trouble
        self._inbox: SimpleQueue[Event] = SimpleQueue()
        self._next_beat = clock() + HEARTBEAT_NS
        self._image = machine.image
        self._owed: list[Reply] = []  # triggers that have no answer yet
        self.broken = ""

    def post(self, event: Event) -> None:
        """Hand an event over; any thread may, and none waits."""
        self._inbox.put(event)

    @property
    def image(self) -> ProcessImage:
        """What was put out last."""
        return self._image

    def finish(self, last: Event) -> None:
        """End the thread, and handle what came until then and one ``last`` event."""
        self.stop()
        self.post(last)
        while not self._inbox.empty():
            self.step(0.0)

    def step(self, timeout: float) -> None:
        """Handle what has come, or the time that has passed."""
        due = min(self._next_beat, self._machine.due_ns or self._next_beat)
        wait = min(timeout, max(0.0, (due - self.clock()) / 1e9))
        try:
            self._handle(self._inbox.get(timeout=wait) if wait else self._inbox.get_nowait())
            for _ in range(_BURST):
                self._handle(self._inbox.get_nowait())
        except Empty:
            pass
        if self.clock() >= self._next_beat:
            self._next_beat = max(self._next_beat + HEARTBEAT_NS, self.clock())
            trouble = self.broken or self._trouble()  # which feeds the watchdog
            self._handle(Beat(not trouble, trouble))
        elif self.clock() >= due:
            self._handle(Tick())

    def _wake(self) -> None:
        self.post(Tick())

    def _handle(self, event: Event) -> None:
        if isinstance(event, Trigger) and event.reply is not None:
            self._owed.append(event.reply)
        if self.broken:
            self._settle()
            return
        try:
            effects = self._machine.handle(event, self.clock())
        except Exception as error:
            self._break(f"the state machine failed on {type(event).__name__}: {type(error).__name__}: {error}")
            return
        self._put_out(self._machine.image)
        for effect in effects:
            self._do(effect)

    def _put_out(self, image: ProcessImage) -> None:
        self._image = image
        self._publish(image)

    def _settle(self) -> None:
        """Answer everybody who waits for a verdict: none will come."""
        while self._owed:
            reply = self._owed.pop()
            reply(Answer(Token(0, 0), VerdictCode.NOT_JUDGED, 0.0, Outcome(VerdictCode.NOT_JUDGED, error=self.broken)))

    def _do(self, effect: Effect) -> None:
        if isinstance(effect, Answer) and effect.reply in self._owed:
            self._owed.remove(effect.reply)
        try:
            self._perform(effect)
        except Exception as error:
            what = f"{type(effect).__name__} failed: {type(error).__name__}: {error}"
            self._failed(what)
            self.post(Raised(Fault.INTERNAL, what))

    def _break(self, text: str) -> None:
        self.broken = text
        self._put_out(ProcessImage(self.clock(), State.FAULT, Status.ERROR, Fault.INTERNAL))
        self._settle()
        self._failed(text)
