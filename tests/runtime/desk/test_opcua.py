"""The OPC UA server against asyncua's client in another process: who may do what, states, results, events, methods."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("asyncua", reason="needs asyncua: pip install 'regad[opcua]'")

from asyncua import ua

from regad.runtime.desk.opcua import access
from regad.runtime.desk.opcua.access import Caller, Rules, StationUsers
from regad.runtime.desk.opcua.service import OpcuaService
from regad.runtime.desk.service import Surroundings
from regad.runtime.errors import InputError
from regad.runtime.station.commands import CommandServer
from regad.runtime.station.config_protocols import OpcuaConfig
from regad.runtime.station.users import remove_user, set_password

from ...needs import NODESET, needs
from .sink_doubles import Books, Line, Watched, around, free_port, until

pytestmark = needs("OPC UA NodeSet")
CLIENT = Path(__file__).with_name("opcua_client.py")
PASSWORD = "correct horse"


class Running(SimpleNamespace):
    """A server at work: `line` stands behind it, `books` is its trace, `said` what it said."""

    line: Line
    books: Books
    service: OpcuaService
    folder: Path
    client: Any
    said: list[str]

    def begin(self, what: str, user: str | None = "anna", password: str = PASSWORD, plain: bool = False) -> None:
        """Give the client an order."""
        self.client.stdin.write(json.dumps([what, user, password, plain]) + "\n")
        self.client.stdin.flush()

    def said_by_client(self) -> str:
        return str(self.client.stdout.readline())

    def ask(self, what: str, **who: Any) -> Any:
        self.begin(what, **who)
        return json.loads(self.said_by_client())

    def open_client(self) -> subprocess.Popen[str]:
        command = [sys.executable, str(CLIENT), self.service.address, str(self.folder)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def client_certificate(folder: Path) -> None:
    subject = ("-subj", "/CN=test client", "-addext", "subjectAltName=URI:urn:regad:test:client,DNS:localhost")
    usage = ("-addext", "keyUsage=digitalSignature,nonRepudiation,keyEncipherment,dataEncipherment")
    files = ("-keyout", "client.pem", "-out", "client.crt", "-days", "2")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *files, *subject, *usage]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    to_der = ["openssl", "x509", "-in", "client.crt", "-outform", "der", "-out", "client.der"]
    subprocess.run(to_der, cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all: it takes seconds to start. Commands are allowed, and so is reading without a login."""
    folder = tmp_path_factory.mktemp("opcua")
    users = folder / "users.json"
    set_password(users, "anna", PASSWORD, "operator")
    set_password(users, "vic", PASSWORD, "viewer")
    client_certificate(folder)
    line = Line()
    config = OpcuaConfig(
        nodeset=NODESET, port=free_port(), users=users, anonymous=True, unencrypted=True, commands=True
    )
    with ExitStack() as stack:
        stack.enter_context(CommandServer(folder / "s", line.handle)).start()
        books = stack.enter_context(Books(folder / "trace"))
        books.add(3)
        given = around(folder, line, opcua=config)
        said: list[str] = []
        given = Surroundings(given.config, given.path, given.link, given.watch, said.append)
        stack.enter_context(given.link)
        service = stack.enter_context(OpcuaService(given, config))
        service.start()
        until(service.listening.is_set, "the server")
        (folder / "s.der").write_bytes((given.state / "opcua-certificate.der").read_bytes())
        running = Running(line=line, books=books, service=service, folder=folder, said=said)
        running.client = running.open_client()
        stack.callback(lambda: running.client.communicate())
        yield running


def test_the_tree_is_that_of_a_vision_system(running: Running) -> None:
    found = running.ask("browse")
    assert found["type"].endswith(":VisionSystemType")
    machine = "VisionStateMachine"
    assert {
        *(f"{machine}/{name}" for name in ("CurrentState", "Halt", "Reset", "SelectModeAutomatic", "ConfirmAll")),
        f"{machine}/AutomaticModeStateMachine/StartSingleJob",
        "RecipeManagement/PrepareRecipe/InputArguments",
        "ResultManagement/GetResultListFiltered/OutputArguments",
    } <= set(found["nodes"])


