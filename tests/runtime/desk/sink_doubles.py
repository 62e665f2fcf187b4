"""A trace that grows while it is read, a station that answers, and a mosquitto that comes and goes."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from msgspec.structs import replace

from regad.runtime.backends.lifecycle import Closing
from regad.runtime.desk.link import StationLink
from regad.runtime.desk.service import Surroundings
from regad.runtime.desk.watch import Heard, StationWatch
from regad.runtime.errors import InputError
from regad.runtime.station.config import CameraConfig, CommandsConfig, Config, JobConfig, ModelConfig, TraceConfig
from regad.runtime.station.config_desk import DeskConfig
from regad.runtime.station.trace.writer import Trace

from ..station.trace.parts import ROOMY, part

PATIENCE = 60.0


def until(true: Callable[[], Any], what: str) -> Any:
    """Return what ``true`` returns once it is true."""
    end = time.monotonic() + PATIENCE
    while not (found := true()):
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(0.01)
    return found


class Books(Closing):
    """The trace in ``folder``, open for writing; `add` returns once the part is on the disk."""

    def __init__(self, folder: Path) -> None:
        self.trace = Trace(folder, ROOMY)
        self.boot = self.trace.open().id
        self.seq = 0

    def add(self, count: int = 1, **changes: Any) -> None:
        for _ in range(count):
            self.seq += 1
            self.trace.add(part(self.seq, boot=self.boot, **changes))
        assert self.trace.flushed(self.seq, PATIENCE)

    def event(self, severity: Any, code: int, text: str) -> None:
        self.trace.event(severity, code, text)
        self.add()  # committed with it

    def close(self) -> None:
        self.trace.close()


class Line:
    """What stands behind the command socket."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.image: dict[str, Any] = {
            **{"state": "READY", "status": 0b11, "fault": "NONE", "job": 1, "parts": 7, "rejects": 2, "missed": 1},
            **{"late": 0, "at_ns": 0, "heartbeat": 0},
        }
        self.lag = {"rows": 0, "pictures": 0, "seconds": 0.0, "lost_rows": 0, "left_out": 0, "error": ""}

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(request)
        if request.get("number") == 99:
            raise InputError("there is no job 99; add it", code="unknown_job")
        if request["command"] == "trigger":
            return {"seq": 42, "verdict": "PASS"}
        if request["command"] != "status":
            return {}
        return {"station": "press", "mode": "live", "boot": 1, "modbus": None, "trace": self.lag, "image": self.image}


class Watched(StationWatch):
    """Hears what the test says."""

    def __init__(self, link: StationLink, status: dict[str, Any] | None) -> None:
        super().__init__(link)
        self.hear(status)

    def hear(self, status: dict[str, Any] | None) -> None:
        self._heard = Heard(self._heard.number + 1, status, "" if status else "the station does not answer")


def config_of(folder: Path, **tables: Any) -> Config:
    job = JobConfig(number=1, name="gear", category=folder / "one.safetensors", sha256="0" * 64)
    least = Config(
        model=ModelConfig(path=folder / "model.regad"), camera=CameraConfig(source="camera:0"), jobs=(job,),
        commands=CommandsConfig(socket=folder / "s"), trace=TraceConfig(folder=folder / "trace"), desk=DeskConfig(),
    )  # fmt: skip
    return replace(least, station=type(least.station)(name="press"), **tables)


def around(folder: Path, line: Line | None = None, **tables: Any) -> Surroundings:
    """What a service is given."""
    link = StationLink(folder / "s")
    watch = Watched(link, (line or Line()).handle({"command": "status"}))
    return Surroundings(config_of(folder, **tables), folder / "station.toml", link, watch, [].append)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto(Closing):
    """Debian's broker on one port; it may be killed and started again."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.port = free_port()
        self._file = folder / "mosquitto.conf"
        self._file.write_text("\n".join([f"listener {self.port} 127.0.0.1", "user root", *lines]) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["mosquitto", "-c", str(self._file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._listens, "mosquitto")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    close = kill

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.2).close()
        except OSError:
            return False
        return True


class Ears:
    """What a subscriber has heard, in order."""

    def __init__(self) -> None:
        self._heard: SimpleQueue[tuple[str, Any, bool]] = SimpleQueue()

    def on_message(self, client: Any, userdata: Any, message: Any) -> None:
        self._heard.put((message.topic, json.loads(message.payload), bool(message.retain)))

    def next(self, topic: str) -> Any:
        """The next message on a topic; others are passed over."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                heard, payload, _ = self._heard.get(timeout=max(0.0, end - time.monotonic()))
            except Empty:
                raise AssertionError(f"nothing came on {topic}") from None
            if heard == topic:
                return payload


@contextmanager
def subscriber(port: int, topics: str = "#", **options: Any) -> Iterator[tuple[Any, Ears]]:
    """A client that hears ``topics``, and hears them again after the broker was away."""
    from paho.mqtt import client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    ears = Ears()
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.reconnect_delay_set(0.05, 0.05)  # before the station is back: a broker keeps nothing for who is away
    if "user" in options:
        client.username_pw_set(options["user"], options["password"])
    if "ca" in options:
        client.tls_set(str(options["ca"]))
    subscribed: SimpleQueue[bool] = SimpleQueue()
    client.on_message = ears.on_message
    client.on_connect = lambda c, *_: c.subscribe(topics, qos=1)
    client.on_subscribe = lambda *_: subscribed.put(True)
    client.connect("localhost" if "ca" in options else "127.0.0.1", port)
    client.loop_start()
    try:
        subscribed.get(timeout=PATIENCE)
        yield client, ears
    finally:
        client.disconnect()
        client.loop_stop()


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def make_ca(folder: Path) -> None:
    """A throw-away CA, and a certificate of it for localhost; strict, as Python wants it from 3.13 on."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    may = ("-addext", "keyUsage=critical,keyCertSign")
    openssl(folder, "req", "-x509", *key, *may, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=ca")
    openssl(folder, "req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost\nauthorityKeyIdentifier=keyid\n")
    sign = ("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
    openssl(folder, *sign, "-out", "server.pem", "-extfile", "names")


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path
