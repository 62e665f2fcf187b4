"""An asyncio loop in a thread of its own: what talks to the outside never holds up a part."""

from __future__ import annotations

import asyncio
import threading
from abc import abstractmethod
from contextlib import suppress

from ..backends.lifecycle import Closing
from ..errors import InputError

__all__ = ["LoopThread"]

_JOIN = 5.0  # seconds


class LoopThread(Closing):
    """A server in a thread: `start` opens it, `close` ends it with all its connections.

    A subclass binds its sockets in `_open`, in the caller's thread, so that what is in the way is told there; the loop
    then runs `_serve` until it is cancelled.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None

    @property
    def alive(self) -> bool:
        """Whether the loop runs: False before `start`, after `close`, and after a failure of its own."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def failure(self) -> BaseException | None:
        """What ended the loop, if it did not end by `close`."""
        return self._failure

    def start(self) -> None:
        """Open the sockets and serve. Raises InputError where they cannot be had, or it was started before."""
        if self._thread is not None:
            raise InputError(f"the {self._name} was started before; make another one")
        self._open()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name=f"regad {self._name}", daemon=True)
        self._thread.start()
        ready.wait()
        if self._failure is not None:
            raise InputError(f"the {self._name} cannot start: {self._failure}") from self._failure

    def close(self) -> None:
        """End the loop and wait for it; closing twice, or what was not started, does nothing."""
        loop, task = self._loop, self._task
        if loop is not None and task is not None and not loop.is_closed():
            with suppress(RuntimeError):  # it ended by itself meanwhile
                loop.call_soon_threadsafe(task.cancel)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN)

    @abstractmethod
    def _open(self) -> None:
        """Bind what is served on. Raises InputError."""

    @abstractmethod
    async def _serve(self, ready: threading.Event) -> None:
        """Serve until cancelled; sets ``ready`` once connections are taken, and lets go of everything at the end."""

    def _run(self, ready: threading.Event) -> None:
        try:
            with suppress(asyncio.CancelledError):
                asyncio.run(self._main(ready))
        except BaseException as error:
            self._failure = error
        finally:
            ready.set()

    async def _main(self, ready: threading.Event) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        await self._serve(ready)
