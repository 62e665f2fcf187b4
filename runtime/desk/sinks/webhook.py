"""Tells an HTTP server of every part, in order, from the place in the trace where it stood.

A server that is away, too slow, or has troubles of its own is waited for; what it refuses for good is noted in its list
of dead letters, and the next part goes out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from ...station.config_protocols import WebhookConfig
from ...station.trace.reader import Row
from ..service import Health, Surroundings
from .cursor import Cursor, Place
from .dead_letters import MOST, DeadLetter, DeadLetters
from .message import VerdictMessage, utc, verdict_message
from .post import Outcome, Poster
from .thread import POLL, SinkThread

__all__ = ["WebhookSink"]

PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds before the second, third, ... try of a message; the last one holds on."""
_PAGE = 50


class WebhookSink(SinkThread):
    """The service ``webhook NAME``."""

    def __init__(self, around: Surroundings, config: WebhookConfig, pauses: Sequence[float] = PAUSES) -> None:
        super().__init__(f"webhook {config.name}", around)
        self.config = config
        self._pauses = pauses
        self._tries = 0
        self._place: Place | None = None

    def prepare(self) -> None:
        base = self.around.state / f"webhook-{self.config.name}"
        self._cursor = Cursor(base.with_name(f"{base.name}.cursor"))
        self._dead = DeadLetters(base.with_name(f"{base.name}.dead"))
        self._poster = Poster(self.config)
        self.said = "nothing was sent yet"

    def health(self) -> Health:
        """As every service's; dead letters are an alarm until somebody has dealt with them."""
        health = super().health()
        if not self._dead.count:
            return health
        return Health(False, f"{health.text}; {self._dead.count} were refused: {self._dead.path}", health.behind)

    def step(self) -> None:
        follower = self.following()
        follower.look()
        self._dead.look()
        if follower.heads.trace:
            self._place = follower.start_of(self._place or self._cursor.place, follower.heads.row)
            self._cursor.move(self._place)
            self.behind = follower.behind(self._place) + len(self._dead.again)
        if not follower.heads.trace or follower.error:  # what was not read is not gone
            self.ended.wait(POLL)
        elif self._send_again() and self._send_next():
            if not self.behind:
                self.progress()
            self.ended.wait(POLL)

    def finish(self) -> None:
        self._cursor.save()
        super().finish()

    def _send_again(self) -> bool:
        """Send the letters that somebody wants to be sent again; False once one has to wait."""
        while self._dead.again and not self.ended.is_set():
            letter = self._dead.again[0]
            rows = self.following().rows(Place(letter.trace, letter.row - 1), 1)
            if self.following().error:
                return False
            if not rows or rows[0]["id"] != letter.row:
                self.around.say(f"{self.name}: part {letter.key} is no longer in the trace; it is not sent again")
            elif not self._deliver(rows[0], letter.trace):
                return False
            self._dead.done()
        return True

    def _send_next(self) -> bool:
        """Send the next parts; False once one has to wait."""
        place = self._place
        for row in self.following().rows(place, _PAGE) if place is not None else ():
            assert place is not None
            if self.ended.is_set() or not self._deliver(row, place.trace):
                return False
            place = self._place = Place(place.trace, row["id"])
            self._cursor.move(place)
            self.behind = self.following().behind(place)
        return True

    def _deliver(self, row: Row, trace: str) -> bool:
        """Send a part, if it is wanted; False if it has to be sent again, after a pause."""
        message = verdict_message(row, trace, self.around.config.station.name)
        if not self._wanted(message):
            return True
        answer = self._poster.post(message.key, msgspec.json.encode(message))
        refused = answer.outcome is Outcome.REFUSED
        if refused and not self._dead.full:
            self._dead.add(DeadLetter(trace, row["id"], message.key, answer.status, utc(time.time())))
            self.around.say(f"{self.name}: part {message.key} was refused: {answer.text}")
        elif answer.outcome is not Outcome.TAKEN:
            full = f", and {MOST} dead letters wait already: deal with {self._dead.path}" if refused else ""
            self._wait(answer.text + full)
            return False
        self._tries, self.said = 0, answer.text
        self.progress()
        return True

    def _wait(self, text: str) -> None:
        if text != self.said:
            self.around.say(f"{self.name}: {text}")
        self.said = text
        pause = self._pauses[min(self._tries, len(self._pauses) - 1)]
        self._tries += 1
        self.ended.wait(pause)

    def _wanted(self, message: VerdictMessage) -> bool:
        wanted = self.config.verdicts
        return not wanted or message.output in wanted or message.verdict in wanted
