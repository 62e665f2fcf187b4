"""What every open page shows, gathered once for all of them, while there is one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ...backends.lifecycle import Closing
from ...errors import RegadError
from ..service import Surroundings

__all__ = ["Section", "State"]

_EVERY = 0.25  # seconds


class Section(Protocol):
    """Returns parts of the state by name; called a few times a second while somebody watches. RegadError leaves them.

    One that is `Closing` is closed in the end, by the thread that called it.
    """

    def __call__(self, around: Surroundings, /) -> Mapping[str, Any]:
        """Return them."""


class State(Closing):
    """The state by the names of its parts, and a number for each change. `watch` and `leave` count who wants it."""

    def __init__(self, around: Surroundings, sections: tuple[Section, ...], every: float = _EVERY) -> None:
        self._around, self._sections, self._every = around, sections, every
        self._lock = threading.Lock()
        self._wanted, self._ended = threading.Event(), False
        self._parts: dict[str, tuple[int, Any]] = {}
        self._number = 0
        self._listeners: set[Callable[[], None]] = set()
        self._thread = threading.Thread(target=self._run, name="regad desk state", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._ended = True
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join()

    def since(self, number: int) -> tuple[int, dict[str, Any]]:
        """Return the number of the newest state, and its parts that are newer than ``number`` (0: all)."""
        with self._lock:
            return self._number, {name: value for name, (at, value) in self._parts.items() if at > number}

    def watch(self, changed: Callable[[], None]) -> None:
        """Gather the state from now on, and call ``changed`` at each change, in the state's thread."""
        with self._lock:
            self._listeners.add(changed)
        self._wanted.set()

    def leave(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` no more."""
        with self._lock:
            self._listeners.discard(changed)
            if not self._listeners and not self._ended:
                self._wanted.clear()

    def gather(self) -> None:
        """Look at every part once; the thread does."""
        found: dict[str, Any] = {"error": ""}
        for section in self._sections:
            found.update(self._gathered(section))
        with self._lock:
            changed = [name for name, value in found.items() if self._parts.get(name, (0, None))[1] != value]
            if not changed:
                return
            self._number += 1
            for name in changed:
                self._parts[name] = (self._number, found[name])
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()

    def _gathered(self, section: Section) -> Mapping[str, Any]:
        try:
            return section(self._around)
        except RegadError as error:
            return {"error": str(error)}

    def _run(self) -> None:
        pause = threading.Event()
        while not self._ended:
            self._wanted.wait()
            if not self._ended:
                self.gather()
                pause.wait(self._every)
        for section in self._sections:
            if isinstance(section, Closing):
                section.close()
