"""Slows down who guesses passwords."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

__all__ = ["Attempts"]

_FREE = 3  # failures before there is a delay
_MOST_KEYS = 4096
_FORGET = 900.0  # seconds without a failure


class Attempts:
    """Counts failures by key. After the third, each doubles the wait, from 1 s up to ``longest``."""

    def __init__(self, longest: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest, self._clock = longest, clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, key: str) -> float:
        """Return for how many seconds ``key`` must wait before its next try; 0 for none."""
        with self._lock:
            count, at = self._failures.get(key, (0, 0.0))
        if count < _FREE:
            return 0.0
        return max(0.0, at + min(self._longest, 2.0 ** min(count - _FREE, 30)) - self._clock())

    def failed(self, key: str) -> None:
        """A try of ``key`` was wrong."""
        now = self._clock()
        with self._lock:
            count, at = self._failures.pop(key, (0, now))
            self._failures[key] = (1 if now - at > _FORGET else count + 1, now)
            while len(self._failures) > _MOST_KEYS:
                self._failures.popitem(last=False)

    def passed(self, key: str) -> None:
        """A try of ``key`` was right."""
        with self._lock:
            self._failures.pop(key, None)
