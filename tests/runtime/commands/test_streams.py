"""Programs without a terminal: streams that are closed, full, gone or not UTF-8, no home, a read-only folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regad.runtime.commands.streams import standard_streams

CHILD = """
import sys
from pathlib import Path
from regad.calib import folder as teaching
from regad.runtime.commands import run as cli
from regad.runtime.formats.artifact import Artifact
from tests.runtime.run_doubles import ARTIFACT, Bench
bench = Bench(Path(sys.argv[1]))
cli.Detector.load = bench.load
teaching.teach_folder = bench.teach
Artifact.open = lambda path, verify=True: ARTIFACT
sys.argv[1:] = sys.argv[2:]
cli.main()
"""
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for number in range(3):
        Image.fromarray(np.full((30, 40), 40 + number, np.uint8)).save(tmp_path / "in" / f"{number}.png")
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    return tmp_path


def shell(
    place: Path, redirect: str = "", *, source: str = "in", start: str = "", bare: bool = False, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run regad-run under a shell, which redirects its streams."""
    given = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), **environment}
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV") if name in os.environ}
    words = f"--model model.regad --support {place}/support --source {place}/{source}"
    words += "" if bare else f" --json {place}/log.jsonl"
    line = f'{start}"$PY" -c "$CODE" {place} {words} {redirect}'
    return subprocess.run(
        ["sh", "-c", line],
        env={**kept, "XDG_CACHE_HOME": str(place / "cache"), **given, "PY": sys.executable, "CODE": CHILD},
        cwd=place,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def errors(place: Path) -> list[bool]:
    """Which of the recorded frames have an error; fails on a line that is no JSON."""
    return ["error" in json.loads(line) for line in (place / "log.jsonl").read_text().splitlines()]


ALL = [False, False, False, True]


@pytest.mark.parametrize(
    "redirect", ["", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full", ">/dev/full", "| true"]
)
def test_the_run_goes_on_whatever_its_streams_are(place: Path, redirect: str) -> None:
    done = shell(place, redirect)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert errors(place) == ALL, "each frame is recorded, and nothing else is in the record"
    if redirect == "| true":
        return  # that is whose status the shell gives
    assert done.returncode == 3, "because of the broken image"
    if redirect == ">/dev/full":
        told = [line for line in done.stderr.splitlines() if "stdout" in line]
        assert told == [
            "note: cannot write stdout: No space left on device; send it somewhere else; "
            "no more verdicts are printed, the run continues"
        ]


@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_command_that_prints_to_a_full_stdout_fails_in_one_line(place: Path, buffered: str) -> None:
    code = "from regad.runtime.commands.doctor import main; main()"
    done = subprocess.run(
        ["sh", "-c", '"$PY" -c "$CODE" --json found.json > /dev/full'],
        env={**os.environ, "PY": sys.executable, "CODE": code, "PYTHONUNBUFFERED": buffered},
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["error: cannot write stdout: No space left on device; send it somewhere else"]


@pytest.mark.parametrize(("redirect", "reason"), [(">/dev/full", "No space left on device"), ("| true", "Broken pipe")])
def test_where_nothing_else_is_recorded_a_broken_stdout_ends_the_run_in_one_line(
    place: Path, redirect: str, reason: str
) -> None:
    done = shell(place, f"; echo status $? >&2; }} {redirect}", start="{ ", bare=True)
    assert "status 1" in done.stderr
    assert [line for line in done.stderr.splitlines() if "error" in line] == [
        f"error: cannot write stdout: {reason}; send it somewhere else"
    ]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "latin-1:strict"},
    ],
)
def test_no_name_and_no_encoding_ends_a_run(place: Path, environment: dict[str, str]) -> None:
    (place / "in" / "Gehäuse ±.png").write_bytes((place / "in" / "0.png").read_bytes())
    Path(os.fsdecode(os.fsencode(place) + b"/in/pr\xfcf.png")).write_bytes((place / "in" / "0.png").read_bytes())
    done = shell(place, **environment)
    assert "Traceback" not in done.stderr
    assert done.returncode == 3
    assert len(errors(place)) == 6
    assert "\\udc" not in done.stdout + done.stderr, "no halves of characters"


@pytest.mark.parametrize(
    ("environment", "printed"),
    [
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "pr\\ufffd f\\xfc\nnext\n"),
        ({"LC_ALL": "C.UTF-8"}, "pr\ufffd fü\nnext\n"),
    ],
)
def test_every_command_prints_names_as_people_may_see_them(environment: dict[str, str], printed: str) -> None:
    code = (
        "import click\nfrom regad.runtime.commands.console import run_cli\n"
        "run_cli(click.Command('x', callback=lambda: click.echo('pr\\udcfc f\\udcc3\\udcbc\\nnext')))"
    )
    fresh = {**os.environ, **environment}
    done = subprocess.run([sys.executable, "-c", code], env=fresh, capture_output=True, check=True)
    assert done.stdout.decode() == printed


def test_a_stream_whose_file_was_closed_before_it_is_collected_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.13 prints what closing raises there."""
    under = StringIO()
    monkeypatch.setattr(sys, "stdout", under)
    with standard_streams():
        stream = sys.stdout
    under.close()
    stream.flush()
    stream.close()