def test_the_states_are_those_of_the_specification_and_nothing_is_claimed_of_a_line_that_is_away(
    running: Running,
) -> None:
    watch = running.service.around.watch
    assert isinstance(watch, Watched)
    running.line.image["state"] = "READY"
    watch.hear(running.line.handle({"command": "status"}))
    until(lambda: running.ask("states")["plain"]["State"] == "READY", "the state")
    found = running.ask("states")
    assert found["states"] == ["Operational", 5031, "Ready", 5057]
    assert (found["plain"]["Ready"], found["plain"]["Job"], found["plain"]["Parts"]) == (True, 1, 7)
    watch.hear(None)
    until(lambda: running.ask("states")["plain"]["State"] == "BadNoCommunication", "the end")
    assert {*running.ask("states")["states"]} == {"BadNoCommunication"}
    watch.hear({**running.line.handle({"command": "status"}), "image": running.line.image | {"state": "FAULT"}})
    until(lambda: running.ask("states")["plain"]["State"] == "FAULT", "the fault")
    assert running.ask("states")["states"] == ["Error", 5030, "BadStateNotActive", "BadStateNotActive"]
    watch.hear(running.line.handle({"command": "status"}))


def test_each_part_is_an_event_with_its_message(running: Running) -> None:
    running.begin("events")
    assert running.said_by_client() == "listening\n"
    running.books.add(3, serial="A17", simulated=True)
    found = json.loads(running.said_by_client())
    contents = [json.loads(one["content"]) for one in found]
    assert [one["seq"] for one in contents] == list(range(running.books.seq - 2, running.books.seq + 1))
    assert [one["id"] for one in found] == [one["key"] for one in contents]
    assert [(one["simulated"], one["recipe"], one["state"]) for one in found] == [(True, "3", 1)] * 3
    assert running.ask("states")["plain"]["LastKey"] == contents[-1]["key"]
    assert running.ask("states")["plain"]["LastPass"] is False


def test_results_are_listed_the_newest_first_and_found_by_their_id(running: Running) -> None:
    running.books.add(2, verdict=4, output=4, serial="B2", ms_judge=12.5)
    found = {}

    def newest_came() -> bool:
        found.update(running.ask("results"))
        return bool(found["list"][3][0]["PartId"]["Id"] == "B2")

    until(newest_came, "the results")
    complete, count, _, listed, error = found["list"]
    assert (complete, count, error, len(listed)) == (False, 2, 0, 2)  # from the second on, at most two
    assert listed[0]["ResultState"] == 4
    assert listed[0]["ExternalRecipeId"]["Id"] == "3"
    assert listed[0]["ProcessingTimes"]["ProcessingDuration"] == 12.5
    assert found["one"][1:] == [listed[0], 0]
    assert found["parts"][4] == 4
    assert found["parts"][-1] == 0
    assert found["none"][1:] == [None, -1]
    assert found["wrong"] == "BadInvalidArgument"


def test_jobs_are_the_recipes(running: Running) -> None:
    complete, count, _, (recipe,), error = running.ask("recipes")
    assert (complete, count, error) == (True, 1, 0)
    assert (recipe["Id"], recipe["HashAlgorithm"]) == ("1", "SHA256")
    assert "gear" in str(recipe["Description"])


def test_an_operator_moves_the_station_by_the_methods(running: Running) -> None:
    running.line.asked.clear()
    found = running.ask("commands")
    assert found["SelectModeAutomatic"] == found["Reset"] == 0
    assert found["ConfirmAll"] is None or found["ConfirmAll"] == []
    assert found["StartSingleJob"] == [{"Id": "1-42"}, 0]
    assert (found["PrepareRecipe"][0]["Id"], found["PrepareRecipe"][1:]) == ("1", [False, 0])
    assert found["unknown job"][1:] == found["no job"][1:] == [False, -1]
    assert found["other job"] == [{"Id": ""}, -1]
    assert found["Halt"] == found["Stop"] == found["UnprepareRecipe"] == "BadNotSupported"
    asked = [one for one in running.line.asked if one["command"] not in ("status", "audit")]
    assert asked == [
        *({"command": name} for name in ("start", "stop", "reset", "reset")),
        {"command": "trigger", "serial": "A17"},
        {"command": "job", "number": 1},
        {"command": "job", "number": 99},
    ]
    assert "opcua: anna asked for job {'number': 1}" in running.said
    found = [(one["by"], one["action"], one["after"]) for one in running.line.asked if one["command"] == "audit"]
    assert {by for by, _, _ in found} == {"opcua anna"}
    assert [row[1:] for row in found[:4]] == [("start", "done"), ("stop", "done"), ("reset", "done"), ("reset", "done")]
    assert found[4][1] == "trigger" and found[4][2].startswith("done; the next ones are not recorded")
    assert found[5][1:] == ("job", "1: done")
    assert found[6][1:] == ("job", "99: refused: there is no job 99; add it")
    assert [(action, after.split(":")[0]) for _, action, after in found[7:]] == [
        ("PrepareRecipe", "refused"),
        ("StartSingleJob", "refused"),
    ]


