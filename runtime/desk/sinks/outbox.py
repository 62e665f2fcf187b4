"""What was sent and not yet acknowledged: the place in the trace moves on in order, whatever order the answers have."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from .cursor import Place

__all__ = ["Outbox"]


class Outbox:
    """A window of at most ``window`` messages on their way.

    `taken` is the place up to which every message was acknowledged; it never passes over one that was not. After a
    refusal nothing more is sent until all others on their way are answered; `rewind` then goes back to `taken`.
    """

    def __init__(self, taken: Place, window: int = 32) -> None:
        self.taken = self.sent = taken
        self.refused = False
        self._window = window
        self._under_way: deque[tuple[Hashable, Place]] = deque()
        self._done: set[Hashable] = set()

    @property
    def room(self) -> int:
        """How many messages may be sent now."""
        return 0 if self.refused else self._window - len(self._under_way)

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        return len(self._done) == len(self._under_way)

    def send(self, number: Hashable, place: Place) -> None:
        """Note that the message ``number`` is on its way; ``place`` is its own."""
        self._under_way.append((number, place))
        self.sent = place

    def pass_over(self, place: Place) -> None:
        """Note that there is nothing to send up to ``place``."""
        self.sent = place
        if not self._under_way:
            self.taken = place

    def answer(self, number: Hashable, accepted: bool) -> bool:
        """Take the answer to a message; return whether it was one of these."""
        if all(number != one for one, _ in self._under_way) or number in self._done:
            return False
        self._done.add(number)
        self.refused |= not accepted
        while self._under_way and not self.refused and self._under_way[0][0] in self._done:
            first, self.taken = self._under_way.popleft()
            self._done.discard(first)
        return True

    def rewind(self, place: Place | None = None) -> None:
        """Forget what is on its way, and go on from `taken`, or from ``place``."""
        self.taken = self.taken if place is None else place
        self.sent = self.taken
        self._under_way.clear()
        self._done.clear()
        self.refused = False
