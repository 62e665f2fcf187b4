"""MQTT against Debian's mosquitto: absent, killed, restarted, with TLS and passwords, refusing, and after our death."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from regad.runtime.desk.sinks import mqtt as module
from regad.runtime.desk.sinks.cursor import Cursor
from regad.runtime.desk.sinks.mqtt import MqttSink
from regad.runtime.errors import InputError
from regad.runtime.station.commands import CommandServer
from regad.runtime.station.config_protocols import MqttConfig
from regad.runtime.station.secret import Secret

from ...needs import needs
from .sink_doubles import Books, Line, Mosquitto, Watched, around, make_ca, private, subscriber, until

pytestmark = needs("mosquitto")
BASE = "regad/press"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path, "allow_anonymous true") as made:
        yield made


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    with Books(tmp_path / "trace") as made:
        yield made


@contextmanager
def sink(folder: Path, port: int, line: Line | None = None, **options: Any) -> Iterator[MqttSink]:
    config = MqttConfig(**{"host": "127.0.0.1", "port": port, "tls": False} | options)
    given = around(folder, line, mqtt=config)
    made = MqttSink(given, config)
    made.start()
    try:
        yield made
    finally:
        made.close()
        given.link.close()


def seqs(ears: Any, count: int) -> list[int]:
    return [ears.next(f"{BASE}/verdict")["seq"] for _ in range(count)]


def test_a_broker_that_is_absent_at_the_start_gets_everything_once_it_is_there(
    tmp_path: Path, broker: Mosquitto, books: Books
) -> None:
    books.add(2)
    with sink(tmp_path, broker.port) as mqtt:
        until(lambda: mqtt.behind == 0, "the start")  # at the newest part
        books.add(25)
        until(lambda: mqtt.behind == 25 and "cannot be reached: Connection refused" in mqtt.health().text, "a refusal")
        broker.start()
        until(lambda: mqtt.behind == 0, "the delivery")
        assert mqtt.health() == (type(mqtt.health()))(True, f"connected to 127.0.0.1:{broker.port}", 0)
    assert Cursor(tmp_path / "trace" / "desk" / "mqtt.cursor").place.row == 27  # type: ignore[union-attr]


def test_state_job_and_alarms_are_told_and_the_retained_ones_to_those_who_come_later(
    tmp_path: Path, broker: Mosquitto, books: Books
) -> None:
    broker.start()
    line = Line()
    with sink(tmp_path, broker.port, line) as mqtt:
        until(lambda: mqtt.behind == 0, "the start")
        with subscriber(broker.port) as (_, ears):
            state = ears.next(f"{BASE}/state")
            assert (state["online"], state["state"], state["job"], state["mode"]) == (True, "READY", 1, "live")
            watch = mqtt.around.watch
            assert isinstance(watch, Watched)
            books.event("info", 0, "nothing to tell")
            books.event("alarm", 10, "the camera gives no frames")
            alarm = ears.next(f"{BASE}/alarm")
            assert (alarm["name"], alarm["text"]) == ("CAMERA", "the camera gives no frames")
            line.image |= {"state": "FAULT", "fault": "CAMERA"}
            watch.hear(line.handle({"command": "status"}))
            assert ears.next(f"{BASE}/state")["fault"] == "CAMERA"
        with subscriber(broker.port, f"{BASE}/job") as (_, ears):
            assert ears.next(f"{BASE}/job") == {"number": 1, "name": "gear"}
    with subscriber(broker.port, f"{BASE}/state") as (_, ears):
        assert not ears.next(f"{BASE}/state")["online"]


def test_a_broker_that_is_killed_and_restarted_costs_nothing(tmp_path: Path, broker: Mosquitto, books: Books) -> None:
    broker.start()
    with sink(tmp_path, broker.port) as mqtt, subscriber(broker.port) as (_, ears):
        until(lambda: mqtt.behind == 0, "the start")
        assert ears.next(f"{BASE}/state")["online"]
        books.add(3)
        assert seqs(ears, 3) == [1, 2, 3]
        until(lambda: mqtt.behind == 0, "the broker's answers")
        broker.kill()
        books.add(30)
        until(lambda: mqtt.behind == 30, "the parts in between")
        broker.start()
        assert ears.next(f"{BASE}/state")["online"]  # nothing retained was left there: it is said again
        until(lambda: mqtt.behind == 0, "the delivery")
        assert sorted({*seqs(ears, 30)}) == list(range(4, 34))


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_desk_that_was_away_goes_on_where_it_stood(
    tmp_path: Path, broker: Mosquitto, books: Books, protocol: str
) -> None:
    broker.start()
    with subscriber(broker.port, f"{BASE}/verdict") as (_, ears):
        with sink(tmp_path, broker.port, protocol=protocol) as mqtt:
            until(lambda: mqtt.behind == 0, "the start")
            books.add(2)
            assert seqs(ears, 2) == [1, 2]
            until(lambda: mqtt.behind == 0, "the broker's answers")
        books.add(3)
        with sink(tmp_path, broker.port, protocol=protocol):
            assert seqs(ears, 3) == [3, 4, 5]


def test_a_trace_that_was_begun_anew_is_told_from_its_first_part_under_other_keys(
    tmp_path: Path, broker: Mosquitto
) -> None:
    broker.start()
    with sink(tmp_path, broker.port) as mqtt, subscriber(broker.port, f"{BASE}/verdict") as (_, ears):
        with Books(tmp_path / "trace") as books:
            until(lambda: mqtt.behind == 0, "the start")
            books.add(2)
            old = [ears.next(f"{BASE}/verdict")["key"] for _ in range(2)]
            until(lambda: mqtt.behind == 0, "the broker's answers")
        for path in (tmp_path / "trace").glob("trace.db*"):
            path.rename(path.with_name(f"old-{path.name}"))
        with Books(tmp_path / "trace") as books:
            books.add(2)
            new = [ears.next(f"{BASE}/verdict") for _ in range(2)]
    assert [one["seq"] for one in new] == [1, 2]
    assert not {one["key"] for one in new} & {*old}


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker with TLS, the user "press" with password "hunter22", and what that user may do in the file ``acl``."""
    make_ca(tmp_path)
    private(tmp_path / "passwords", "")
    for user in ("press", "reader"):
        subprocess.run(["mosquitto_passwd", "-b", "passwords", user, "hunter22"], cwd=tmp_path, check=True)
    private(tmp_path / "acl", "user press\ntopic readwrite regad/press/#\nuser reader\ntopic read #\n")
    files = {"cafile": "ca.pem", "certfile": "server.pem", "keyfile": "server.key"}
    lines = [f"{name} {tmp_path / file}" for name, file in files.items()]
    lines += ["allow_anonymous false", f"password_file {tmp_path / 'passwords'}", f"acl_file {tmp_path / 'acl'}"]
    with Mosquitto(tmp_path, *lines) as made:
        yield made


