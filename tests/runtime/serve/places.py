"""An artifact and categories to push and pull, a web server, and Debian's docker-registry on loopback."""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from regad.runtime.formats.artifact import Artifact, write_artifact
from regad.runtime.formats.category import save_category

from ..run_doubles import category

PATIENCE = 20.0
KEPT = Path(__file__).parents[1] / "formats" / "kept" / "artifact-2.json"


def make_artifact(path: Path, salt: str = "") -> Artifact:
    """An artifact whose files are no graphs, but of some size: nothing here runs them."""
    manifest = json.loads(KEPT.read_text())
    files = {name: f"{name}{salt}".encode() * 5000 for name in manifest["files"]}
    return write_artifact(path, {name: manifest[name] for name in manifest if name not in ("files",)}, files)


def make_category(path: Path, artifact: str, created: str = "") -> Path:
    save_category(replace(category(artifact=artifact), created=created), path)
    return path


def names(folder: Path) -> list[str]:
    """What lies in a folder, hidden files too; nothing where there is none."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@contextmanager
def web_server(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A web server on loopback that answers each GET by ``answer``; yields its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: object) -> None: ...

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            if not isinstance(sys.exc_info()[1], ConnectionError):
                super().handle_error(request, client_address)  # who has seen enough hangs up

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE)


def files_below(folder: Path) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    """Answer with the files of a folder."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        path = folder / request.path.lstrip("/")
        if not path.is_file():
            request.send_error(404)
            return
        request.send_response(200)
        request.send_header("Content-Length", str(path.stat().st_size))
        request.end_headers()
        request.wfile.write(path.read_bytes())

    return answer


class DockerRegistry:
    """Debian's docker-registry on a free loopback port, with its storage in ``folder``."""

    def __init__(self, program: str, folder: Path, users: Path | None = None) -> None:
        self.storage = folder / "storage"
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{found.getsockname()[1]}"
        lines = [
            "version: 0.1",
            "log: {level: error, accesslog: {disabled: true}}",
            f"storage: {{filesystem: {{rootdirectory: {self.storage}}}}}",
            f"http: {{addr: '{self.host}'}}",
        ]
        if users is not None:
            lines.append(f"auth: {{htpasswd: {{realm: regad, path: {users}}}}}")
        config = folder / "config.yml"
        config.write_text("\n".join(lines))
        self._process = subprocess.Popen(
            [program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + PATIENCE
        while not self._answers():
            assert time.monotonic() < end and self._process.poll() is None, "docker-registry does not answer"
            threading.Event().wait(0.02)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://{self.host}/v2/", timeout=PATIENCE).close()
        except urllib.error.HTTPError as error:  # it asks for a password
            error.close()
        except OSError:
            return False
        return True

    def blob(self, sha256: str) -> Path:
        """Where a blob lies on the disk."""
        return self.storage / "docker/registry/v2/blobs/sha256" / sha256[:2] / sha256 / "data"

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)
