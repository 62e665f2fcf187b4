"""What somebody who means harm may try at the page, and what becomes of it."""

from __future__ import annotations

import http.client
import io
import json
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from regad.runtime.desk.attempts import Attempts
from regad.runtime.desk.web import pictures
from regad.runtime.desk.web.errors import RequestError
from regad.runtime.desk.web.gate import BODY
from regad.runtime.desk.web.hosts import HostRule
from regad.runtime.desk.web.pictures import decode_upload
from regad.runtime.errors import InputError
from regad.runtime.station.config import DeskConfig

from ..station.trace.parts import ask
from .web_doubles import PASSWORD, Client, Desk, desk_of, part_with_pictures, recorded


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    recorded(folder, part_with_pictures(1))
    with desk_of(folder) as desk:
        yield desk


@pytest.mark.parametrize(
    "path",
    [
        *("/static/../page.py", "/static/%2e%2e/page.py", "/static/..%2fpage.py", "/static//etc/passwd"),
        *("/static/pages/../../../../../users.json", "/../../etc/passwd", "/static/app.js%00.css", "/users.json"),
        *("/api/v1/parts/../../users.json", "/api/v1/parts/..%2f..%2fusers.json/input", "/trace/desk/sessions.db"),
    ],
)
def test_no_path_leads_out_of_the_pages_own_files(engineer: Client, path: str) -> None:
    answer = engineer.ask("GET", path)
    assert answer.status in (400, 404)
    assert b"root:" not in answer.body and b"scrypt" not in answer.body and b"import" not in answer.body


@pytest.mark.parametrize("part", ["-1", "1.5", "0x1", "١", "9" * 20, "1;DROP", "' OR 1"])
def test_a_part_is_asked_for_by_a_number_alone(engineer: Client, part: str) -> None:
    from urllib.parse import quote

    assert engineer.ask("GET", f"/api/v1/parts/{quote(part)}/input").status == 400


def test_a_stored_path_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    recorded(tmp_path, part_with_pictures(1), part_with_pictures(2), part_with_pictures(3))
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    with desk_of(tmp_path) as desk:
        viewer = desk.client("viewer")
        stored = [
            tmp_path / "trace" / row[0] for row in ask(tmp_path / "trace", "SELECT path FROM file WHERE kind = 'input'")
        ]
        first, _, third = sorted(stored)
        first.unlink()
        first.symlink_to(secret)
        ask(tmp_path / "trace", "UPDATE file SET path = '../users.json' WHERE kind = 'input' AND inspection = 2")
        for part in (1, 2):
            answer = viewer.ask("GET", f"/api/v1/parts/{part}/input")
            assert answer.status == 400, part
            assert b"secret" not in answer.body
        assert viewer.ask("GET", "/api/v1/parts/3/input").body == third.read_bytes()
        moved = third.parent.rename(tmp_path / "elsewhere")
        third.parent.symlink_to(moved)
        assert viewer.ask("GET", "/api/v1/parts/3/input").status == 400


