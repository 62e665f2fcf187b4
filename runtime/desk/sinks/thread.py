"""A service of one thread that works in steps, and goes on after a step that failed."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from contextlib import suppress

from ...errors import RegadError
from ...text import reason_of
from ..service import Health, Surroundings
from .follower import Follower, hold_of

__all__ = ["POLL", "SinkThread"]

POLL = 0.2
"""Seconds between looks at the trace: 5 a second cost less than 1 % of a core."""
PATIENCE = 60.0
"""Seconds for which a receiver may make no progress before that is an alarm."""
_PAUSE = 1.0  # seconds after a step that failed
_JOIN = 3.0


class SinkThread:
    """Calls `step` from `start` to `close`.

    A subclass sets ``behind`` and ``said``, and calls `progress` while all is well.
    """

    def __init__(self, name: str, around: Surroundings) -> None:
        self.name = name
        self.around = around
        self.behind: int | None = None
        self.said = "starting"
        self.trouble = ""
        self.ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._since = time.monotonic()
        self._follower: Follower | None = None

    def start(self) -> None:
        """Begin. Raises RegadError for what a person must change."""
        self.prepare()
        self._thread = threading.Thread(target=self._run, name=f"regad {self.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End, within a few seconds."""
        self.ended.set()
        self.interrupt()
        if self._thread is not None:
            self._thread.join(_JOIN)

    def health(self) -> Health:
        """How it does: an alarm once nothing was delivered for a minute that should be."""
        ok = not self.trouble and time.monotonic() - self._since < PATIENCE
        return Health(ok, self.trouble or self.said, self.behind)

    def progress(self) -> None:
        """Say that something was delivered, or that all is well and nothing waits."""
        self._since = time.monotonic()

    @abstractmethod
    def prepare(self) -> None:
        """Look at what the service needs, in the thread of `start`. Raises RegadError."""

    @abstractmethod
    def step(self) -> None:
        """Do what there is to do, or wait `POLL` seconds; raises RegadError for what may be better later."""

    def interrupt(self) -> None:
        """End a step that waits; from another thread."""

    def following(self) -> Follower:
        """The reader of the trace, in this thread; opened when it is first asked for."""
        if self._follower is None:
            self._follower = Follower(self.around.trace, hold_of(self.around.config.trace.before_result))
        return self._follower

    def finish(self) -> None:
        """Let go of what the thread holds, at its end."""
        if self._follower is not None:
            self._follower.close()

    def _run(self) -> None:
        try:
            while not self.ended.is_set():
                self._one()
        finally:
            with suppress(RegadError):
                self.finish()

    def _one(self) -> None:
        try:
            self.step()
        except RegadError as error:
            trouble = str(error)
        except Exception as error:  # a fault of ours must be seen, and must not end the service
            trouble = f"it failed: {type(error).__name__}: {reason_of(error)}"
        else:
            self.trouble = ""
            return
        if trouble != self.trouble:
            self.around.say(f"{self.name}: {trouble}")
        self.trouble = trouble
        self.ended.wait(_PAUSE)
