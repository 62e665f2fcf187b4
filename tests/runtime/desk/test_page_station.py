"""The first minutes of a newcomer: two commands, the link that is printed, and the page at a line that really runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from regad.runtime.desk.service import Surroundings
from regad.runtime.desk.web.rejudge import Rejudging, Wanted
from regad.runtime.errors import InputError, OutputError
from regad.runtime.station import simulate
from regad.runtime.station.config_file import parse_config, read_config, read_document
from regad.runtime.station.drawn import DrawnParts, is_drawn, rate_of
from regad.runtime.station.image import ProcessImage
from regad.runtime.station.simulate import write_drawn_station
from regad.runtime.station.trace.reader import Selection
from regad.runtime.station.trace.search import Query, TraceSearch

from .browser import chromium, opened, said, until
from .test_page_browser import LIT

FOUND = """document.querySelector("tbody tr") !== null &&
    [...document.querySelectorAll("tbody tr")].every((row) => row.innerText.includes("REJECT"))"""
RUN = "from regad.runtime.station.cli import main; main()"


class Running(NamedTuple):
    """A station that runs: its folder, the page's port, and the token of the one-time link."""

    folder: Path
    process: subprocess.Popen[str]
    port: int
    token: str


@pytest.fixture(scope="module")
def demo(small_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of ``regad-station init demo --simulate``, with the page at a free port."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulate, "_SHOTS", 2)
        path = write_drawn_station(folder, small_artifact, rate=4.0, threads=1)
    text = path.read_text().replace("# port = 8080", "port = 0").replace("# threads = 2", "threads = 1")
    path.write_text(text.replace("deadline_ms = 1000", "deadline_ms = 20000", 1))
    return folder


@pytest.fixture
def running(demo: Path) -> Iterator[Running]:
    words = [sys.executable, "-c", RUN, "run", str(demo / "station.toml")]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stderr is not None
            line = next(line for line in process.stderr if "#first=" in line)
            address, _, token = line.strip().partition("/#first=")
            yield Running(demo, process, int(address.rpartition(":")[2]), token)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            assert process.stderr is not None
            assert process.stderr.read().splitlines()[-1].startswith("stopped by SIGTERM: ")


def test_a_newcomer_sees_drawn_parts_judged_and_sets_a_password(running: Running) -> None:
    with chromium() as browser, opened(browser, running.port, place=f"/#first={running.token}") as page:
        page.locator(".verdict.good, .verdict.bad").wait_for()
        assert running.token not in page.url, "the link is used up, and does not stay in the history"
        said(page, ".verdict", "Simulated parts")
        until(page, LIT)
        said(page, ".verdict", "REJECT")
        page.locator(".rejects img").first.wait_for()

        page.keyboard.press("l")
        said(page, ".age", "Live")
        assert page.evaluate("document.querySelector('.shown canvas').width") == 256, "the camera's own picture"

        page.get_by_role("link", name="I/O").click()
        page.locator(".bits li.on", has_text="SIMULATED").wait_for()
        page.get_by_role("link", name="Trace").click()
        page.get_by_label("Verdict").select_option("REJECT")
        page.get_by_role("button", name="Search").click()
        until(page, FOUND)
        page.locator("tbody a").first.click()
        said(page, "dl", "anomalous")

        page.get_by_role("link", name="set one").click()
        page.get_by_label("Name").fill("anna")
        page.get_by_label("New password").fill("correct horse")
        page.get_by_role("button", name="Set the password").click()
        page.locator("header .who", has_text="anna").wait_for()

        page.get_by_role("link", name="Line").click()
        running.process.send_signal(signal.SIGTERM)
        said(page, ".banner", "Not connected")
    with TraceSearch(running.folder / "trace") as trace:
        rows, changes = trace.search(Query(), 500), trace.audit(None, 50)
    assert {("first start", "login"), ("anna", "password"), ("anna", "login")} <= {
        (row["user"], row["action"]) for row in changes
    }
    good = [row for row in rows if row["serial"].startswith("good")]
    assert good and len(good) < len(rows), "drawn parts of both kinds came"
    assert all(row["simulated"] for row in rows)
    judged_again(running.folder, rows[-1]["category_version"])


def judged_again(folder: Path, version: int) -> None:
    """The page's *Judge again* with the version that judged: every score is the same in every bit."""
    config = read_config(folder / "station.toml")
    judging = Rejudging(Surroundings(config, folder, None, None, print))  # type: ignore[arg-type]
    judging.start(Wanted(Selection(1, 2), version=version, by="anna"))
    with pytest.raises(InputError, match="another range is being judged"):
        judging.start(Wanted(Selection(), threshold=1.0))
    while (found := judging.found())["running"]:
        time.sleep(0.05)
    assert found["error"] == ""
    assert found["result"] == {**found["result"], "judged": 2, "changed": 0, "same_scores": 2}


def test_the_demonstration_is_written_once_and_says_what_it_is(demo: Path, small_artifact: Path) -> None:
    config = read_config(demo / "station.toml")
    assert (config.station.mode, config.station.autostart, config.camera.source) == ("simulate", True, "drawn:4")
    assert config.desk is not None and config.desk.loopback
    with pytest.raises(OutputError, match="exists and is left as it is"):
        write_drawn_station(demo, small_artifact)


def test_nothing_real_may_pass_on_drawn_parts(demo: Path) -> None:
    document = read_document(demo / "station.toml")
    for table, key, value, text in (
        ("station", "mode", "live", 'expected station.mode = "simulate"'),
        ("trigger", "kind", "free", 'expected trigger.kind = "command"'),
        ("camera", "source", "drawn:fast", "expected drawn:RATE"),
        ("camera", "source", "drawn:101", "expected drawn:RATE"),
    ):
        changed = {**document, table: {**document[table], key: value}}
        config, faults = parse_config(changed, demo)
        assert config is None
        assert text in faults[0].text


def test_the_rate_stands_in_the_source() -> None:
    assert [rate_of(text) for text in ("drawn", "drawn:0", "drawn:2.5")] == [1.0, 0.0, 2.5]
    assert [is_drawn(text) for text in ("drawn", "drawn:9", "drawn.png", "camera:0")] == [True, True, False, False]
    with pytest.raises(InputError, match="expected drawn:RATE"):
        rate_of("drawn:-1")


def test_drawn_parts_wait_for_a_line_that_is_not_ready() -> None:
    asked: list[object] = []
    parts = DrawnParts(100.0)
    looked = threading.Event()

    def image() -> ProcessImage:
        looked.set()
        return ProcessImage()

    with parts.coming(lambda request: asked.append(request) or {}, image):  # type: ignore[func-returns-value]
        assert looked.wait(20)
    assert asked == []
