"""The DESK process: a child that may die at any time. It is started again; the line never waits for it."""

from __future__ import annotations

import os
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from .worker import Clock

__all__ = ["Child", "Supervisor", "spawn"]

_RESTARTS, _WINDOW_NS = 5, 60_000_000_000
_SYSTEMD = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_YIELDS = 10
_END = 3.0  # seconds that the child is given to end by itself


class Child(Protocol):
    """The part of `subprocess.Popen` that is used."""

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""
        ...

    def terminate(self) -> None:
        """Ask it to end."""
        ...

    def kill(self) -> None:
        """End it."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; raises subprocess.TimeoutExpired."""
        ...


def spawn(command: Sequence[str], secret: str | None = None) -> Child:
    """Start a process that shares nothing with the line but stderr and the environment. Raises OSError.

    Of that neither what systemd tells the line nor the variable ``secret``. Its niceness is 10 more: it yields.
    """
    env = {name: value for name, value in os.environ.items() if name not in (*_SYSTEMD, secret)}
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, close_fds=True, env=env)
    with suppress(OSError):  # it has ended already
        os.setpriority(os.PRIO_PROCESS, child.pid, min(19, os.getpriority(os.PRIO_PROCESS, 0) + _YIELDS))
    return child


class Supervisor:
    """Keeps one child running: at most 5 starts within 60 s, then none until they are 60 s old.

    ``changed`` is called when it begins or ceases to run; ``say`` takes a line about each end.
    """

    def __init__(
        self,
        command: Sequence[str],
        changed: Callable[[bool], None],
        say: Callable[[str], None],
        *,
        start: Callable[[Sequence[str]], Child] = spawn,
        clock: Clock = time.monotonic_ns,
    ) -> None:
        self._command = tuple(command)
        self._changed = changed
        self._say = say
        self._start = start
        self._clock = clock
        self.child: Child | None = None
        self._starts: deque[int] = deque(maxlen=_RESTARTS)

    def poll(self) -> None:
        """Look after the child; returns at once. Called now and then, by one thread."""
        if not self._command:
            return
        if self.child is not None:
            status = self.child.poll()
            if status is None:
                return
            self.child = None
            self._changed(False)
            self._say(f"the desk process ended with status {status}")
        now = self._clock()
        if len(self._starts) == _RESTARTS and now - self._starts[0] < _WINDOW_NS:
            return
        self._starts.append(now)
        try:
            self.child = self._start(self._command)
        except OSError as error:
            self._say(f"the desk process cannot be started: {self._command[0]}: {error.strerror or error}")
            return
        self._changed(True)

    def close(self) -> None:
        """End the child: asked first, then made to; one that is stopped (SIGSTOP) ends too."""
        child, self.child = self.child, None
        if child is None:
            return
        child.terminate()
        try:
            child.wait(_END)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(_END)