def credentials(folder: Path, password: str = "hunter22") -> dict[str, Any]:
    secret = Secret(file=private(folder / "password", password))
    return {"host": "localhost", "tls": True, "ca": folder / "ca.pem", "user": "press", "secret": secret}


def test_tls_and_a_password_that_stands_in_a_file(tmp_path: Path, secured: Mosquitto, books: Books) -> None:
    secured.start()
    reader = {"user": "reader", "password": "hunter22", "ca": tmp_path / "ca.pem"}
    with sink(tmp_path, secured.port, **credentials(tmp_path)) as mqtt, subscriber(secured.port, **reader) as (_, ears):
        until(lambda: mqtt.behind == 0, "the start")
        books.add(2)
        assert seqs(ears, 2) == [1, 2]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho drops its socket unclosed
def test_a_wrong_password_and_a_wrong_ca_are_told_and_nothing_goes_out(
    tmp_path: Path, secured: Mosquitto, books: Books
) -> None:
    secured.start()
    with sink(tmp_path, secured.port, **credentials(tmp_path, "wrong")) as mqtt:
        until(lambda: "refuses the station: Not authorized" in mqtt.health().text, "the refusal")
    (tmp_path / "other").mkdir()
    make_ca(tmp_path / "other")
    with sink(tmp_path, secured.port, **credentials(tmp_path) | {"ca": tmp_path / "other" / "ca.pem"}) as mqtt:
        until(lambda: "certificate is not trusted" in mqtt.health().text, "the refusal")
        assert "hunter22" not in mqtt.health().text
    gc.collect()