def test_a_viewer_and_one_without_a_login_move_nothing(running: Running) -> None:
    running.line.asked.clear()
    for who in ({"user": "vic"}, {"user": None}):
        found = running.ask("commands", **who)
        refused = ("SelectModeAutomatic", "Reset", "ConfirmAll", "StartSingleJob", "PrepareRecipe")
        assert {found[name] for name in refused} == {"BadUserAccessDenied"}
    audits = [one for one in running.line.asked if one["command"] == "audit"]
    assert audits == running.line.asked, "nothing but the audit trail was written"
    assert {(one["by"], one["after"]) for one in audits} == {
        ("opcua vic", "refused: not allowed"),
        ("opcua anonymous", "refused: not allowed"),
    }


def test_nobody_writes_or_adds_a_node(running: Running) -> None:
    assert running.ask("write") == ["BadUserAccessDenied", "BadUserAccessDenied"]


def test_a_wrong_password_and_a_login_without_encryption_are_refused(running: Running) -> None:
    assert running.ask("states", password="wrong") == "BadUserAccessDenied"
    assert running.ask("states", user="nobody") == "BadUserAccessDenied"
    assert running.ask("states", plain=True) == "BadUserAccessDenied"
    assert running.ask("states", user=None, plain=True)["plain"]["State"]
    assert "opcua: anna logged in without encryption, and was refused" in running.said
    assert not any(PASSWORD in one for one in running.said)


def test_a_session_ends_when_its_user_goes(running: Running) -> None:
    users = running.folder / "users.json"
    set_password(users, "temp", PASSWORD, "viewer")
    running.begin("lasting", user="temp")
    assert running.said_by_client() == "listening\n"
    remove_user(users, "temp")
    assert json.loads(running.said_by_client()) == "BadUserAccessDenied"
    assert running.service.health().ok


def test_who_guesses_waits_and_a_changed_password_ends_what_it_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def is_password(users: object, name: str, password: str) -> bool:
        tried.append(password)
        return password == PASSWORD

    monkeypatch.setattr("regad.runtime.desk.opcua.access.is_password", is_password)
    users, said = tmp_path / "users.json", list[str]()
    for name in ("anna", "ben"):
        set_password(users, name, PASSWORD, "operator")
    made = StationUsers(users, False, said.append)

    def login(name: str, password: str, client: str) -> Any:
        access.CLIENT.set(client)
        return made.get_user(None, name, password, b"certificate")  # type: ignore[arg-type]

    caller = login("anna", PASSWORD, "10.0.0.1")
    assert made.still(caller)
    for number in range(3):
        assert login("anna", f"wrong {number}", "10.0.0.2") is None
    assert login("anna", PASSWORD, "10.0.0.1") is None, "the name waits"
    assert login("ben", PASSWORD, "10.0.0.2") is None, "the address waits"
    assert login("ben", PASSWORD, "10.0.0.3") is not None, "another one does not"
    assert tried.count(PASSWORD) == 2 and "has to wait" in said[-1]
    rules = Rules(made)
    read, close = (
        ua.NodeId(getattr(ua.ObjectIds, f"{name}Request_Encoding_DefaultBinary")) for name in ("Read", "CloseSession")
    )
    assert rules.check_validity(caller, read, None)
    set_password(users, "anna", "another password", "operator")
    assert not rules.check_validity(caller, read, None) and rules.check_validity(caller, close, None)
    assert not made.still(Caller()), "without a login nobody is let in here"
    users.chmod(0o644)
    assert not made.still(login("ben", PASSWORD, "10.0.0.3") or caller)


def test_a_client_that_vanishes_and_one_that_talks_nonsense_leave_the_server_as_it_was(running: Running) -> None:
    running.begin("drop")
    assert running.said_by_client() == "listening\n"
    running.client.kill()
    running.client.communicate()
    running.client = running.open_client()
    with socket.create_connection(("127.0.0.1", running.service.config.port)) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
    running.books.add()
    assert running.ask("states")["plain"]["LastKey"]
    assert running.service.health().ok


def test_the_key_that_the_server_made_is_for_its_user_alone_and_kept(running: Running) -> None:
    key = running.service.around.state / "opcua-key.pem"
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_port_in_use_and_a_missing_extra_are_told_at_the_start(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = running.service.config
    with pytest.raises(InputError, match=r"port \d+ cannot be used \(Address already in use\)"):
        OpcuaService(around(tmp_path, opcua=config), config).start()
    monkeypatch.setattr("regad.runtime.desk.opcua.service.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'regad\[opcua\]'"):
        OpcuaService(around(tmp_path, opcua=config), config).start()
