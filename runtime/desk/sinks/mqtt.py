"""Tells an MQTT broker of every part, of alarms, and of how the station stands.

The trace is the outbox: a place in it moves on when the broker has acknowledged, so a broker that was away, or a desk
that died, costs nothing. State and job are retained, and said again after every connect.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from ...station.config_protocols import MqttConfig
from ...station.pacing import Bucket
from ..audit import audit
from ..jobs import job_named
from ..service import Surroundings
from .broker import WINDOW, Answered, Asked, Broker, Connected, Lost, Note
from .cursor import Cursor, Place
from .follower import Follower
from .message import StateMessage, alarm_message, state_message, verdict_message
from .outbox import Outbox
from .requests import carry_out
from .thread import POLL, SinkThread

__all__ = ["MqttSink"]

_HEALTH = 10.0  # seconds between health messages
_AGAIN = 10.0  # seconds after a refusal
_TOLD = ("warning", "alarm")
_AUDITS, _AUDITS_AT_ONCE = 10.0, 20  # a second, and saved up: each waits for the line's disk, and verdicts wait for it

Messages = Iterable[tuple[Place, bytes | None]]
"""Places by rising row, each with what is sent for it, None for nothing."""


class _Stream:
    """One topic that is fed from the trace."""

    def __init__(self, topic: str, cursor: Cursor, place: Place, read: Callable[[Place, int], Messages]) -> None:
        self.topic, self.cursor, self._read = topic, cursor, read
        self.outbox = Outbox(place, WINDOW)
        cursor.move(place)

    def fill(self, publish: Callable[[str, bytes], int]) -> None:
        """Send what there is room for."""
        if not self.outbox.room:
            return
        for place, payload in self._read(self.outbox.sent, self.outbox.room):
            if payload is None:
                self.outbox.pass_over(place)
            elif self.outbox.room:
                self.outbox.send(publish(self.topic, payload), place)
            else:
                return


class MqttSink(SinkThread):
    """The service ``mqtt``."""

    def __init__(self, around: Surroundings, config: MqttConfig) -> None:
        super().__init__("mqtt", around)
        self.config = config
        self._station = around.config.station.name
        self._base = f"{config.topic}/{self._station}"
        self._streams: tuple[_Stream, ...] = ()
        self._connected = False
        self._told: dict[str, bytes] = {}
        self._refusal = ""
        self._again_at = self._health_at = 0.0
        self._audits, self._unrecorded = Bucket(_AUDITS, _AUDITS_AT_ONCE), 0

    def prepare(self) -> None:
        self._cursors = [Cursor(self.around.state / f"{name}.cursor") for name in ("mqtt", "mqtt-alarm")]
        offline = StateMessage(station=self._station, online=False, text="the desk is gone")
        will = (f"{self._base}/state", msgspec.json.encode(offline))
        listen = f"{self._base}/cmd/#" if self.config.commands else None
        self._broker = Broker(self.config, f"regad-{self._station}", will, listen)
        self.said = f"connecting to {self._broker.address}"
        self._broker_text = f"connected to {self._broker.address}"
        self._broker.open()

    def step(self) -> None:
        follower = self.following()
        self._take(self._broker.note(POLL))
        while (note := self._broker.note(0)) is not None:
            self._take(note)
        follower.look()
        if not self._streams and follower.heads.trace:
            self._begin(follower)
        if self._connected:
            self._say()
            self._send()
            if not self.behind and not self._refusal:
                self.progress()
        for stream in self._streams:
            stream.cursor.move(stream.outbox.taken)
            if stream.topic.endswith("/verdict"):
                self.behind = follower.behind(stream.outbox.taken)

    def finish(self) -> None:
        self._broker.close()
        while (note := self._broker.note(0)) is not None:
            self._take(note)
        for stream in self._streams:
            stream.cursor.move(stream.outbox.taken)
            stream.cursor.save()
        super().finish()

    def _begin(self, follower: Follower) -> None:
        """Go on where the cursors stand."""
        heads = follower.heads
        newest, reads = (heads.row, heads.event), (self._verdicts, self._alarms)
        self._streams = tuple(
            _Stream(f"{self._base}/{topic}", cursor, follower.start_of(cursor.place, head), read)
            for topic, cursor, head, read in zip(("verdict", "alarm"), self._cursors, newest, reads, strict=True)
        )

    def _take(self, note: Note | None) -> None:
        if isinstance(note, Connected):
            self._connected, self._told, self._health_at = True, {}, 0.0
            self.said = self._broker_text
            self.around.say(f"mqtt: {self.said}")
        elif isinstance(note, Lost):
            if self._connected or note.text != self.said:
                self.around.say(f"mqtt: {note.text}")
            self._connected, self.said = False, note.text
        elif isinstance(note, Answered):
            self._answered(note)
        elif isinstance(note, Asked):
            command = note.topic.removeprefix(f"{self._base}/cmd/")
            response = carry_out(self.around.link, command, note.payload, retained=note.retained, tell=self._audited)
            self.around.say(f"mqtt: command {response.command}: {response.error or 'done'}")
            self._broker.publish(f"{self._base}/response", msgspec.json.encode(response))

    def _audited(self, by: str, command: str, outcome: str) -> None:
        """Record a command; of those that come too fast only how many there were."""
        if not self._audits.take():
            self._unrecorded += 1
            return
        left, self._unrecorded = self._unrecorded, 0
        more = f"; {left} commands before it came too fast to be recorded" if left else ""
        audit(self.around, by, command, after=f"{outcome}{more}")

    def _answered(self, note: Answered) -> None:
        for stream in self._streams:
            if stream.outbox.answer(note.number, note.accepted):
                break
        else:
            if note.accepted:
                return
        if note.accepted:
            self.progress()
            self.said = self._broker_text
            return
        refusal = f"the broker refuses messages ({note.text}); allow {self._base}/# to the station's user"
        if refusal != self.said:
            self.around.say(f"mqtt: {refusal}")
        self.said = self._refusal = refusal
        self._again_at = time.monotonic() + _AGAIN

    def _say(self) -> None:
        """Publish what is retained, where it has changed, and the health now and then."""
        heard = self.around.watch.heard
        if heard.number == 0:  # it was not asked yet
            return
        state = state_message(heard, self.around.config)
        number = state.job
        job = job_named(self.around.config, number)
        name = "" if job is None else job.name
        for topic, what in (("state", state), ("job", {"number": number, "name": name})):
            payload = msgspec.json.encode(what)
            if self._told.get(topic) != payload:
                self._told[topic] = payload
                self._broker.publish(f"{self._base}/{topic}", payload, retain=True)
        if time.monotonic() >= self._health_at:
            self._health_at = time.monotonic() + _HEALTH
            self._broker.publish(f"{self._base}/health", msgspec.json.encode(self._health_message()), qos=0)

    def _health_message(self) -> dict[str, Any]:
        status = self.around.watch.heard.status or {}
        image = status.get("image", {})
        counts = {name: image[name] for name in ("parts", "rejects", "missed", "late") if name in image}
        services = {name: msgspec.to_builtins(health) for name, health in self.around.health().items()}
        return {"station": self._station, **counts, "trace": status.get("trace"), "services": services}

    def _send(self) -> None:
        if self._refusal:
            if not all(stream.outbox.idle for stream in self._streams) or time.monotonic() < self._again_at:
                return
            self._refusal, self._told = "", {}
            for stream in self._streams:
                stream.outbox.rewind()
        for stream in self._streams:
            follower_place = self.following().start_of(stream.outbox.sent, 0)
            if follower_place != stream.outbox.sent:  # the trace was begun anew
                stream.outbox.rewind(follower_place)
            stream.fill(self._broker.publish)

    def _verdicts(self, after: Place, most: int) -> Messages:
        for row in self.following().rows(after, most):
            message = verdict_message(row, after.trace, self._station)
            yield Place(after.trace, row["id"]), msgspec.json.encode(message)

    def _alarms(self, after: Place, most: int) -> Messages:
        for event in self.following().events(after):
            message = alarm_message(event, after.trace, self._station)
            payload = msgspec.json.encode(message) if event["severity"] in _TOLD else None
            yield Place(after.trace, event["id"]), payload