def test_a_change_from_another_site_is_refused(desk: Desk, engineer: Client) -> None:
    asked = len(desk.line.asked)
    path = "/api/v1/command/stop"
    for headers in (
        {"X-Regad-Csrf": ""},
        {"X-Regad-Csrf": "0" * 64},
        {"Origin": "http://evil.example"},
        {"Origin": f"https://127.0.0.1:{engineer.port}"},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{engineer.port + 1}"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert engineer.ask("POST", path, headers=headers).status == 403, headers
    assert engineer.send("POST", path, b"{}", {"Cookie": engineer.cookie, "X-Regad-Csrf": engineer.csrf}).status == 403
    assert [request for request in desk.line.asked[asked:] if request["command"] == "stop"] == []
    assert engineer.post(path).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example", "[::1", "1.2.3.4"]
)
def test_another_name_turned_to_this_address_gets_nothing(engineer: Client, host: str) -> None:
    """DNS rebinding: the browser takes the page for evil.example's own."""
    origin = {"Host": host, "Origin": f"http://{host}"}
    for path in ("/", "/api/v1/me", "/static/app.js"):
        answer = engineer.ask("GET", path, headers=origin)
        assert answer.status in (400, 421)
        assert b"csrf" not in answer.body


def test_names_are_the_pages_own_by_how_it_is_reached() -> None:
    here = HostRule(DeskConfig(hosts=("station-3",)))
    assert [here.knows(name) for name in ("localhost", "127.0.0.1:8080", "[::1]:8080", "STATION-3:80")] == [True] * 4
    assert not here.knows("192.168.0.5") and not here.knows("station-3:http") and not here.knows("x")
    lan = HostRule(DeskConfig(host="192.168.0.5", insecure_lan=True))
    assert lan.knows("192.168.0.5:8080") and not lan.knows("evil.example")
    proxied = HostRule(DeskConfig(behind_proxy=True, hosts=("regad.plant.example",)))
    assert proxied.knows("regad.plant.example") and not proxied.knows("127.0.0.1")
    assert proxied.same("https://regad.plant.example", "regad.plant.example")
    assert not here.same("https://localhost", "localhost") and not here.same("localhost", "localhost")


def test_a_cookie_is_worthless_after_logout(desk: Desk) -> None:
    client = desk.client("operator")
    assert client.post("/api/v1/logout").status == 200
    assert client.ask("GET", "/api/v1/me").status == 401
    assert client.post("/api/v1/command/reset").status == 401


def test_what_is_stored_of_a_session_is_no_cookie(desk: Desk, engineer: Client) -> None:
    token = engineer.cookie.partition("=")[2]
    store = desk.folder / "trace" / "desk" / "sessions.db"
    assert token.encode() not in store.read_bytes()
    assert store.stat().st_mode & 0o077 == 0


def test_roles_hold_at_every_route(desk: Desk) -> None:
    nobody, viewer, operator = desk.client(), desk.client("viewer"), desk.client("operator")
    for method, path, least in (
        ("GET", "/api/v1/me", "viewer"),
        ("GET", "/api/v1/parts", "viewer"),
        ("GET", "/api/v1/parts/1/input", "viewer"),
        ("GET", "/api/v1/frame.jpg", "viewer"),
        ("GET", "/api/v1/events", "viewer"),
        ("GET", "/api/v1/parts/1/zip", "operator"),
        ("POST", "/api/v1/command/reset", "operator"),
        ("POST", "/api/v1/command/start", "engineer"),
        ("POST", "/api/v1/command/mode", "engineer"),
        ("GET", "/api/v1/tokens", "engineer"),
        ("POST", "/api/v1/tokens", "engineer"),
        ("DELETE", "/api/v1/tokens/a", "engineer"),
        ("POST", "/api/v1/command/trigger", "engineer"),
        ("POST", "/api/v1/rejudge", "engineer"),
        ("GET", "/api/v1/system", "engineer"),
        ("GET", "/api/v1/config", "engineer"),
        ("GET", "/api/v1/audit", "engineer"),
        ("GET", "/api/v1/diagnostics", "engineer"),
    ):
        assert nobody.ask(method, path).status == 401, path
        if least != "viewer":
            assert viewer.ask(method, path).status == 403, path
        if least == "engineer":
            assert operator.ask(method, path).status == 403, path


def test_a_body_that_is_too_large_is_refused_before_it_is_read(desk: Desk, engineer: Client) -> None:
    origin = f"http://127.0.0.1:{engineer.port}"
    head = (
        f"POST /api/v1/rejudge HTTP/1.1\r\nHost: 127.0.0.1:{engineer.port}\r\nOrigin: {origin}\r\n"
        f"Cookie: {engineer.cookie}\r\nX-Regad-Csrf: {engineer.csrf}\r\n"
    )
    with socket.create_connection(("127.0.0.1", engineer.port), 10) as raw:
        raw.sendall(f"{head}Content-Length: {BODY + 1}\r\n\r\n".encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 413")
    with socket.create_connection(("127.0.0.1", engineer.port), 10) as raw:
        raw.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        piece = b"f4240\r\n" + b" " * 1_000_000 + b"\r\n"
        received = b""
        try:
            for _ in range(BODY // 1_000_000 + 5):
                raw.sendall(piece)
            received = raw.recv(4096)
        except OSError:  # the connection was ended meanwhile
            pass
        assert not received.startswith(b"HTTP/1.1 200")


def png_head(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and little else."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(8001, 8000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(
    width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures.ImageOps, "exif_transpose", lambda picture: pytest.fail("it was decoded"))
    with pytest.raises(RequestError) as refused:
        decode_upload(png_head(width, height))
    assert refused.value.status == 413


def test_only_jpeg_and_png_are_decoded() -> None:
    for kind, mode in (("GIF", "P"), ("BMP", "RGB"), ("TIFF", "RGB"), ("WEBP", "RGB")):
        data = io.BytesIO()
        Image.new(mode, (4, 4)).save(data, kind)
        with pytest.raises(RequestError) as refused:
            decode_upload(data.getvalue())
        assert refused.value.status == 415
    for kind in ("PNG", "JPEG"):
        data = io.BytesIO()
        Image.new("RGB", (4, 3), (9, 9, 9)).save(data, kind)
        assert decode_upload(data.getvalue()).shape == (3, 4, 3)
        with pytest.raises(InputError, match="damaged"):
            decode_upload(data.getvalue()[:-30])
    with pytest.raises(InputError, match="damaged"):
        decode_upload(b"\xff\xd8\xff" + b"x" * 100)


def test_headers_cannot_be_split(desk: Desk, engineer: Client) -> None:
    """What a browser sends comes back in no header."""
    answer = engineer.ask("GET", "/api/v1/parts?serial=%0d%0aSet-Cookie:%20a=b&limit=1")
    assert answer.status == 200
    assert "set-cookie" not in answer.headers
    login = desk.client().post("/api/v1/login", {"user": "x\r\nSet-Cookie: a=b", "password": "y"})
    assert login.status == 401
    assert "set-cookie" not in login.headers
    with socket.create_connection(("127.0.0.1", engineer.port), 10) as raw:
        raw.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{engineer.port}\r\nHost: evil.example\r\n\r\n".encode())
        assert raw.recv(64).split()[1] in (b"400", b"421")


def test_every_answer_forbids_scripts_that_are_not_the_pages_own(engineer: Client) -> None:
    for path in ("/", "/static/app.js", "/api/v1/me", "/api/v1/parts/99/full", "/nothing"):
        headers = engineer.ask("GET", path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


def test_the_files_of_the_page_hold_no_inline_script_or_style() -> None:
    import re

    folder = Path(pictures.__file__).with_name("static")
    for path in [*folder.rglob("*.js"), *folder.rglob("*.html")]:
        text = path.read_text()
        assert "innerHTML" not in text and "eval(" not in text and "style:" not in text, path
        assert not re.search(r"https?://(?!www\.w3\.org)", text), path


def test_guessing_passwords_becomes_slow(tmp_path: Path) -> None:
    with desk_of(tmp_path) as desk:
        client = desk.client()
        tries = [client.login("engineer", f"wrong {number}").status for number in range(5)]
        assert tries[:3] == [401] * 3
        assert 429 in tries[3:]
        assert client.login("engineer", PASSWORD).status == 429, "the right one is not told from a wrong one meanwhile"
        asked = [request for request in desk.line.asked if request["command"] == "audit"]
        assert {request["action"] for request in asked} == {"wrong password"}
        assert "wrong 0" not in json.dumps(asked)


def test_the_wait_doubles_and_is_forgotten() -> None:
    now = [0.0]
    attempts = Attempts(60.0, lambda: now[0])
    waits = []
    for _ in range(12):
        attempts.failed("a")
        waits.append(attempts.wait("a"))
    assert waits == [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert attempts.wait("b") == 0
    now[0] += 61
    assert attempts.wait("a") == 0
    attempts.passed("a")
    attempts.failed("a")
    assert attempts.wait("a") == 0
    for number in range(5000):
        attempts.failed(str(number))
    assert len(attempts._failures) <= 4096


def test_fifty_slow_clients_do_not_hold_up_another(desk: Desk, engineer: Client) -> None:
    """They send a part of their headers, or of their body."""
    slow = []
    try:
        for number in range(50):
            raw = socket.create_connection(("127.0.0.1", engineer.port), 10, ("127.0.0.2", 0))
            slow.append(raw)
            if number % 2:
                raw.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1")
            else:
                head = f"POST /api/v1/login HTTP/1.1\r\nHost: 127.0.0.1:{engineer.port}\r\n"
                head += f"Origin: http://127.0.0.1:{engineer.port}\r\nContent-Length: 1000\r\n\r\n"
                raw.sendall(head.encode())
        paths = ("/", "/static/app.js", "/api/v1/me", "/api/v1/parts")
        assert [engineer.ask("GET", path).status for path in paths] == [200] * 4
    finally:
        for raw in slow:
            raw.close()


def test_who_may_not_ask_is_told_before_its_body_is_read(desk: Desk) -> None:
    origin = f"http://127.0.0.1:{desk.page.port}"
    for path, status in (("/api/v1/rejudge", b"401"), ("/api/v1/login", b"413")):
        with socket.create_connection(("127.0.0.1", desk.page.port), 10) as raw:
            head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{desk.page.port}\r\nOrigin: {origin}\r\n"
            raw.sendall(f"{head}Content-Length: 19000000\r\n\r\n".encode() + b" " * 100_000)
            assert raw.recv(64).split()[1] == status


def test_a_request_that_never_ends_is_cut_off(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from regad.runtime.desk.web import server

    monkeypatch.setattr(server, "_HEAD", 0.2)
    with socket.create_connection(("127.0.0.1", desk.page.port), 10) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nX: ")
        assert raw.recv(1000) == b""


def test_a_connection_may_ask_again(desk: Desk, engineer: Client) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", engineer.port, timeout=10)
    for _ in range(3):
        connection.request("GET", "/api/v1/me", headers={"Cookie": engineer.cookie})
        assert connection.getresponse().read().startswith(b"{")
    connection.close()
