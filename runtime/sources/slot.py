"""The hand-over of frames between the thread that reads and the thread that judges."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

__all__ = ["Slot"]

T = TypeVar("T")


class Slot(Generic[T]):
    """A place for one item between a producing and a consuming thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._closed = False
        self._taken = False
        self._dropped = 0

    def put(self, item: T, *, replace: bool) -> bool:
        """Hand ``item`` over, in place of one not yet taken (``replace``) or after it. False once closed."""
        with self._changed:
            while self._item is not None and not replace and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._dropped += self._item is not None and self._taken
            self._item = item
            self._changed.notify_all()
            return True

    def take(self, timeout: float | None = None) -> T | None:
        """Wait for an item and take it; None after ``timeout`` seconds or once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed, timeout)
            item, self._item = self._item, None
            self._taken |= item is not None
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Wake both sides up; nothing passes any more."""
        with self._changed:
            self._closed, self._item = True, None
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def dropped(self) -> int:
        """Number of items replaced before they were taken, since the first one was taken."""
        return self._dropped
