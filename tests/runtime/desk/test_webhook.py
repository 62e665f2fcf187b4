"""Webhooks against a server that takes, refuses, stalls, drips, redirects, fails, and closes half-way."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.desk.sinks import dead_letters
from regad.runtime.desk.sinks.cursor import Cursor
from regad.runtime.desk.sinks.dead_letters import DeadLetters
from regad.runtime.desk.sinks.post import Outcome, Poster, signature
from regad.runtime.desk.sinks.webhook import WebhookSink
from regad.runtime.errors import InputError
from regad.runtime.station.config_protocols import WebhookConfig
from regad.runtime.station.secret import Secret

from .sink_doubles import Books, around, make_ca, private, until

Behave = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Notes what comes and behaves as the server says."""

    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers), body, self.path))
        self.server.behave(self)

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[dict[str, str], bytes, str]] = []
        self.behave: Behave = status(200)
        self.over = threading.Event()

    def seqs(self) -> list[int]:
        return [json.loads(body)["seq"] for _, body, _ in self.got]

    def handle_error(self, *_: Any) -> None:
        pass


def status(code: int, **headers: str) -> Behave:
    def behave(handler: Handler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()

    return behave


def stall(handler: Handler) -> None:
    handler.server.over.wait()


def drip(handler: Handler) -> None:
    """A byte now and then, for ever: each comes within any timeout of a single read."""
    for byte in b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 10_000:
        if handler.server.over.wait(0.05):
            return
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()


def close_half_way(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 2")
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)


def close_at_once(handler: Handler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def no_http(handler: Handler) -> None:
    handler.wfile.write(b"220 mail.example ESMTP\r\n")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,))
        thread.start()
        yield made
        made.over.set()
        made.shutdown()
        thread.join()


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    with Books(tmp_path / "trace") as made:
        yield made


def hook(folder: Path, server: Server, **changes: Any) -> WebhookConfig:
    secret = Secret(file=private(folder / "secret", "topsecret"))
    given: dict[str, Any] = {"name": "mes", "url": f"http://127.0.0.1:{server.server_port}/parts?line=3"}
    return WebhookConfig(**(given | {"secret": secret, "timeout_ms": 2000} | changes))


@contextmanager
def sink(folder: Path, config: WebhookConfig) -> Iterator[WebhookSink]:
    made = WebhookSink(around(folder), config, pauses=(0.05,))
    made.start()
    try:
        yield made
    finally:
        made.close()


def test_every_part_is_posted_once_in_order_and_signed(tmp_path: Path, server: Server, books: Books) -> None:
    with sink(tmp_path, hook(tmp_path, server)) as webhook:
        until(lambda: webhook.behind == 0, "the start")
        books.add(60)
        until(lambda: len(server.got) == 60 and webhook.behind == 0, "the delivery")
        assert webhook.health().ok
    assert server.seqs() == list(range(1, 61))
    headers, body, path = server.got[0]
    assert path == "/parts?line=3"
    assert headers["Idempotency-Key"] == json.loads(body)["key"]
    signed = headers["X-Regad-Timestamp"].encode() + b"." + body
    assert headers["X-Regad-Signature"] == "sha256=" + hmac.new(b"topsecret", signed, hashlib.sha256).hexdigest()
    assert Cursor(tmp_path / "trace" / "desk" / "webhook-mes.cursor").place.row == 60  # type: ignore[union-attr]


