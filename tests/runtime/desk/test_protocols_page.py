"""docs/protocols.md and docs/opcua.md say what the code does: messages, topics, metrics, states and methods."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from regad.runtime.desk.sinks.message import AlarmMessage, StateMessage, VerdictMessage
from regad.runtime.desk.sinks.metrics import PartCounts, metrics_text
from regad.runtime.desk.sinks.post import signature
from regad.runtime.desk.sinks.requests import COMMANDS, Response, carry_out
from regad.runtime.desk.watch import Heard
from regad.runtime.station.codes import State
from regad.runtime.station.config_file import parse_config, read_document

from ..doc_tables import blocks_of, commands_of, rows_of
from .sink_doubles import Line
from .test_metrics import SERVICES, a_row

ROOT = Path(__file__).resolve().parents[3]
PAGE = "\n".join((ROOT / "docs" / name).read_text() for name in ("protocols.md", "opcua.md"))


def table(first: str) -> list[list[str]]:
    return rows_of(PAGE, first)


def names(rows: list[list[str]]) -> list[str]:
    return [name.strip() for row in rows for name in row[0].split(",")]


def encoded(kind: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(kind)]


def test_every_field_of_a_parts_message_is_listed() -> None:
    assert sorted(names(table("field"))) == sorted(encoded(VerdictMessage))


def test_the_topics_name_the_fields_that_are_sent() -> None:
    payloads = {row[0].removeprefix("regad/STATION/"): row[3] for row in table("topic")}
    for topic, kind in (("state", StateMessage), ("alarm", AlarmMessage), ("response", Response)):
        assert ", ".join(encoded(kind)) in payloads[topic]
    assert set(payloads) == {"state", "job", "verdict", "alarm", "health", "cmd/COMMAND", "response"}
    for command in COMMANDS:
        assert f"`{command}`" in PAGE


def test_every_family_of_the_metrics_is_listed_with_its_type() -> None:
    counts = PartCounts()
    counts.add(a_row())
    text = metrics_text(counts, Heard(1, Line().handle({"command": "status"}), ""), SERVICES)
    found = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert {row[0]: row[1] for row in table("family")} == found


def test_the_code_that_checks_a_signature_does() -> None:
    (code,) = blocks_of(PAGE, "python")
    given: dict[str, object] = {}
    exec(code, given)
    check = given["is_genuine"]
    assert callable(check)
    now = str(int(__import__("time").time()))
    good = signature("topsecret", now, b"{}")
    assert check(b"topsecret", now, good, b"{}")
    assert not check(b"topsecret", now, good, b"[]")
    assert not check(b"other", now, good, b"{}")
    assert not check(b"topsecret", "1000", signature("topsecret", "1000", b"{}"), b"{}")


def test_the_configuration_of_the_page_is_read(tmp_path: Path) -> None:
    tables = "\n".join(blocks_of(PAGE, "toml"))  # both pages begin with [desk]
    (tmp_path / "station.toml").write_text(tables.replace("[desk]", "", 1))
    document = read_document(tmp_path / "station.toml")
    assert {*document} == {"desk", "mqtt", "webhook", "opcua", "metrics"}
    _, faults = parse_config(document, tmp_path)
    assert {fault.key for fault in faults} == {"model", "camera", "job"}  # what the page leaves out


def test_the_command_of_the_page_is_answered_as_the_page_says() -> None:
    (line,) = commands_of(PAGE, "mosquitto_pub")
    told = shlex.split(line)
    topic, payload = told[told.index("-t") + 1], told[told.index("-m") + 1]
    (text,) = (block for block in blocks_of(PAGE, "text") if block.startswith("regad/press/response"))
    link: Any = SimpleNamespace(ask=lambda command, **fields: {})
    response = carry_out(link, topic.removeprefix("regad/press/cmd/"), payload.encode())
    assert text.strip() == f"regad/press/response {msgspec.json.encode(response).decode()}"


def test_every_key_of_the_page_is_one_of_the_configuration() -> None:
    keys = set(re.findall(r"`((?:station|trigger|trace|mqtt|opcua|webhook)\.[a-z_]+)", PAGE)) - {"station.toml"}
    assert len(keys) > 6
    for key in sorted(keys):
        name, field = key.split(".")
        _, faults = parse_config({name: {field: None}}, Path("/s"))
        assert not any("is not known" in fault.text for fault in faults), key


def test_the_states_and_methods_of_the_page_are_those_of_the_server() -> None:
    pytest.importorskip("asyncua", reason="needs asyncua: pip install 'regad[opcua]'")
    from regad.runtime.desk.opcua import tree

    page = {name: (row[1], row[2]) for row in table("state of the station") for name in row[0].split(", ")}
    told = {name: (outer[0], inner[0] if inner else "") for name, (outer, inner) in tree.STATES.items()}
    assert page == told
    assert set(told) == {state.name for state in State}
    assert set(names(table("variable of Station"))) == {*tree._NOW, *(f"Last{name}" for name in tree._LAST)}


def test_the_pace_of_the_page_is_that_of_the_server() -> None:
    pytest.importorskip("asyncua", reason="needs asyncua: pip install 'regad[opcua]'")
    from regad.runtime.desk.opcua.access import Paces

    calls, looks = Paces().calls._bucket, Paces().looks._bucket
    said = f"{calls._rate:.0f} calls and {looks._rate:.0f} reads or browses a second, after"
    assert f"{said} {calls._burst:.0f} and {looks._burst:,.0f} at once" in " ".join(PAGE.split())
