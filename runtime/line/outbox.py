"""A sink in a thread of its own, behind a queue of bounded length: what is slow never holds up the verdict.

When the queue is full, `Policy` decides: ``block`` waits for room (files: nothing is late, and nothing is lost unless
the disk hangs), ``drop`` lets the newest verdict pass this sink (a line: the next part is coming). What was dropped or
failed is counted and said. There is no spool: the JSON record, which is written before any other sink gets it, serves
as one.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Literal

from ..errors import OutputError, RegadError
from ..text import Say, reason_of
from .sink import Sink
from .verdict import Verdict

__all__ = ["Outbox", "Policy"]

Policy = Literal["block", "drop"]
_State = Literal["new", "open", "closing", "ended", "closed"]  # ended: the thread's work is over, by its death perhaps
_LENGTH = 8  # verdicts in the queue; each holds its frame, 6 MB at 1080p
_PATIENCE = 30.0  # seconds that one item may take before its disk is said to hang


class Outbox(Sink):
    """Runs ``sink`` in a thread. An error of the sink loses what it was to write, and never ends the run.

    ``what`` names one item for people; ``say`` gets the first loss of each cause, also from the thread.
    ``dropped`` counts what passed by the sink under ``drop``, ``failed`` what could not be written: also what a disk
    that takes over ``patience`` seconds for one item kept back, and what came after the thread had died.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        what: str,
        policy: Policy,
        say: Say,
        length: int = _LENGTH,
        patience: float = _PATIENCE,
    ) -> None:
        self._sink = sink
        self._what = what
        self._policy = policy
        self._say = say
        self._length = length
        self._patience = patience
        self._changed = threading.Condition()
        self._queue: deque[Verdict] = deque()
        self._state: _State = "new"
        self._writing = False  # the thread has an item in hand, and it is not given up
        self._done = 0  # items that the thread has finished
        self._hangs = False  # a writer has waited in vain since the thread last took an item
        self._thread: threading.Thread | None = None
        self._told: set[str] = set()
        self.dropped = self.failed = 0

    def open(self) -> None:
        """Open the sink, which raises what it raises, and start the thread."""
        self._sink.open()
        self._state = "open"
        self._thread = threading.Thread(target=self._run, name=f"regad {self._what}", daemon=True)
        self._thread.start()

    def write(self, verdict: Verdict) -> bool:
        """Queue the verdict, or let it pass; always True (go on). Raises OutputError unless the outbox is open."""
        with self._changed:
            if self._policy == "block" and not self._hangs:
                self._hangs = not self._changed.wait_for(self._has_room, self._patience)
            if self._state == "ended":
                self.failed += 1
                return True
            if self._state != "open":
                raise OutputError(f"a {self._what} was to be written, but its outbox is not open: open it first")
            if self._has_room():
                self._queue.append(verdict)
                self._changed.notify_all()
                return True
            if self._policy == "block":
                self.failed += 1
                text = f"a {self._what} was lost: writing one takes over {self._patience:g} s; more may follow"
            else:
                self.dropped += 1
                text = f"a {self._what} was left out: they are slower to write than frames come; more may follow"
        self._tell("full", text)
        return True

    def close(self) -> None:
        """Write what is in the queue, then close the sink. What a hanging disk keeps back is given up and counted."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        with self._changed:
            if self._state == "open":
                self._state = "closing"
            self._changed.notify_all()
            while self._state == "closing" and self._moves():
                pass
            left = self._give_up(in_hand=True)
            self._state = "closed"
        if left:
            self._tell("hangs", f"{left} {self._what}(s) were dropped: writing one takes over {self._patience:g} s")
        else:
            thread.join(self._patience)  # it closes the sink

    def abandon(self) -> None:
        """Leave what is in the queue; the sink is closed by its thread as soon as that is free."""
        self._thread = None
        with self._changed:
            self._give_up(in_hand=False)
            self._state = "closed"

    def losses(self) -> str:
        """What was lost, for the summary: ``3 pictures left out, 2 pictures not written``, or nothing."""
        counts = ((self.dropped, "left out"), (self.failed, "not written"))
        return ", ".join(f"{count} {self._what}{'s' * (count != 1)} {how}" for count, how in counts if count)

    def _has_room(self) -> bool:
        """Whether a writer need not wait: there is room, or nobody who would make any."""
        return len(self._queue) < self._length or self._state != "open"

    def _moves(self) -> bool:
        """Wait for the thread to finish one more item, or to end; False if that takes longer than the patience."""
        done = self._done
        return self._changed.wait_for(lambda: self._done > done or self._state != "closing", self._patience)

    def _give_up(self, *, in_hand: bool) -> int:
        """Empty the queue, and count what was left as failed; with ``in_hand`` also what the thread is writing."""
        left = len(self._queue) + (in_hand and self._writing)
        self._queue.clear()
        self._writing = self._writing and not in_hand
        self.failed += left
        self._changed.notify_all()
        return left

    def _run(self) -> None:
        try:
            while (verdict := self._take()) is not None:
                self._attempt(verdict)
        finally:
            with self._changed:  # if it dies, nobody waits for it
                self._give_up(in_hand=True)
                if self._state != "closed":
                    self._state = "ended"
            self._sink.close()

    def _attempt(self, verdict: Verdict) -> None:
        failure: Exception | None = None
        try:
            self._sink.write(verdict)
        except Exception as error:  # a picture that cannot be drawn or stored must not end the run
            failure = error
        with self._changed:
            lost = failure if self._writing else None  # what was given up is counted already
            self.failed += lost is not None
            self._writing = False
            self._done += 1
            self._changed.notify_all()
        if lost is not None:
            kind, why = type(lost).__name__, reason_of(lost)
            self._tell(kind, f"a {self._what} was lost: {why if isinstance(lost, RegadError) else f'{kind}: {why}'}")

    def _take(self) -> Verdict | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._state != "open")
            if not self._queue:
                return None
            verdict = self._queue.popleft()
            self._writing, self._hangs = True, False
            self._changed.notify_all()
            return verdict

    def _tell(self, cause: str, text: str) -> None:
        """Say what happened, once for each cause: a full disk would otherwise fill the log too."""
        with self._changed:
            new = cause not in self._told
            self._told.add(cause)
        if new:
            self._say(text)
