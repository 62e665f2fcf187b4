"""The station's pages say what the code does: tables against numbers, command lines and keys against the CLI."""

from __future__ import annotations

import json
import re
import shlex
from concurrent.futures import Future
from configparser import RawConfigParser
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Any

import pytest

from regad.runtime.station import codes, modbus
from regad.runtime.station.cli import command
from regad.runtime.station.codes import Control, Fault, Flag, State, Status, VerdictCode
from regad.runtime.station.config import TriggerConfig
from regad.runtime.station.config_file import parse_config
from regad.runtime.station.desk_requests import DeskRequests
from regad.runtime.station.holding import Holding
from regad.runtime.station.image import PlcWords, ProcessImage, Shown
from regad.runtime.station.modbus_requests import Error
from regad.runtime.station.mode_switch import ModeSwitch
from regad.runtime.station.part import Answer, Outcome, Token
from regad.runtime.station.registers import output_words, plc_words
from regad.runtime.station.requests import Requests, _Once
from regad.runtime.station.trace.inspection import TraceAlarm

from ..doc_tables import blocks_of, commands_of, rows_of

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("registers", "gpio", "station", "socket", "trace")
PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text() for name in NAMES}
PAGE = "\n".join(PAGES.values())
SAID = " ".join(PAGE.split())
UNIT = ROOT / "packaging" / "regad-station.service"


def table(first: str) -> list[list[str]]:
    return rows_of(PAGE, first)


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        ("CONTROL bit", Control),
        ("STATUS bit", Status),
        ("FLAGS bit", Flag),
        ("VERDICT", VerdictCode),
        ("state", State),
        ("error", Fault),
        ("code", TraceAlarm),
    ],
)
def test_a_table_lists_every_number_by_its_name(first: str, kind: type[IntEnum] | type[IntFlag]) -> None:
    members = {member.name: int(member) for member in kind}
    members = {name: value for name, value in members.items() if value or kind in (VerdictCode, State)}
    if issubclass(kind, IntFlag):
        members = {name: value.bit_length() - 1 for name, value in members.items()}
    assert {row[1]: int(row[0]) for row in table(first)} == members


def span(row: list[str]) -> tuple[int, int]:
    first, _, last = row[0].partition("-")
    return int(first), int(last or first)


def test_the_map_has_every_word_once() -> None:
    words = [word for row in table("word") for word in range(span(row)[0], span(row)[1] + 1)]
    assert words == [*range(14), *range(100, 120)]


def test_the_words_that_a_plc_writes_mean_what_the_map_says() -> None:
    places = {row[1]: span(row) for row in table("word") if span(row)[0] < 100}
    words = [0] * 14
    words[places["CONTROL"][0]] = 5
    words[places["trigger_seq"][0]] = 1234
    words[places["job"][0]] = 7
    words[places["part_id"][0]], words[places["part_id"][1]] = 1, 2
    words[places["serial"][0]] = int.from_bytes(b"AB", "big")
    words[places["plc_heartbeat"][0]] = 99
    assert plc_words(words, 3) == PlcWords(5, 1234, 7, 65538, "AB", 99, 3)
    assert 2 * (places["serial"][1] - places["serial"][0] + 1) == 16


def test_the_words_that_a_plc_reads_mean_what_the_map_says() -> None:
    shown = Shown(tag=11, part_id=65538, verdict=VerdictCode.REVIEW, percent=87.0, ms=61.0, spot=(5, 6))
    image = ProcessImage(
        **{"state": State.RESULT, "status": Status.VALID | Status.ONLINE, "fault": Fault.JUDGE, "job": 21},
        **{"accepted": 22, "heartbeat": 24, "shown": shown, "flags": Flag.CLOCK_BAD, "parts": 25, "rejects": 26},
        **{"missed": 27, "late": 28},
    )
    expected = {
        **{"STATUS": [17], "heartbeat": [24], "state": [5], "error": [30], "active job": [21], "accepted seq": [22]},
        **{"parts": [25], "rejects": [26], "missed": [27], "late": [28], "result_seq": [11], "part_id": [1, 2]},
        **{"VERDICT": [3], "score": [87], "ms": [61], "spot": [5, 6], "FLAGS": [16]},
    }
    words = output_words(image)
    for row in table("word"):
        first, last = span(row)
        if first >= 100:
            assert words[first - 100 : last - 99] == expected[row[1]], row[1]


def test_the_page_says_that_words_without_a_result_are_nothing() -> None:
    words = output_words(ProcessImage(shown=Shown(tag=1, verdict=VerdictCode.PASS, percent=5.0, ms=5.0, spot=(1, 1))))
    assert words[10:18] == [0] * 8
    assert words[19] == 0


