"""A sink in a thread of its own, behind a queue of bounded length: what is slow never holds up the verdict.

When the queue is full, `Policy` decides: ``block`` waits for room (files: nothing is late, and nothing is lost),
``drop`` lets the newest verdict pass this sink (a line: the next part is coming). What was dropped or failed is counted
and said. There is no spool: the JSON record, which is written before any other sink is told, serves as one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Literal

from ..errors import OutputError, RegadError
from .sink import Sink
from .verdict import Verdict

__all__ = ["Outbox", "Policy"]

Policy = Literal["block", "drop"]
_LENGTH = 8  # verdicts in the queue; each holds its frame, 6 MB at 1080p
_PATIENCE = 30.0  # seconds that close() waits for a disk that hangs


class Outbox(Sink):
    """Runs ``sink`` in a thread. An error of the sink loses what it was to write, and never ends the run.

    ``what`` names one item for people; ``say`` is told of the first loss of each cause, from the thread.
    ``dropped`` counts what found no room, ``failed`` what could not be written.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        what: str,
        policy: Policy,
        say: Callable[[str], None],
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
        self._state: Literal["new", "open", "closing", "closed"] = "new"
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
            if self._policy == "block":
                self._changed.wait_for(lambda: len(self._queue) < self._length or self._state != "open")
            if self._state != "open":
                raise OutputError(f"a {self._what} was to be written, but its outbox is not open: open it first")
            if len(self._queue) < self._length:
                self._queue.append(verdict)
                self._changed.notify_all()
                return True
            self.dropped += 1
        self._tell("full", f"a {self._what} was left out: they are slower to write than frames come; more may follow")
        return True

    def close(self) -> None:
        """Write what is in the queue, then close the sink. What a hanging disk keeps back is given up and counted."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        with self._changed:
            self._state = "closing"
            self._changed.notify_all()
        thread.join(self._patience)
        if thread.is_alive():
            left = 1 + self._leave()
            self.failed += 1
            self._tell("hangs", f"{left} {self._what}(s) were given up: writing one takes over {self._patience:g} s")

    def abandon(self) -> None:
        """Leave what is in the queue; the sink is closed by its thread as soon as that is free."""
        self._thread = None
        self._leave()

    def losses(self) -> str:
        """What was lost, for the summary: ``3 pictures left out, 2 pictures not written``, or nothing."""
        counts = ((self.dropped, "left out"), (self.failed, "not written"))
        return ", ".join(f"{count} {self._what}{'s' * (count != 1)} {how}" for count, how in counts if count)

    def _leave(self) -> int:
        """Empty the queue, let the thread end, and count what was left."""
        with self._changed:
            left = len(self._queue)
            self._queue.clear()
            self._state = "closed"
            self._changed.notify_all()
        self.failed += left
        return left

    def _run(self) -> None:
        try:
            while (verdict := self._take()) is not None:
                self._attempt(verdict)
        finally:
            self._sink.close()

    def _attempt(self, verdict: Verdict) -> None:
        try:
            self._sink.write(verdict)
        except Exception as error:  # a picture that cannot be drawn or stored must not end the run
            self.failed += 1
            self._tell(type(error).__name__, f"a {self._what} was lost: {_reason(error)}")

    def _take(self) -> Verdict | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._state != "open")
            if not self._queue:
                return None
            verdict = self._queue.popleft()
            self._changed.notify_all()
            return verdict

    def _tell(self, cause: str, text: str) -> None:
        """Say what happened, once for each cause: a full disk would otherwise fill the log too."""
        if cause not in self._told:
            self._told.add(cause)
            self._say(text)


def _reason(error: Exception) -> str:
    text = str(error).partition("\n")[0]
    return text if isinstance(error, RegadError) else f"{type(error).__name__}: {text}"
