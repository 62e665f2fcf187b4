"""What the tests of the page run: a desk's page on a free port, a line that answers, and a client without a browser."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from regad.runtime.desk.link import StationLink
from regad.runtime.desk.service import Health, Surroundings
from regad.runtime.desk.watch import StationWatch
from regad.runtime.desk.web.page import Page
from regad.runtime.errors import InputError
from regad.runtime.station.commands import CommandServer
from regad.runtime.station.config import (
    CameraConfig,
    CommandsConfig,
    Config,
    DeskConfig,
    JobConfig,
    ModelConfig,
    StationConfig,
    TraceConfig,
)
from regad.runtime.station.trace.inspection import Inspection
from regad.runtime.station.users import Role, set_password

from ..station.trace.parts import filled, heat, part, picture

PASSWORD = "correct horse"


class Line:
    """Answers on the command socket as a line does."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.held: dict[str, Any] | None = None
        self.words = {"in": [0] * 14, "out": [0] * 20}
        self.image: dict[str, Any] = {
            **{"at_ns": 0, "state": "READY", "status": 3, "fault": "NONE", "job": 1, "accepted": 0, "heartbeat": 1},
            **{"shown": {"tag": 0, "part_id": 0, "verdict": "NONE", "percent": 0.0, "ms": 0.0, "spot": [0, 0]}},
            **{"flags": 0, "parts": 0, "rejects": 0, "missed": 0, "late": 0, "writes": 0},
        }

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(request)
        match request["command"]:
            case "status":
                lag = {"rows": 0, "pictures": 0, "seconds": 0.0, "lost_rows": 0, "left_out": 0, "error": ""}
                return {
                    **{"station": "s1", "mode": "shadow", "boot": 1, "trace": lag, "modbus": None, "held": self.held},
                    "words": self.words,
                    "image": self.image,
                }
            case "trigger":
                return {"seq": 1, "verdict": "PASS", "ms": 5.0, "simulated": False}
            case "job" | "start" | "stop" | "reset" | "acknowledge" | "audit" | "mode" | "drift":
                return {}
        raise InputError(f"command is {request['command']!r}; it is not known", code="unknown")


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """A browser's part of a session: the cookie, the CSRF token, and the headers that a browser sends."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookie = self.csrf = ""

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request as it is given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, answer.msg, answer.read())
        finally:
            connection.close()

    def ask(self, method: str, path: str, value: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request as the page does; ``headers`` replace those of the page."""
        sent = {"Cookie": self.cookie} if self.cookie else {}
        if method != "GET":
            sent |= {"Origin": f"http://127.0.0.1:{self.port}", "X-Regad-Csrf": self.csrf}
        body = value if isinstance(value, bytes) else json.dumps({} if value is None else value).encode()
        return self.send(method, path, None if method == "GET" else body, {**sent, **(headers or {})})

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status == 200, answer
        return answer.json

    def post(self, path: str, value: Any = None) -> Answer:
        return self.ask("POST", path, value)

    def login(self, user: str, password: str = PASSWORD) -> Answer:
        """Log in, and keep the session."""
        answer = self.post("/api/v1/login", {"user": user, "password": password})
        if answer.status == 200:
            self.cookie, self.csrf = answer.headers["set-cookie"].partition(";")[0], answer.json["csrf"]
        return answer


class Desk:
    """A page with the line that it asks."""

    def __init__(self, folder: Path, line: Line, said: list[str], page: Page) -> None:
        self.folder, self.line, self.said, self.page = folder, line, said, page

    def link(self) -> str:
        """The token of the one-time link that was printed."""
        return next(text.partition("#first=")[2] for text in self.said if "#first=" in text)

    def client(self, user: str | None = None) -> Client:
        """A client, logged in as ``user``, whose name is that of its role."""
        client = Client(self.page.port)
        if user is not None:
            assert client.login(user).status == 200
        return client


def recorded(folder: Path, *parts: Inspection) -> None:
    """Record parts in the trace of a desk in ``folder``."""
    filled(folder / "trace", *parts)


def part_with_pictures(seq: int, **changes: Any) -> Inspection:
    """A part that was judged, with all that is stored of one."""
    facts = {"input": picture(seq), "map": heat(seq), "frame": picture(seq), "spot_x": 7, "spot_y": 9, **changes}
    return part(seq, **facts)


def config_of(folder: Path, desk: DeskConfig, **tables: Any) -> Config:
    job = JobConfig(number=1, name="plate", category=folder / "one.safetensors", sha256="0" * 64)
    return Config(
        model=ModelConfig(path=folder / "model.regad"),
        camera=CameraConfig(source="camera:0"),
        jobs=(job,),
        station=StationConfig(name="s1"),
        commands=CommandsConfig(socket=folder / "s"),
        trace=TraceConfig(folder=folder / "trace"),
        desk=desk,
        **tables,
    )


_MADE: dict[tuple[Role, ...], bytes] = {}


def add_users(path: Path, roles: tuple[Role, ...] = ("viewer", "operator", "engineer")) -> None:
    """Write a file of users who are named by their roles; made once, for scrypt takes its time."""
    if roles not in _MADE:
        for role in roles:
            set_password(path, role, PASSWORD, role)
        _MADE[roles] = path.read_bytes()
    path.write_bytes(_MADE[roles])
    path.chmod(0o600)


@contextmanager
def desk_of(folder: Path, *, users: bool = True, tables: dict[str, Any] | None = None, **fields: Any) -> Iterator[Desk]:
    """A page that runs in ``folder``, and has heard of its line."""
    desk = DeskConfig(port=0, users=folder / "users.json", **fields)
    if users:
        add_users(folder / "users.json")
    config, line, said = config_of(folder, desk, **(tables or {})), Line(), list[str]()
    link = StationLink(config.commands.socket)
    with CommandServer(config.commands.socket, line.handle) as server, link, StationWatch(link) as watch:
        server.start()
        watch.start()
        around = Surroundings(
            config, folder / "station.toml", link, watch, said.append, lambda: {"page": Health(True, "")}
        )
        with Page(around) as page:
            page.start()
            watch.wait(0, 20)
            yield Desk(folder, line, said, page)
