"""What a source yields, and what every source offers."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ..text import shown

__all__ = ["Frame", "Source"]

_JOIN = 1.0  # a driver may hang inside read(); its thread is a daemon and is then left behind


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a source, or the reason why there is none.

    ``image`` is uint8 RGB [H, W, 3]; it is None exactly when ``error`` says what went wrong. ``source`` is the image
    file, or the video or camera; ``index`` counts from 0 within what was opened (at a camera the frames that were
    dropped count too, so a gap shows them); ``time`` is when it was read, in unix seconds, and ``taken`` the same
    moment on the clock of `time.monotonic`; ``name`` is a relative file name for what is written about it; ``tag`` is
    the caller's identity of the part, if it gave one; ``notes`` is what should be said of a frame that can be judged.
    """

    source: str
    index: int
    time: float
    image: NDArray[np.uint8] | None
    error: str | None = None
    name: str = ""
    taken: float = field(default_factory=monotonic)
    tag: str | None = None
    notes: tuple[str, ...] = ()


class Source(ABC):
    """A context manager that yields frames, read in a thread of its own; leaving it stops the thread.

    ``uri`` names it without any password; ``live`` sources do not end and give the newest frame, or, if ``triggered``,
    the one that is exposed when it is asked for; ``still`` sources hold single images;
    ``total`` is the number of frames if known, pages after a file's first not counted; ``notes`` is what
    was passed over. `stop` and `close` may be called from any thread: whoever waits for a frame then sees the end.
    """

    live: bool = False
    triggered: bool = False

    def __init__(self, uri: str, *, total: int | None = None, still: bool = False, notes: tuple[str, ...] = ()) -> None:
        self.uri = shown(uri)
        self.total = total
        self.still = still
        self.notes = notes
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    @property
    def dropped(self) -> int:
        """Number of frames passed over for a newer one since the first was taken."""
        return 0

    def __enter__(self) -> Source:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Source:
        return self

    def __next__(self) -> Frame:
        self._start()
        return self._next()

    def close(self) -> None:
        """Stop reading, wait for the reader to end and free the device; may be called more than once."""
        self.stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN)

    @abstractmethod
    def stop(self) -> None:
        """Tell the reader to end and wake whoever waits; returns at once, also from a signal handler."""

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._read, name=f"regad {self.uri}", daemon=True)
                self._thread.start()

    @abstractmethod
    def _read(self) -> None:
        """Run the thread's loop until `stop`."""

    @abstractmethod
    def _next(self) -> Frame:
        """Wait for the next frame; StopIteration at the end or once stopped."""
