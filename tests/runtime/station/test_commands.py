"""The command socket: one JSON object a line each way, for one user alone, and clients that do not behave."""

from __future__ import annotations

import json
import socket
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regad.runtime.errors import DeviceError, InputError
from regad.runtime.station import commands
from regad.runtime.station.commands import CommandServer, bind_unix
from regad.runtime.station.pacing import Bucket, Queue

from .modbus_doubles import Clock


class Station:
    """Answers what it is asked, and keeps a promise for each ``later``."""

    def __init__(self) -> None:
        self.promised: Future[dict[str, Any]] = Future()
        self.asked = threading.Event()

    def __call__(self, request: dict[str, Any]) -> dict[str, Any] | Future[dict[str, Any]]:
        command = request.get("command")
        if command == "refuse":
            raise DeviceError("the camera is closed; open it", code="closed")
        if command == "fail":
            raise ZeroDivisionError("by zero")
        if command == "big":
            return {"text": "x" * 50_000}
        if command == "later":
            self.asked.set()
            return self.promised
        return {"echo": command}


class Client:
    """One connection, with lines in both directions."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_error: object) -> None:
        self.file.close()
        self.socket.close()

    def send(self, line: bytes) -> None:
        self.socket.sendall(line)

    def receive(self) -> Any:
        """The next answer; None at the end."""
        line = self.file.readline()
        return json.loads(line) if line else None

    def ask(self, request: object) -> Any:
        self.send(json.dumps(request).encode() + b"\n")
        return self.receive()


@pytest.fixture
def station() -> Station:
    return Station()


@pytest.fixture
def server(tmp_path: Path, station: Station) -> Iterator[CommandServer]:
    with CommandServer(tmp_path / "s.sock", station) as made:
        made.start()
        yield made


def test_requests_are_answered_in_order_with_their_id(server: CommandServer) -> None:
    with Client(server.path) as client:
        client.send(b'{"command": "a", "id": 1}\n{"command": "b", "id": "two"}\n{"command": "c"}\n')
        assert [client.receive() for _ in range(3)] == [
            {"ok": True, "echo": "a", "id": 1},
            {"ok": True, "echo": "b", "id": "two"},
            {"ok": True, "echo": "c"},
        ]


def test_the_socket_is_for_its_owner_alone(server: CommandServer) -> None:
    assert stat.S_IMODE(server.path.stat().st_mode) == 0o600
    assert [path.name for path in server.path.parent.iterdir()] == ["s.sock"]


def test_an_error_is_one_line_with_a_code_and_the_connection_goes_on(server: CommandServer) -> None:
    with Client(server.path) as client:
        refused = {"ok": False, "error": "the camera is closed; open it", "code": "closed", "id": 5}
        assert client.ask({"command": "refuse", "id": 5}) == refused
        failed = {"ok": False, "error": "the station failed: ZeroDivisionError: by zero", "code": "internal"}
        assert client.ask({"command": "fail"}) == failed
        assert client.ask({"command": "a"}) == {"ok": True, "echo": "a"}


@pytest.mark.parametrize("line", [b"hello", b"[1, 2]", b'{"command": ', b"\xff\xfe", b"null", b"", b"[" * 5000])
def test_what_is_no_request_is_answered_so(server: CommandServer, line: bytes) -> None:
    with Client(server.path) as client:
        client.send(line + b"\n")
        answer = client.receive()
        assert (answer["ok"], answer["code"]) == (False, "not_json")
        assert client.ask({"command": "a"})["echo"] == "a"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300).filter(lambda data: b"\n" not in data))
def test_any_line_gets_one_answer(server: CommandServer, line: bytes) -> None:
    with Client(server.path) as client:
        client.send(line + b"\n")
        assert isinstance(client.receive()["ok"], bool)
        assert client.ask({"command": "a"})["echo"] == "a"


def test_a_line_that_is_too_long_ends_its_connection_alone(server: CommandServer) -> None:
    with Client(server.path) as client, Client(server.path) as other:
        client.send(b'{"command": "' + b"x" * 70_000)
        answer = client.receive()
        assert (answer["code"], answer["error"][:40]) == ("too_long", "the line is longer than 65536 bytes; sen")
        assert other.ask({"command": "a"})["echo"] == "a"


def test_an_answer_that_takes_time_holds_up_its_own_client_alone(server: CommandServer, station: Station) -> None:
    with Client(server.path) as client, Client(server.path) as other:
        client.send(b'{"command": "later"}\n{"command": "a"}\n')
        assert station.asked.wait(30)
        assert other.ask({"command": "b"})["echo"] == "b"
        station.promised.set_result({"verdict": "pass"})
        assert client.receive() == {"ok": True, "verdict": "pass"}
        assert client.receive() == {"ok": True, "echo": "a"}


def test_a_promise_that_fails_is_an_error(server: CommandServer, station: Station) -> None:
    with Client(server.path) as client:
        client.send(b'{"command": "later"}\n')
        assert station.asked.wait(30)
        station.promised.set_exception(InputError("the job is gone"))
        assert client.receive() == {"ok": False, "error": "the job is gone", "code": "refused"}


def test_fifty_clients_that_read_nothing_do_not_keep_another_one_from_its_answers(server: CommandServer) -> None:
    slow = [Client(server.path) for _ in range(50)]
    try:
        for client in slow:
            client.send(b'{"command": "big"}\n' * 100)
        with Client(server.path) as client:
            for number in range(10):
                assert client.ask({"command": "a", "id": number}) == {"ok": True, "echo": "a", "id": number}
    finally:
        for client in slow:
            client.__exit__()


def test_however_many_clients_ask_the_answers_are_those_of_the_allowance_and_a_trigger_goes_first(
    tmp_path: Path, station: Station
) -> None:
    """The allowance does not fill while the clock stands still: beyond it only triggers are answered."""
    server = CommandServer(tmp_path / "s.sock", station)
    clock = Clock()
    server._first, server._others = Queue(Bucket(10.0, 3, clock=clock)), Queue(Bucket(10.0, 20, clock=clock))
    asked: list[str] = []
    spent = threading.Event()

    def handle(request: dict[str, Any]) -> dict[str, Any] | Future[dict[str, Any]]:
        asked.append(request["command"])
        if asked.count("a") == 20:
            spent.set()
        return station(request)

    server._handle = handle
    with server, ExitStack() as stack:
        server.start()
        for client in [stack.enter_context(Client(server.path)) for _ in range(10)]:
            client.send(b'{"command": "a"}\n' * 100)
        assert spent.wait(30)
        with Client(server.path) as line:
            for number in range(3):
                assert line.ask({"command": "trigger", "id": number})["id"] == number
    assert (asked.count("a"), asked.count("trigger")) == (20, 3)


def test_a_client_that_reads_nothing_for_long_is_cut_off(
    server: CommandServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_PATIENCE", 0.0)
    with Client(server.path) as slow, Client(server.path) as other:
        slow.send(b'{"command": "big"}\n' * 1000)
        assert other.ask({"command": "a"})["ok"]
        try:
            received = len(slow.file.read())
        except ConnectionResetError:
            received = 0
        assert received < 50_000 * 1000
        assert other.ask({"command": "a"})["ok"]


def test_more_clients_than_there_is_room_for_are_told_so(server: CommandServer) -> None:
    clients = [Client(server.path) for _ in range(64)]
    try:
        assert all(client.ask({"command": "a"})["ok"] for client in clients)
        with Client(server.path) as late:
            assert late.receive()["code"] == "busy"
            assert late.receive() is None
    finally:
        for client in clients:
            client.__exit__()


def test_closing_ends_the_connections_and_removes_the_socket(tmp_path: Path, station: Station) -> None:
    server = CommandServer(tmp_path / "s.sock", station)
    server.start()
    with Client(server.path) as client:
        client.ask({"command": "a"})
        server.close()
        server.close()
        assert client.file.read() == b""
    assert not server.path.exists()
    assert not server.alive
    assert server.failure is None


def test_the_socket_of_a_dead_process_is_replaced(tmp_path: Path, station: Station) -> None:
    bind_unix(tmp_path / "s.sock").close()
    assert (tmp_path / "s.sock").exists()
    with CommandServer(tmp_path / "s.sock", station) as server:
        server.start()
        with Client(server.path) as client:
            assert client.ask({"command": "a"})["ok"]


def test_a_second_station_is_refused_and_the_first_goes_on(server: CommandServer, station: Station) -> None:
    with pytest.raises(InputError, match=r"s\.sock is in use: another station runs here; stop it"):
        CommandServer(server.path, station).start()
    with Client(server.path) as client:
        assert client.ask({"command": "a"})["ok"]


def test_a_file_that_is_no_socket_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "s.sock").write_text("mine")
    with pytest.raises(InputError, match=r"is no socket; it is left as it is"):
        bind_unix(tmp_path / "s.sock")
    assert (tmp_path / "s.sock").read_text() == "mine"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be made \(No such file or directory\); create .*/none, or choose"):
        bind_unix(tmp_path / "none" / "s.sock")


def test_a_server_that_was_not_started_can_be_closed(tmp_path: Path, station: Station) -> None:
    CommandServer(tmp_path / "s.sock", station).close()