def test_a_topic_that_the_broker_forbids_keeps_the_place_until_it_is_allowed(
    tmp_path: Path, secured: Mosquitto, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AGAIN", 0.3)
    allowed = (tmp_path / "acl").read_text()
    (tmp_path / "acl").write_text(allowed.replace("regad/press/#", "regad/press/state"))
    secured.start()
    reader = {"user": "reader", "password": "hunter22", "ca": tmp_path / "ca.pem"}
    with sink(tmp_path, secured.port, **credentials(tmp_path)) as mqtt:
        until(lambda: mqtt.behind == 0, "the start")
        books.add(15)
        until(lambda: mqtt.behind == 15 and "Not authorized" in mqtt.health().text, "the refusal")
        with subscriber(secured.port, f"{BASE}/verdict", **reader) as (_, ears):
            (tmp_path / "acl").write_text(allowed)
            assert secured._process is not None
            secured._process.send_signal(signal.SIGHUP)
            until(lambda: mqtt.behind == 0, "the delivery")
            assert sorted({*seqs(ears, 15)}) == list(range(1, 16))
        assert mqtt.health().text.startswith("connected to")


def test_the_last_will_says_so_when_the_desk_is_killed(tmp_path: Path, broker: Mosquitto) -> None:
    broker.start()
    text = f"""
[station]
name = "press"
[model]
path = "m"
[camera]
source = "camera:0"
[[job]]
number = 1
name = "gear"
category = "c"
sha256 = "{"0" * 64}"
[commands]
socket = "s"
[desk]
[mqtt]
host = "127.0.0.1"
port = {broker.port}
tls = false
"""
    (tmp_path / "station.toml").write_text(text)
    with ExitStack() as stack:
        stack.enter_context(CommandServer(tmp_path / "s", Line().handle)).start()
        _, ears = stack.enter_context(subscriber(broker.port, f"{BASE}/state"))
        desk = stack.enter_context(
            subprocess.Popen([sys.executable, "-m", "regad.runtime.desk", str(tmp_path / "station.toml")])
        )
        stack.callback(desk.kill)
        assert ears.next(f"{BASE}/state")["online"]
        desk.kill()
        last = ears.next(f"{BASE}/state")
        assert (last["online"], last["text"]) == (False, "the desk is gone")


@pytest.mark.parametrize("commands", [True, False])
def test_commands_are_carried_out_only_where_they_are_allowed(
    tmp_path: Path, broker: Mosquitto, books: Books, commands: bool
) -> None:
    broker.start()
    line = Line()
    with ExitStack() as stack:
        stack.enter_context(CommandServer(tmp_path / "s", line.handle)).start()
        mqtt = stack.enter_context(sink(tmp_path, broker.port, line, commands=commands))
        client, ears = stack.enter_context(subscriber(broker.port))
        until(lambda: mqtt.behind == 0, "the start")
        ears.next(f"{BASE}/state")
        before = len(line.asked)
        client.publish(f"{BASE}/cmd/stop", b'{"id": "a"}', qos=1).wait_for_publish()
        client.publish(f"{BASE}/cmd/job", b'{"number": 99, "id": "b"}', qos=1).wait_for_publish()
        if commands:
            assert ears.next(f"{BASE}/response") == {"id": "a", "command": "stop", "ok": True, "error": "", "code": ""}
            assert ears.next(f"{BASE}/response")["code"] == "unknown_job"
            asked = [one for one in line.asked[before:] if one["command"] != "audit"]
            assert asked == [{"command": "stop"}, {"command": "job", "number": 99}]
            audits = [one for one in line.asked[before:] if one["command"] == "audit"]
            assert [(one["by"], one["action"]) for one in audits] == [("mqtt", "stop"), ("mqtt", "job")]
            assert [one["after"] for one in audits] == ["done", "99: refused: there is no job 99; add it"]
        else:
            books.add()
            assert seqs(ears, 1) == [1]
            assert line.asked[before:] == []


def test_what_a_person_must_change_is_told_at_the_start(tmp_path: Path) -> None:
    config = MqttConfig(host="localhost", ca=tmp_path / "none.pem")
    with pytest.raises(InputError, match=r"none\.pem cannot be used"):
        MqttSink(around(tmp_path, mqtt=config), config).start()
    config = MqttConfig(host="localhost", user="press", secret=Secret(env="NO_SUCH_VARIABLE"))
    with pytest.raises(InputError, match="NO_SUCH_VARIABLE holds no secret"):
        MqttSink(around(tmp_path, mqtt=config), config).start()
