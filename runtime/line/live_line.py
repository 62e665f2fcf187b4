"""The live line of a run: redrawn in place on a terminal, one line now and then in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

from .counters import Counters

__all__ = ["LiveLine"]

_REDRAW, _REPORT, _REPORT_LIVE = 0.1, 10.0, 60.0  # seconds: on a terminal; in a log; in the log of an endless run


class LiveLine:
    """Shows ``counters`` on ``stream``, by default stderr. `say` may be called from any thread."""

    def __init__(
        self,
        counters: Counters,
        stream: TextIO | None = None,
        *,
        total: int | None = None,
        live: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counters = counters
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._total = total
        self._every = _REDRAW if self._terminal else (_REPORT_LIVE if live else _REPORT)
        self._clock = clock
        self._drawn = clock()
        self._width = 0
        self._lock = threading.RLock()

    def update(self) -> None:
        """Draw the line if it is time to."""
        now = self._clock()
        if now - self._drawn >= self._every:
            self._drawn = now
            self._draw(self.line())

    def line(self) -> str:
        """Return the state in one line."""
        counters = self._counters
        seen = f"{counters.seen}/{self._total}" if self._total else f"{counters.seen}"
        return f"{seen}  {counters.rate():.1f} fps  {counters.times()}  {counters.counts()}"

    def say(self, text: str) -> None:
        """Print a line of text without tearing the live line."""
        with self._lock:
            self.clear()
            print(text, file=self._stream, flush=True)

    def clear(self) -> None:
        """Remove the live line; `update` draws it again when it is time to."""
        with self._lock:
            if self._width:
                self._stream.write(f"\r{' ' * self._width}\r")
                self._stream.flush()
                self._width = 0

    def _draw(self, text: str) -> None:
        with self._lock:
            if not self._terminal:
                print(text, file=self._stream, flush=True)
                return
            self._stream.write(f"\r{text.ljust(self._width)}")
            self._stream.flush()
            self._width = len(text)