def test_the_structured_text_uses_the_bits_and_words_of_the_map() -> None:
    (text,) = blocks_of(PAGE, "iecst")
    bits = {Status(1 << int(bit)) for bit in re.findall(r"fromStation\[100\]\.(\d+)", text)}
    assert bits == {Status.ONLINE, Status.ERROR, Status.SIMULATED, Status.VALID}
    assert set(re.findall(r"fromStation\[(\d+)\]", text)) == {"100", "101", "110", "113", "119"}
    assert set(re.findall(r"toStation\[(\d+)\]", text)) == {"0", "1", "3", "4", "13"}
    assert f"fromStation[113] = {VerdictCode.PASS:d}" in text
    assert f"toStation[0] := 16#{Control.ENABLE:04X}" in text
    assert f"toStation[0] := 16#{Control.ENABLE | Control.TRIGGER:04X}" in text


def test_the_exceptions_of_the_page_are_those_of_the_server() -> None:
    assert [int(row[0]) for row in table("exception")] == [int(error) for error in Error]


def test_the_limits_of_the_page_are_those_of_the_server() -> None:
    (writer, *_), (others, *_), (arrivals, *_) = modbus._WRITER, modbus._OTHERS, modbus._ARRIVALS
    assert f"up to {writer:,.0f} requests a second" in SAID
    assert f"they share {others:.0f} requests a second, and {arrivals:.0f} new connections a second" in SAID
    assert f"{modbus._SILENCE:.0f} s of silence" in SAID
    assert f"`trigger.hold_ms` ({TriggerConfig().hold_ms} ms)" in SAID


def test_the_commands_of_the_page_are_those_of_the_socket() -> None:
    desk = DeskRequests(lambda remark: None, lambda wish: None)
    holding = Holding(Path(), lambda event: None, lambda remark: None)
    job = {"number": 1, "name": "one", "category": "one", "sha256": "0" * 64}
    config, _ = parse_config({"model": {"path": "m"}, "camera": {"source": "camera:0"}, "job": [job]}, Path("/s"))
    assert config is not None
    mode = ModeSwitch(config, lambda event: None)
    known = Requests(codes.TriggerKind.COMMAND, lambda event: None, dict, lambda: 0, desk, holding, mode)
    named = {name.strip() for row in table("command") for name in row[0].split(",")}
    assert named == set(known._handlers)


def test_the_answer_of_the_page_has_the_fields_that_a_trigger_is_answered_with() -> None:
    (text,) = (block for block in blocks_of(PAGES["socket"], "text") if block.startswith('{"ok"'))
    future: Future[dict[str, Any]] = Future()
    judged = Outcome(VerdictCode.PASS, score=0.81, threshold=1.32, reason="good")
    _Once(future, False)(Answer(Token(1, 1), VerdictCode.PASS, 61.2, judged, None))
    assert list(json.loads(text).items()) == [("ok", True), *future.result().items(), ("id", 1)]
    late: Future[dict[str, Any]] = Future()
    _Once(late, False)(Answer(Token(1, 1), VerdictCode.LATE, 1000.0, None, None))
    assert [*future.result()][3:8] == ["score", "threshold", "warn", "reason", "error"]
    assert not {"score", "threshold", "warn", "reason", "error"} & set(late.result())
    assert "`score` to `error` are missing" in SAID


def test_every_command_line_of_the_page_can_be_parsed() -> None:
    lines = [shlex.split(line, comments=True) for line in commands_of(PAGE, "regad-station")]
    assert {line[0] for line in lines} >= {"simulate", "init", "check", "run", "export", "import", "rejudge", "teach"}
    for name, *rest in lines:
        command.commands[name].make_context(name, rest)


def test_every_key_of_the_page_is_one_of_the_configuration() -> None:
    tables = "station|model|camera|trigger|modbus|commands|trace|desk|gpio"
    keys = set(re.findall(rf"`((?:{tables})\.[a-z_]+)", PAGE)) - {"model.regad", "station.toml", "station.sock"}
    assert len(keys) > 10
    for key in sorted(keys):
        name, field = key.split(".")
        _, faults = parse_config({name: {field: None}}, Path("/s"))
        assert not any("is not known" in fault.text for fault in faults), key


def test_the_unit_runs_the_station_hardened() -> None:
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text())
    service = dict(parser["Service"])
    program, name, *rest = service["ExecStart"].split()
    assert program.endswith("/regad-station")
    command.commands[name].make_context(name, rest)
    wanted = {
        **{"Type": "notify", "ProtectSystem": "strict", "NoNewPrivileges": "yes", "PrivateTmp": "yes", "User": "regad"},
        **{"DevicePolicy": "closed", "ProtectHome": "yes", "Restart": "always"},
    }
    assert {key: service[key] for key in wanted} == wanted
    assert int(service["WatchdogSec"]) * 1000 > 2 * 1000
    assert f"`WatchdogSec={service['WatchdogSec']}`" in PAGES["station"]
