"""The tables of MQTT, webhooks, metrics and OPC UA: what is refused, what ``check`` finds, and which services run."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from regad.runtime.desk.desk import services_of
from regad.runtime.errors import InputError
from regad.runtime.station import protocol_checks
from regad.runtime.station.config_file import parse_config
from regad.runtime.station.config_protocols import MetricsConfig, MqttConfig, OpcuaConfig, WebhookConfig
from regad.runtime.station.protocol_checks import examine_protocols
from regad.runtime.station.secret import Secret

from .sink_doubles import around, config_of, private

JOB = {"number": 1, "name": "gear", "category": "c", "sha256": "0" * 64}
LEAST: dict[str, Any] = {"model": {"path": "m"}, "camera": {"source": "camera:0"}, "job": [JOB], "desk": {}}
SECRET = {"env": "A"}
HOOK = {"name": "mes", "url": "http://mes/", "secret": SECRET}


@pytest.mark.parametrize(
    ("tables", "text"),
    [
        ({"mqtt": {}}, "mqtt.host is missing; expected text, not empty"),
        ({"mqtt": {"host": "b", "user": "a"}}, "mqtt.user and secret go together"),
        ({"mqtt": {"host": "b", "tls": False, "ca": "ca.pem"}}, "mqtt.tls is false; expected no ca"),
        ({"mqtt": {"host": "b", "certificate": "c"}}, "mqtt.certificate and private_key go together"),
        ({"mqtt": {"host": "b", "topic": "a/#"}}, 'mqtt.topic is "a/#"; expected the first levels of a topic'),
        ({"mqtt": {"host": "b", "password": "x"}}, "mqtt.password = *** is not known"),
        ({"webhook": HOOK}, "webhook is a table; expected tables [[webhook]]"),
        ({"webhook": [{**HOOK, "url": "mes"}]}, "webhook 1.url is wrong; expected http:// or https://"),
        ({"webhook": [HOOK, HOOK]}, "webhook.name is given twice: mes, mes"),
        ({"webhook": [{**HOOK, "verdicts": ["BAD"]}]}, "webhook 1.verdicts is ['BAD']; expected a list of"),
        ({"opcua": {"unencrypted": True}}, "opcua.unencrypted is true; expected anonymous = true beside it"),
        ({"opcua": {"certificate": "c"}}, "opcua.certificate and private_key go together"),
        ({"metrics": {}}, "metrics.secret is missing; expected a table with file, env"),
        ({"mqtt": {"host": "b"}, "desk": None}, "desk is missing; mqtt, webhook, metrics and opcua need it"),
    ],
)
def test_a_table_that_cannot_be_is_refused_in_a_line(tables: dict[str, Any], text: str) -> None:
    document = {name: value for name, value in {**LEAST, **tables}.items() if value is not None}
    _, faults = parse_config(document, Path("/s"))
    assert [fault.text[: len(text)] for fault in faults] == [text]


def test_the_ports_are_those_of_mqtt() -> None:
    assert MqttConfig(host="b").address == ("b", 8883)
    assert MqttConfig(host="b", tls=False).address == ("b", 1883)
    assert MqttConfig(host="b", port=1).address == ("b", 1)


def test_each_table_is_a_service(tmp_path: Path) -> None:
    hooks = tuple(WebhookConfig(name=name, url="http://mes/", secret=Secret(env="A")) for name in ("mes", "other"))
    given = around(tmp_path, mqtt=MqttConfig(host="b"), webhooks=hooks, opcua=OpcuaConfig())
    names = [service.name for service in services_of(given)]
    assert names[-4:] == ["mqtt", "webhook mes", "webhook other", "opcua"]
    assert [service.name for service in services_of(around(tmp_path))] == names[:-4]


def test_check_names_what_is_missing_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NONE", raising=False)
    nothing = Secret(env="NONE")
    given = tmp_path / "types.xml"
    given.write_text('<Model ModelUri="http://opcfoundation.org/UA/MachineVision" Version="1.0.0">')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = config_of(
            tmp_path,
            mqtt=MqttConfig(host="b", user="a", secret=nothing),
            webhooks=(WebhookConfig(name="mes", url="https://mes/", secret=nothing, ca=tmp_path / "ca"),),
            metrics=MetricsConfig(secret=nothing),
            opcua=OpcuaConfig(port=taken.getsockname()[1], nodeset=given),
        )
        found = list(examine_protocols(config))
    assert [(one.topic, one.level) for one in found] == [
        (topic, "problem") for topic in ("mqtt", "webhook mes", "metrics", "opcua")
    ]
    assert "NONE holds no secret" in found[0].text
    assert "Address already in use" in found[3].text
    assert all(one.remedy for one in found)


def test_check_is_content_with_what_is_there_and_calls_nobody(tmp_path: Path) -> None:
    secret = Secret(file=private(tmp_path / "secret", "x"))
    nodeset = tmp_path / "types.xml"
    nodeset.write_text('<Model ModelUri="http://opcfoundation.org/UA/MachineVision" Version="1.0.0">')
    config = config_of(
        tmp_path,
        mqtt=MqttConfig(host="no.such.host", tls=False),
        webhooks=(WebhookConfig(name="mes", url="https://no.such.host/", secret=secret),),
        metrics=MetricsConfig(secret=secret),
        opcua=OpcuaConfig(port=0, nodeset=nodeset),
    )
    found = list(examine_protocols(config))
    assert [one.level for one in found] == ["ok"] * 4
    assert found[0].text == "no.such.host port 1883, in clear"


def test_check_names_the_extra_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol_checks, "find_spec", lambda name: None)
    found = list(examine_protocols(config_of(tmp_path, mqtt=MqttConfig(host="b"), opcua=OpcuaConfig(port=0))))
    assert [one.remedy for one in found] == ["pip install 'regad[station]'", "pip install 'regad[opcua]'"]


def test_a_certificate_that_is_named_must_be_there(tmp_path: Path) -> None:
    pytest.importorskip("asyncua", reason="needs asyncua: pip install 'regad[opcua]'")
    from regad.runtime.desk.opcua.identity import identity

    config = OpcuaConfig(certificate=tmp_path / "c.der", private_key=tmp_path / "k.pem")
    with pytest.raises(InputError, match=r"c\.der does not exist"):
        identity(config, tmp_path, "press")
    made = identity(OpcuaConfig(), tmp_path, "press")
    before = [path.read_bytes() for path in made]
    assert identity(OpcuaConfig(), tmp_path, "press") == made
    assert [path.read_bytes() for path in made] == before


@pytest.mark.parametrize("content", [None, b"<UANodeSet/>", b"\xff"])
def test_a_nodeset_that_is_missing_or_another_is_named_with_where_to_get_it(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "types.xml"
    if content is not None:
        path.write_bytes(content)
    config = config_of(tmp_path, opcua=OpcuaConfig(port=0, nodeset=path))
    (found,) = examine_protocols(config)
    assert found.level == "problem" and "opcua.nodeset" in found.text and "UA-Nodeset" in found.remedy
