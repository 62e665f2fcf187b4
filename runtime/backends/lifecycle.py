"""Open, in use, closed: one rule for everything that holds a device's memory."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TypeVar

from ..errors import DeviceError

__all__ = ["Closing", "Lifecycle", "closed_error"]

_Self = TypeVar("_Self", bound="Closing")


def closed_error() -> DeviceError:
    """The one error of everything that is used after it was closed."""
    return DeviceError(
        "this model or detector was closed and cannot be used any more", remedy="load the artifact again", code="closed"
    )


class Closing(ABC):
    """A context manager that is closed at the end of its block."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is held; closing twice does nothing."""

    def __enter__(self: _Self) -> _Self:
        """Return the object itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


class Lifecycle:
    """Counts the calls at work, so that `close` releases what they use only after the last one.

    Calls that begin after `close` was called raise `closed_error`. `close` waits for those that are at work in other
    threads; called again, also by several threads at once, it releases nothing twice and returns when all is released.
    A thread that closes from within a call of its own (a signal handler) does not wait: its last call releases.
    """

    def __init__(self, release: Callable[[], None]) -> None:
        """``release`` frees everything; it is called once."""
        self._release = release
        self._condition = threading.Condition()
        self._running: Counter[int] = Counter()
        self._closing = False
        self._released = False

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closing

    @contextmanager
    def working(self) -> Iterator[None]:
        """A call at work. Raises DeviceError after `close`, but not for a call within one that began before."""
        thread = threading.get_ident()
        with self._condition:
            if self._closing and not self._running[thread]:
                raise closed_error()
            self._running[thread] += 1
        try:
            yield
        finally:
            with self._condition:
                self._running[thread] -= 1
                if not self._running[thread]:
                    del self._running[thread]
                if self._closing:
                    self._release_if_idle()

    def close(self) -> None:
        """Refuse further calls, wait for those of other threads, and release."""
        with self._condition:
            self._closing = True
            self._release_if_idle()
            if not self._running[threading.get_ident()]:
                self._condition.wait_for(lambda: self._released)

    def _release_if_idle(self) -> None:
        if self._released or any(self._running.values()):
            return
        try:
            self._release()
        finally:
            self._released = True
            self._condition.notify_all()
