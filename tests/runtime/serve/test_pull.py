"""Pulling from folders and web servers: verified, bounded, placed whole or not at all."""

from __future__ import annotations

import http.server
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from regad.runtime.commands.console import run_cli
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.category import load_category
from regad.runtime.serve.registry_cli import pull_command, push_command

from ..run_doubles import Outcome
from .places import PATIENCE, files_below, make_artifact, make_category, names, web_server

Run = Callable[..., Outcome]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("REGAD_MODEL", raising=False)

    def run(*args: object) -> Outcome:
        command = {"push": push_command, "pull": pull_command}[str(args[0])]
        with pytest.raises(SystemExit) as stop:
            run_cli(command, [str(one) for one in args[1:]])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Outcome(int(str(stop.value.code)), captured.out, captured.err)

    return run


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with an artifact and a category of it."""
    folder = tmp_path / "site"
    artifact = make_artifact(folder / "model.regad")
    make_category(folder / "plate.safetensors", artifact.hash)
    return folder


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_folder_is_pulled_as_it_is(call: Run, site: Path, tmp_path: Path, scheme: str) -> None:
    to = tmp_path / "station"
    assert call("pull", f"{scheme}{site}/model.regad", "--out", to / "model.regad").code == 0
    outcome = call(
        "pull", f"{scheme}{site}/plate.safetensors", "--out", to / "a.safetensors", "--model", to / "model.regad"
    )
    assert outcome.code == 0
    artifact = Artifact.open(to / "model.regad")
    assert artifact.hash == Artifact.open(site / "model.regad").hash
    assert load_category(to / "a.safetensors", artifact.hash).shot == 2
    assert names(to) == ["a.safetensors", "model.regad"]


def test_a_web_server_is_pulled_from_and_the_same_again_changes_nothing(call: Run, site: Path, tmp_path: Path) -> None:
    to = tmp_path / "model.regad"
    with web_server(files_below(site)) as address:
        assert call("pull", f"{address}/model.regad", "--out", to).code == 0
        before = to.stat().st_ino
        again = call("pull", f"{address}/model.regad", "--out", to)
        assert again.code == 0 and "is already up to date" in again.err and to.stat().st_ino == before
        assert (
            call("pull", f"{address}/plate.safetensors", "--out", tmp_path / "a.safetensors", "--model", to).code == 0
        )
        missing = call("pull", f"{address}/none.safetensors", "--out", tmp_path / "b.safetensors", "--model", to)
    assert missing.code == 1 and "says 404" in missing.err
    assert (tmp_path / "a.safetensors").read_bytes() == (site / "plate.safetensors").read_bytes()


def test_a_push_to_a_folder_places_it_and_one_to_a_web_server_is_refused(call: Run, site: Path, tmp_path: Path) -> None:
    outcome = call("push", site / "plate.safetensors", f"file://{tmp_path}/share/plate.safetensors")
    assert outcome.code == 0 and load_category(tmp_path / "share" / "plate.safetensors").shot == 2
    web = call("push", site / "plate.safetensors", "https://plant.example/plate.safetensors")
    assert web.code == 1 and "takes no push" in web.err


def test_a_category_of_another_artifact_is_refused_before_its_bytes_are_read(
    call: Run, site: Path, tmp_path: Path
) -> None:
    other = make_artifact(tmp_path / "other.regad", "x")
    size = (site / "plate.safetensors").stat().st_size
    sent = []

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        """The header, and a little of what follows; the rest is never sent."""
        data = (site / "plate.safetensors").read_bytes()[:4096]
        request.send_response(200)
        request.send_header("Content-Length", str(size))
        request.end_headers()
        request.wfile.write(data)
        sent.append(len(data))

    with web_server(answer) as address:
        outcome = call(
            "pull", f"{address}/plate.safetensors", "--out", tmp_path / "p.safetensors", "--model", other.path
        )
    assert outcome.code == 1 and "nothing was pulled" in outcome.err and other.hash[:12] in outcome.err
    assert sent == [4096] and size > 4096, "one request, and the header only"
    assert names(tmp_path) == ["other.regad", "site"]


def test_an_altered_or_swollen_file_is_refused_and_the_old_one_stays(call: Run, site: Path, tmp_path: Path) -> None:
    to = tmp_path / "to" / "model.regad"
    assert call("pull", site / "model.regad", "--out", to).code == 0
    old = Artifact.open(to).hash
    make_artifact(site / "model.regad", "new")
    encoder = site / "model.regad" / "encoder.onnx"
    good = encoder.read_bytes()
    for data, words in (
        (good[:-1] + b"!", "was altered"),
        (good + b"!", "has more than"),
        (good[:-1], "broke off after"),
    ):
        encoder.write_bytes(data)
        outcome = call("pull", site / "model.regad", "--out", to)
        assert outcome.code == 1 and words in outcome.err
        assert Artifact.open(to).hash == old and names(to.parent) == ["model.regad"]


def test_more_than_allowed_is_not_read(call: Run, site: Path, tmp_path: Path) -> None:
    out = tmp_path / "to" / "x"
    artifact = call("pull", site / "model.regad", "--out", out, "--max-mb", 0.1)
    assert artifact.code == 1 and "--max-mb" in artifact.err
    category = call("pull", site / "plate.safetensors", "--out", out, "--max-mb", 0.1, "--model", site / "model.regad")
    assert category.code == 1 and "--max-mb" in category.err
    assert names(out.parent) == []


def test_a_manifest_that_reaches_out_of_its_folder_is_refused(call: Run, site: Path, tmp_path: Path) -> None:
    manifest = site / "model.regad" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"scorer.onnx": {', '"../../scorer.onnx": {'))
    outcome = call("pull", site / "model.regad", "--out", tmp_path / "to" / "model.regad")
    assert outcome.code == 1 and "that no artifact has" in outcome.err and names(tmp_path / "to") == []


def test_what_is_none_of_ours_is_told_and_never_written_over(call: Run, site: Path, tmp_path: Path) -> None:
    (site / "noise.safetensors").write_bytes(b"\xff" * 4000)
    noise = call(
        "pull", site / "noise.safetensors", "--out", tmp_path / "p.safetensors", "--model", site / "model.regad"
    )
    assert noise.code == 1 and "is not a category file" in noise.err
    mine = tmp_path / "notes.txt"
    mine.write_text("mine")
    outcome = call("pull", site / "plate.safetensors", "--out", mine, "--model", site / "model.regad")
    assert outcome.code == 1 and "is not a category file" in outcome.err and mine.read_text() == "mine"


def test_a_redirect_to_another_host_needs_its_name(call: Run, site: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.safetensors"
    with web_server(files_below(site)) as store:

        def answer(request: http.server.BaseHTTPRequestHandler) -> None:
            request.send_response(302)
            request.send_header("Location", f"{store}{request.path}")
            request.end_headers()

        with web_server(answer) as address:
            args = ("pull", f"{address}/plate.safetensors", "--out", out, "--model", site / "model.regad")
            refused = call(*args)
            assert refused.code == 1 and f"--follow {store.removeprefix('http://')}" in refused.err
            assert not out.exists()
            assert call(*args, "--follow", store.removeprefix("http://")).code == 0
    assert load_category(out).shot == 2


def _hear_interrupts() -> None:
    """A test run in the background ignores SIGINT, and so would its child."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_pull_that_is_killed_half_way_leaves_nothing(site: Path, tmp_path: Path, sent: signal.Signals) -> None:
    half, over = threading.Event(), threading.Event()

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        if not request.path.endswith("encoder.onnx"):
            files_below(site)(request)
            return
        data = (site / "model.regad" / "encoder.onnx").read_bytes()
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data[: len(data) // 2])
        request.wfile.flush()
        half.set()
        over.wait(PATIENCE)

    out = tmp_path / "to"
    out.mkdir()
    with web_server(answer) as address:
        code = "from regad.runtime.serve.registry_cli import main_pull; main_pull()"
        words = [sys.executable, "-c", code, f"{address}/model.regad", "--out", str(out / "model.regad")]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        # A test run in the background ignores SIGINT, and so would its child.
        with subprocess.Popen(
            words, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **quiet
        ) as pulling:
            assert half.wait(PATIENCE)
            pulling.send_signal(sent)
            assert pulling.wait(PATIENCE) != 0
        over.set()
    assert names(out) == []
