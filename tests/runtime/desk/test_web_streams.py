"""Answers without end: they end with the session that asked for them. Files that are sent leave nothing behind."""

from __future__ import annotations

import http.client
import io
import os
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from regad.runtime.desk.web import events, live
from regad.runtime.formats.atomic import _temporary_file
from regad.runtime.station.live import LiveReader, LiveWriter, live_path
from regad.runtime.station.users import remove_user

from .web_doubles import Client, desk_of, part_with_pictures, recorded


@pytest.fixture(autouse=True)
def looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (live, events):
        monkeypatch.setattr(module, "LASTS", 0.05)


@contextmanager
def streaming(client: Client, path: str, headers: dict[str, str]) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read(1)
        yield answer
    finally:
        connection.close()


def ends(answer: http.client.HTTPResponse) -> bool:
    """Read on until it ends; a stream that does not is an error of the socket's time limit."""
    while answer.read(4096):
        pass
    return True


@pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/live.mjpeg"])
def test_a_stream_ends_with_a_logout_a_removed_user_and_a_revoked_token(tmp_path: Path, path: str) -> None:
    with desk_of(tmp_path) as desk, LiveWriter(live_path(tmp_path / "s")) as writer:
        with LiveReader(live_path(tmp_path / "s")) as reader:
            assert reader.watch()
        writer.show(np.zeros((20, 30, 3), np.uint8), time.monotonic_ns())
        client = desk.client("viewer")
        with streaming(client, path, {"Cookie": client.cookie}) as answer:
            assert client.post("/api/v1/logout").status == 200
            assert ends(answer)
        operator = desk.client("operator")
        with streaming(operator, path, {"Cookie": operator.cookie}) as answer:
            remove_user(tmp_path / "users.json", "operator")
            assert ends(answer)
        engineer = desk.client("engineer")
        token = engineer.post("/api/v1/tokens", {"name": "wall", "role": "viewer"}).json["token"]
        with streaming(engineer, path, {"Authorization": f"Bearer {token}"}) as answer:
            assert engineer.ask("DELETE", "/api/v1/tokens/wall").status == 200
            assert ends(answer)


def test_a_download_that_stalls_or_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    """The part's zip is larger than what the sockets take, so the desk is in the middle of it."""
    noise = np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), np.uint8)
    recorded(tmp_path, part_with_pictures(1, frame=noise, verdict=2, output=2))
    state = tmp_path / "trace" / "desk"
    state.mkdir()
    (state / ".part-dead.zip").write_bytes(b"of a desk that was killed")
    handle, half = _temporary_file(state / ".part-dead.zip")
    os.write(handle, b"what it had written of it")
    os.close(handle)
    with desk_of(tmp_path) as desk:
        assert list(state.glob("*.zip")) == [] and not half.exists()
        client = desk.client("operator")
        with streaming(client, "/api/v1/parts/1/zip", {"Cookie": client.cookie}) as answer:
            assert int(answer.headers["content-length"]) > 1_000_000
            assert list(state.glob("*.zip")) == []
        whole = client.ask("GET", "/api/v1/parts/1/zip")
        assert zipfile.ZipFile(io.BytesIO(whole.body)).testzip() is None
        assert list(state.glob("*.zip")) == []
