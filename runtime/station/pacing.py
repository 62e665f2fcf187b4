"""How much the station's servers do for all their peers together: answering takes Python's lock from the judge.

However many peers ask, and however much, they are served as fast as a `Bucket` fills, in turns; what is asked beyond
that waits at the peer. Who matters most has an allowance of its own, and goes first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Bucket", "Queue", "Turns"]

P = TypeVar("P")
_WHOLE = 1.0 - 1e-9  # a step, as far as sums of seconds tell


class Bucket:
    """An allowance of ``rate`` steps a second, of which up to ``burst`` are saved; ``clock`` is monotonic, seconds.

    Whoever has used it up waits for ``batch`` steps: waking up costs several times what a step does.
    """

    def __init__(self, rate: float, burst: int, batch: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._batch, self._clock = rate, burst, batch, clock
        self._level, self._filled = float(burst), clock()

    def take(self) -> bool:
        """Take one step if there is one."""
        self._fill()
        taken = self._level >= _WHOLE
        self._level -= 1.0 if taken else 0.0
        return taken

    def wait(self) -> float:
        """Seconds that are worth waiting: until there is a batch of steps."""
        self._fill()
        return max(0.0, (self._batch - self._level) / self._rate)

    def _fill(self) -> None:
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._filled) * self._rate)
        self._filled = now


class Queue:
    """Lets coroutines through as fast as a bucket allows, first come first served."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._lock = asyncio.Lock()  # fair: who holds it is the first in the line

    async def turn(self) -> None:
        """Wait for one's turn."""
        async with self._lock:
            while not self._bucket.take():
                await asyncio.sleep(self._bucket.wait())  # those behind then find the rest of a batch


class Turns(Generic[P]):
    """Serves peers one step at a time: the one that ``first`` names before all others, the others in turns.

    ``step`` does one step for a peer and says whether there is another one to do.
    """

    def __init__(
        self, step: Callable[[P], bool], first: Callable[[], P | None], first_bucket: Bucket, bucket: Bucket
    ) -> None:
        self._step, self._first = step, first
        self._first_bucket, self._bucket = first_bucket, bucket
        self._waiting: dict[P, None] = {}  # in the order in which they come

    def add(self, peer: P) -> None:
        """A peer wants something; one that waits already keeps its place."""
        self._waiting.setdefault(peer)

    def remove(self, peer: P) -> None:
        """A peer wants nothing any more."""
        self._waiting.pop(peer, None)

    def __contains__(self, peer: P) -> bool:
        return peer in self._waiting

    def serve(self) -> float | None:
        """Do the steps that are allowed now; return the seconds until there will be more, None if nobody waits."""
        while (peer := self._next()) is not None:
            del self._waiting[peer]
            if self._step(peer):
                self._waiting[peer] = None
        first, others = self._those_waiting()
        waits = [] if first is None else [self._first_bucket.wait()]
        return min(waits if others is None else [*waits, self._bucket.wait()], default=None)

    def _those_waiting(self) -> tuple[P | None, P | None]:
        """The first one, and the next of the others, as far as they wait."""
        first = self._first()
        other = next((peer for peer in self._waiting if peer is not first), None)
        return (first if first in self._waiting else None), other

    def _next(self) -> P | None:
        first, other = self._those_waiting()
        if first is not None and self._first_bucket.take():
            return first
        return other if other is not None and self._bucket.take() else None
