"""The connection to an MQTT broker: paho's thread keeps it up, what it hears waits in a queue for the sink's thread."""

from __future__ import annotations

import ssl
import sys
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from ...backends.lifecycle import Closing
from ...errors import InputError
from ...station.config_protocols import MqttConfig
from ...text import reason_of, redact, shown

__all__ = ["Answered", "Asked", "Broker", "Connected", "Lost", "Note"]

WINDOW = 10
"""Messages on their way at once: what the most careful of the common brokers takes."""
_KEEP_ALIVE = 20  # seconds; the last will comes after one and a half of them
_SLOWEST = 30  # seconds between tries to connect
_WAITING = 100  # requests that may wait for the sink's thread
_END = 2.0  # seconds that the last message may take


class Connected(NamedTuple):
    """The broker has taken the station in; everything retained is to be said again."""


class Lost(NamedTuple):
    """There is no connection, and why."""

    text: str


class Answered(NamedTuple):
    """The broker has taken the message ``number``, or has not, and why."""

    number: int
    accepted: bool
    text: str


class Asked(NamedTuple):
    """A message for the station."""

    topic: str
    payload: bytes
    retained: bool


Note = Connected | Lost | Answered | Asked


class Broker(Closing):
    """A client of the broker in ``config``. It connects by itself, and again, for as long as it is open.

    ``will`` is the topic and payload that the broker publishes when the station dies. Raises InputError where paho-mqtt
    is not installed, or a secret or a certificate cannot be used.
    """

    def __init__(self, config: MqttConfig, client_id: str, will: tuple[str, bytes], listen: str | None) -> None:
        try:
            from paho.mqtt import client as paho
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise InputError(f"MQTT needs paho-mqtt ({error}); pip install 'regad[station]'") from error
        self.address = "{}:{}".format(*config.address)
        self._config, self._will, self._listen = config, will, listen
        self._notes: SimpleQueue[Note] = SimpleQueue()
        self._taken_in = False
        version = paho.MQTTv5 if config.protocol == "5" else paho.MQTTv311
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=version, reconnect_on_failure=True
        )
        client.max_inflight_messages_set(WINDOW)
        client.reconnect_delay_set(1, _SLOWEST)
        client.will_set(will[0], will[1], qos=1, retain=True)
        if config.user is not None and config.secret is not None:
            client.username_pw_set(config.user, config.secret.read())
        if config.tls:
            self._secure(client)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message

    def _secure(self, client: Any) -> None:
        files = (self._config.ca, self._config.certificate, self._config.private_key)
        try:
            client.tls_set(*(None if path is None else str(path) for path in files))
        except (OSError, ValueError) as error:
            named = ", ".join(shown(path) for path in files if path is not None)
            raise InputError(
                f"mqtt: the certificates {named} cannot be used ({reason_of(error)}); name PEM files"
            ) from error

    def open(self) -> None:
        """Begin to connect; returns at once."""
        self._client.connect_async(*self._config.address, keepalive=_KEEP_ALIVE)
        self._client.loop_start()

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> int:
        """Send a message and return its number; `Answered` follows for QoS 1. One that cannot be sent waits."""
        return int(self._client.publish(topic, payload, qos, retain).mid)

    def note(self, seconds: float) -> Note | None:
        """Return what happened next, None if nothing does within so many seconds."""
        try:
            return self._notes.get(timeout=seconds) if seconds > 0 else self._notes.get_nowait()
        except Empty:
            return None

    def close(self) -> None:
        """Say what the last will says, and end."""
        if self._client.is_connected():
            self._client.publish(*self._will, qos=1, retain=True).wait_for_publish(_END)
        self._client.disconnect()
        self._client.loop_stop()

    # In paho's thread; it holds a lock of its own here, so nothing here may wait.

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._notes.put(Lost(f"the broker at {self.address} refuses the station: {reason}"))
            return
        if self._listen is not None:
            client.subscribe(self._listen, qos=1)
        self._taken_in = True
        self._notes.put(Connected())

    def _on_connect_fail(self, client: Any, userdata: Any) -> None:
        error = sys.exc_info()[1]  # paho calls from its except block
        why = "no connection" if error is None else _why(error)
        self._notes.put(Lost(f"the broker at {self.address} cannot be reached: {why}"))

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if self._taken_in:  # else it was refused, and why was said
            self._taken_in = False
            self._notes.put(Lost(f"the connection to the broker at {self.address} was lost: {reason}"))

    def _on_publish(self, client: Any, userdata: Any, number: int, reason: Any, properties: Any) -> None:
        self._notes.put(Answered(number, not reason.is_failure, str(reason)))

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        if self._notes.qsize() < _WAITING:
            self._notes.put(Asked(message.topic, message.payload, bool(message.retain)))


def _why(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); name the CA in mqtt.ca"
    return redact(getattr(error, "strerror", None) or reason_of(error))
