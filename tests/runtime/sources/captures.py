"""A camera that a test feeds, and the frames it feeds it with."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np

from regad.runtime.sources.frame import Frame

PATIENCE = 5.0  # how long a test waits for another thread before it fails


class FakeCapture:
    """A camera that gives what a test feeds it, and then waits. None is a failed read, an exception is raised."""

    def __init__(self, *items: Any) -> None:
        self._items: deque[Any] = deque(items)
        self._changed = threading.Condition()
        self._idle = False
        self.released = False

    def read(self) -> tuple[bool, Any]:
        with self._changed:
            while not self._items and not self.released:
                self._idle = True
                self._changed.notify_all()
                self._changed.wait()
            self._idle = False
            if self.released:
                return False, None
            item = self._items.popleft()
        if isinstance(item, Exception):
            raise item
        return item is not None, item

    def release(self) -> None:
        with self._changed:
            self.released = True
            self._changed.notify_all()

    def feed(self, *items: Any) -> None:
        with self._changed:
            self._items.extend(items)
            self._changed.notify_all()

    def settle(self) -> None:
        """Wait until everything that was fed has been read and the reader asks for more."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._idle and not self._items, PATIENCE)


def picture(value: int) -> Any:
    """A BGR frame whose blue channel is ``value``."""
    frame = np.zeros((4, 6, 3), np.uint8)
    frame[..., 0] = value
    return frame


def blue(frame: Frame) -> int:
    assert frame.image is not None
    return int(frame.image[0, 0, 2])
