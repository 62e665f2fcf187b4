"""What ``regad-station check`` looks at for MQTT, webhooks, metrics and OPC UA: extras, secrets, files, the port."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from ..commands.checks import Finding
from ..errors import InputError
from ..text import shown
from .config import Config
from .config_protocols import OpcuaConfig, WebhookConfig
from .opcua_types import read_nodeset
from .secret import Secret

__all__ = ["examine_protocols"]


def examine_protocols(config: Config) -> Iterator[Finding]:
    """Yield what was found of each receiver that is configured. None of them is called."""
    if (mqtt := config.mqtt) is not None:
        own = _files(mqtt.ca, mqtt.certificate, mqtt.private_key)
        fault = _extra("paho", "paho-mqtt", "station") or _secret(mqtt.secret) or own
        clear = "" if mqtt.tls else ", in clear"
        yield _finding("mqtt", fault, "{} port {}{}".format(*mqtt.address, clear))
    for hook in config.webhooks:
        yield _webhook(hook)
    if config.metrics is not None:
        yield _finding("metrics", _secret(config.metrics.secret), "with a secret")
    if (opcua := config.opcua) is not None:
        own = _files(opcua.certificate, opcua.private_key) or _nodeset(opcua)
        fault = _extra("asyncua", "asyncua", "opcua") or own or _port(opcua)
        yield _finding("opcua", fault, f"{opcua.host} port {opcua.port}")


def _webhook(hook: WebhookConfig) -> Finding:
    return _finding(f"webhook {hook.name}", _secret(hook.secret) or _files(hook.ca), shown(hook.url))


def _finding(topic: str, fault: tuple[str, str] | None, fine: str) -> Finding:
    return Finding(topic, "ok", fine) if fault is None else Finding(topic, "problem", *fault)


def _extra(module: str, name: str, extra: str) -> tuple[str, str] | None:
    return None if find_spec(module) else (f"{name} is not installed", f"pip install 'regad[{extra}]'")


def _secret(secret: Secret | None) -> tuple[str, str] | None:
    try:
        if secret is not None:
            secret.read()
    except InputError as error:
        return error.message, error.remedy
    return None


def _files(*paths: Path | None) -> tuple[str, str] | None:
    for path in paths:
        if path is not None and not path.is_file():
            return f"the file {shown(path)} does not exist", "name a file that does, or leave the key out"
    return None


def _nodeset(opcua: OpcuaConfig) -> tuple[str, str] | None:
    try:
        read_nodeset(opcua.nodeset)
    except InputError as error:
        return error.message, error.remedy
    return None


def _port(opcua: OpcuaConfig) -> tuple[str, str] | None:
    try:
        socket.create_server((opcua.host, opcua.port)).close()
    except OSError as error:
        text = f"{opcua.host} port {opcua.port} cannot be used: {str(error).partition(' (while')[0]}"
        return text, "end what listens there, or set opcua.host and opcua.port"
    return None