TROUBLES: dict[str, tuple[Behave, str]] = {
    "fails": (status(500), "answers with status 500"),
    "is busy": (status(429), "answers with status 429"),
    "redirects": (status(302, Location="http://127.0.0.1:1/other"), "redirects (302) to http://127.0.0.1:1/other"),
    "stalls": (stall, "no answer in time"),
    "drips": (drip, "no answer in time"),
    "closes": (close_at_once, "it closed the connection without an answer"),
    "closes half-way": (close_half_way, "no HTTP"),
    "speaks no HTTP": (no_http, "no HTTP"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_server_that_has_troubles_is_waited_for_and_nothing_is_passed_over(
    tmp_path: Path, server: Server, books: Books, trouble: str
) -> None:
    server.behave, text = TROUBLES[trouble]
    with sink(tmp_path, hook(tmp_path, server, timeout_ms=200)) as webhook:
        until(lambda: webhook.behind == 0, "the start")
        books.add(2)
        until(lambda: len(server.got) >= 2 and text in webhook.said, "two tries")
        assert webhook.behind == 2
        assert {*server.seqs()} == {1}
        assert "topsecret" not in webhook.health().text
        server.behave = status(204)
        until(lambda: webhook.behind == 0, "the delivery")
    assert sorted({*server.seqs()}) == [1, 2]


def test_a_server_that_is_not_there_yet_is_waited_for(tmp_path: Path, books: Books) -> None:
    with Server() as away:
        config = hook(tmp_path, away)
    with sink(tmp_path, config) as webhook:
        until(lambda: webhook.behind == 0, "the start")
        books.add()
        until(lambda: "cannot be reached: Connection refused" in webhook.said, "a try")
        assert webhook.behind == 1


def test_what_is_refused_is_listed_the_rest_goes_out_and_a_renamed_list_is_sent_again(
    tmp_path: Path, server: Server, books: Books
) -> None:
    def refuse_two(handler: Handler) -> None:
        status(422 if json.loads(handler.server.got[-1][1])["seq"] == 2 else 200)(handler)

    server.behave = refuse_two
    with sink(tmp_path, hook(tmp_path, server)) as webhook:
        until(lambda: webhook.behind == 0, "the start")
        books.add(3)
        until(lambda: len(server.got) == 3 and webhook.behind == 0, "the delivery")
        assert server.seqs() == [1, 2, 3]
        dead = tmp_path / "trace" / "desk" / "webhook-mes.dead"
        (letter,) = [json.loads(line) for line in dead.read_text().splitlines()]
        assert (letter["row"], letter["status"]) == (2, 422)
        assert not webhook.health().ok
        assert webhook.health().text.endswith(f"1 were refused: {dead}")
        server.behave = status(200)
        dead.rename(dead.with_suffix(".resend"))
        until(lambda: len(server.got) == 4, "the letter")
        until(lambda: not dead.with_suffix(".resend").exists(), "the end of the list")
        until(lambda: webhook.health().ok, "the alarm's end")
    assert server.seqs() == [1, 2, 3, 2]
    assert not dead.exists()


def test_a_full_list_of_dead_letters_holds_the_rest_back(
    tmp_path: Path, server: Server, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "MOST", 2)
    server.behave = status(400)
    with sink(tmp_path, hook(tmp_path, server)) as webhook:
        until(lambda: webhook.behind == 0, "the start")
        books.add(4)
        until(lambda: "dead letters wait already" in webhook.said, "the full list")
        assert webhook.behind == 2
    assert DeadLetters(tmp_path / "trace" / "desk" / "webhook-mes.dead").count == 2


def test_only_the_verdicts_that_are_named_are_sent(tmp_path: Path, server: Server, books: Books) -> None:
    with sink(tmp_path, hook(tmp_path, server, verdicts=("REJECT", "LATE"))) as webhook:
        until(lambda: webhook.behind == 0, "the start")
        books.add()
        books.add(verdict=2, output=2)
        books.add(output=5, late=True)
        books.add(verdict=2, output=0, shadow=True)
        until(lambda: webhook.behind == 0 and len(server.got) == 3, "the delivery")
    assert server.seqs() == [2, 3, 4]


def test_a_desk_that_was_away_goes_on_where_it_stood(tmp_path: Path, server: Server, books: Books) -> None:
    with sink(tmp_path, hook(tmp_path, server)) as webhook:
        until(lambda: webhook.behind == 0, "the start")
    books.add(2)
    with sink(tmp_path, hook(tmp_path, server)) as webhook:
        until(lambda: webhook.behind == 0, "the delivery")
    assert server.seqs() == [1, 2]


def test_a_certificate_is_checked_against_the_ca_that_is_named(tmp_path: Path, server: Server) -> None:
    make_ca(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"https://localhost:{server.server_port}/"
    assert Poster(hook(tmp_path, server, url=url, ca=tmp_path / "ca.pem")).post("k", b"{}").outcome is Outcome.TAKEN
    answer = Poster(hook(tmp_path, server, url=url)).post("k", b"{}")
    assert answer.outcome is Outcome.LATER
    assert "certificate is not trusted" in answer.text
    with pytest.raises(InputError, match=r"none\.pem cannot be used \(No such file"):
        Poster(hook(tmp_path, server, url=url, ca=tmp_path / "none.pem"))


@pytest.mark.parametrize(
    "url",
    ["ftp://mes/", "mes/parts", "http://", "http://user:pw@mes/", "http://mes/a b", "http://mes:0/", "http://mes:x/"],
)
def test_an_address_that_is_no_webhooks_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match="url is wrong; expected http"):
        WebhookConfig(name="mes", url=url, secret=Secret(env="A"))


@given(st.text(), st.binary(max_size=50), st.binary(max_size=50))
def test_another_body_has_another_signature(secret: str, one: bytes, other: bytes) -> None:
    secret = secret.encode("utf-8", "replace").decode()
    assert (signature(secret, "1", one) == signature(secret, "1", other)) == (one == other)


@pytest.mark.parametrize("content", [b"{}\n", b"\xff\n", b'{"trace": 1}\n'])
def test_a_damaged_list_of_dead_letters_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.dead").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.dead is no list of dead letters"):
        DeadLetters(tmp_path / "a.dead")
