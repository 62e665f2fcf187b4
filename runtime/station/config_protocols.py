"""The tables of ``station.toml`` for what tells others of the verdicts: MQTT, webhooks, metrics, OPC UA."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta

from ..errors import InputError
from .config_types import Millis, Name, Port, Table, Text
from .secret import Secret

__all__ = ["MetricsConfig", "MqttConfig", "OpcuaConfig", "VerdictName", "WebhookConfig"]

Topic = Annotated[
    str,
    Meta(pattern=r"^[\w.-]+(/[\w.-]+){0,7}$", max_length=128, description='the first levels of a topic, like "regad"'),
]
VerdictName = Literal["NONE", "PASS", "REJECT", "REVIEW", "NOT_JUDGED", "LATE", "NO_PART", "MISSED"]
"""The names of `VerdictCode`."""


class MqttConfig(Table, frozen=True):
    """The broker that receives every part.

    ``port`` None is 8883 with ``tls`` and 1883 without. The broker's certificate is checked against ``ca``, None: the
    system's; ``certificate`` and ``private_key`` are the station's own. Topics begin with ``topic`` and the station's
    name. With ``commands`` what arrives under ``cmd/`` is carried out. Protocol 3.1.1 cannot tell that the broker
    refused a message.
    """

    host: Text
    port: Port | None = None
    protocol: Literal["5", "3.1.1"] = "5"
    topic: Topic = "regad"
    user: Text | None = None
    secret: Secret | None = None
    tls: bool = True
    ca: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    commands: bool = False

    def __post_init__(self) -> None:
        if (self.user is None) != (self.secret is None):
            raise InputError("user and secret go together; expected both, or neither")
        if (self.certificate is None) != (self.private_key is None):
            raise InputError("certificate and private_key go together; expected both, or neither")
        if not self.tls and (self.ca or self.certificate):
            raise InputError("tls is false; expected no ca, certificate or private_key beside it")

    @property
    def address(self) -> tuple[str, int]:
        """The broker's host and port."""
        return self.host, self.port or (8883 if self.tls else 1883)


class WebhookConfig(Table, frozen=True):
    """A server that is sent every part by HTTP POST, or only those whose output is among ``verdicts``.

    ``secret`` is what the messages are signed with. An answer later than ``timeout_ms`` is none. The server's
    certificate is checked against ``ca``, None: the system's.
    """

    name: Name
    url: Text
    secret: Secret
    verdicts: tuple[VerdictName, ...] = ()
    timeout_ms: Millis = 5000
    ca: Path | None = None

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            sound = False
        if not sound or "@" in parts.netloc or not self.url.isascii() or any(c.isspace() for c in self.url):
            raise InputError("url is wrong; expected http:// or https://, a host and a path, without user and password")


class MetricsConfig(Table, frozen=True):
    """Who may read ``/metrics`` without a login: who bears the ``secret``; without one, who is on this machine."""

    secret: Secret


class OpcuaConfig(Table, frozen=True):
    """The OPC UA server, after OPC 40100-1. Its ``users`` are those of ``regad-station passwd``.

    Every connection is signed and encrypted (Basic256Sha256); with ``anonymous`` a client may read without a login,
    and with ``unencrypted`` such a client may also do it in clear. ``certificate`` (DER) and ``private_key`` (PEM) are
    the server's own; without them it makes a pair at its first start. With ``commands`` operators and engineers may
    call the methods that move the station. ``nodeset`` is the OPC Foundation's file of the types of OPC 40100-1.
    """

    host: Text = "127.0.0.1"
    port: Port = 4840
    users: Path = Path("users.json")
    nodeset: Path = Path("Opc.Ua.MachineVision.NodeSet2.xml")
    anonymous: bool = False
    unencrypted: bool = False
    certificate: Path | None = None
    private_key: Path | None = None
    commands: bool = False

    def __post_init__(self) -> None:
        if self.unencrypted and not self.anonymous:
            raise InputError("unencrypted is true; expected anonymous = true beside it: no password goes in clear")
        if (self.certificate is None) != (self.private_key is None):
            raise InputError("certificate and private_key go together; expected both, or neither")
