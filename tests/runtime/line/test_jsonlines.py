"""The record: JSON lines that are whole, on disk at once, and never another program's."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from regad.runtime.errors import OutputError
from regad.runtime.line import jsonlines
from regad.runtime.line.jsonlines import JsonLines, LineFile, record

from .verdicts import verdict


def lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def opened(target: str | Path) -> JsonLines:
    sink = JsonLines(str(target))
    sink.open()
    sink.name("art", "cat", "cpu", "f32")
    return sink


def test_record_of_a_judged_frame() -> None:
    assert record(verdict(), "art", "cat", "cpu", "f32") == {
        "source": "shots/x.jpg",
        "frame": 7,
        "time": 1700000000.123457,
        "score": 3.0,
        "threshold": 5.0,
        "anomalous": False,
        "warn": False,
        "reject": False,
        "reason": "good",
        "thetas": [[[1, 0, 0], [0, 1, 0.25]]] * 3,
        "ms": {"preprocess": 1.0, "encode": 20.5, "score": 4.25, "total": 26.0},
        "artifact": "art",
        "category": "cat",
        "device": "cpu",
        "precision": "f32",
    }


def test_record_of_a_frame_that_shows_no_part_has_no_score_and_says_why() -> None:
    judged = verdict()
    assert judged.result is not None
    detail = "brightness 3, taught with 88 to 140"
    result = replace(judged.result, score=math.inf, anomalous=True, refusal="no_part", detail=detail)
    line = json.loads(json.dumps(record(replace(judged, result=result), "art", "cat", "cpu", "f32"), allow_nan=False))
    assert line["score"] is None
    assert (line["anomalous"], line["reject"], line["reason"]) == (True, True, "no_part")
    assert line["detail"] == detail


def test_record_of_what_could_not_be_judged_has_no_verdict() -> None:
    assert record(verdict(None), "art", "cat", "cpu", "f32") == {
        "source": "shots/x.jpg",
        "frame": 7,
        "time": 1700000000.123457,
        "reject": True,
        "error": "cannot be read",
    }


def test_each_line_is_on_disk_when_write_returns(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "log.jsonl"
    sink = opened(path)
    for count in (1, 2, 3):
        assert sink.write(verdict())
        assert len(lines(path)) == count
    sink.close()
    sink.close()


def test_an_existing_record_is_continued_and_its_half_line_removed(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    record = '{"source": "x", "frame": 0, "time": 1.5, "error": "dark"}\n'
    path.write_text(record * 2 + '{"source": "x", "frame": 2, "sco')
    LineFile(str(path)).write('{"frame": 3}')
    assert [line["frame"] for line in lines(path)] == [0, 0, 3]
    for half in ('{"source": "x", "fra', ""):
        path.write_text(half)
        LineFile(str(path)).write("{}")
        assert lines(path) == [{}]
    path.write_text(record + '{"long": "' + "x" * 200_000)
    LineFile(str(path)).write("{}")
    assert lines(path) == [json.loads(record), {}]


@pytest.mark.parametrize("before", ["", "x"])
def test_a_record_that_lacks_only_its_newline_gets_it(tmp_path: Path, before: str) -> None:
    path = tmp_path / "log.jsonl"
    record = '{"source": "x", "frame": 0, "time": 1.5, "error": "dark"}'
    path.write_text(f"{record}\n{record}" if before else record)
    LineFile(str(path)).write("{}")
    assert lines(path) == [json.loads(record)] * (2 if before else 1) + [{}]


@pytest.mark.parametrize(
    "content",
    [
        "shopping list\n",
        '{\n  "format": "regad-artifact"\n}\n',
        "\x89PNG",
        '{"level": "info", "message": "the log of another program"}\n',
        '{"half": "of another program',
        '{"source": "a minified configuration", "port": 1}',
        "{",
        '{"sou',
        "[" * 50_000,
        '{"source": ' + "[" * 50_000 + "\n",
    ],
)
def test_a_file_that_is_no_record_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other"
    path.write_text(content)
    with pytest.raises(OutputError, match="does not hold JSON lines"):
        LineFile(str(path))
    assert path.read_text() == content


def test_a_full_disk_leaves_whole_lines_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    sink = opened(path)
    sink.write(verdict())
    real = os.write

    def nearly_full(handle: int, data: bytes) -> int:
        if len(data) > 20:
            return real(handle, data[:20])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(jsonlines.os, "write", lambda handle, data: nearly_full(handle, data[:25]))
    with pytest.raises(OutputError, match=r"cannot write .*log\.jsonl: No space left on device"):
        sink.write(verdict())
    monkeypatch.undo()
    assert len(lines(path)) == 1
    sink.write(verdict())
    assert len(lines(path)) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device() -> None:
    sink = opened("/dev/full")
    with pytest.raises(OutputError, match="No space left") as caught:
        sink.write(verdict())
    assert "\n" not in str(caught.value)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for target in (tmp_path / "file" / "log.jsonl", tmp_path):
        with pytest.raises(OutputError, match="cannot write"):
            opened(target)


def test_stdout_gets_each_line_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    sink = opened("-")
    sink.write(verdict())
    assert json.loads(capfd.readouterr().out)["frame"] == 7
    sink.close()


def test_captured_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    opened("-").write(verdict())
    assert json.loads(capsys.readouterr().out)["score"] == 3.0


@pytest.mark.parametrize(
    ("streams", "buffered"), [("nullcontext", "1"), ("standard_streams", ""), ("standard_streams", "1")]
)
def test_stdout_whose_reader_has_gone(streams: str, buffered: str) -> None:
    """Of a program that writes by itself, and of one with the streams of the commands, whatever Python keeps back."""
    code = (
        "from contextlib import nullcontext\n"
        "from regad.runtime.commands.streams import standard_streams\n"
        "from regad.runtime.errors import OutputError\n"
        "from regad.runtime.line.jsonlines import LineFile\nfile = LineFile('-')\n"
        f"with {streams}():\n"
        "  try:\n    while True: file.write('{}' * 1000)\n  except OutputError as error: raise SystemExit(str(error))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": buffered},
    )
    assert child.stdout is not None
    assert child.stderr is not None
    with child.stderr:
        child.stdout.readline()
        child.stdout.close()
        assert child.wait(20) == 1
        said = child.stderr.read()
    assert said.startswith(b"cannot write stdout: Broken pipe;")
    assert said.count(b"\n") == 1


def test_a_pipe_that_nobody_reads_any_more_is_named(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    sink = opened(pipe)
    sink.write(verdict())
    os.close(reader)
    with pytest.raises(OutputError, match=r"cannot write .*pipe: Broken pipe"):
        sink.write(verdict())


def test_what_failed_first_is_told_where_the_file_cannot_be_cut_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = opened(tmp_path / "log.jsonl")

    def fail(number: int) -> Any:
        def call(*args: object) -> None:
            raise OSError(number, os.strerror(number))

        return call

    monkeypatch.setattr(jsonlines.os, "write", fail(errno.ENOSPC))
    monkeypatch.setattr(jsonlines.os, "ftruncate", fail(errno.EIO))
    with pytest.raises(OutputError, match="No space left on device"):
        sink.write(verdict())


def test_nothing_is_written_after_close_and_nothing_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.jsonl"
    for target in (str(path), "-"):
        file = LineFile(target)
        file.close()
        file.close()
        with pytest.raises(OutputError, match="is closed"):
            file.write("{}")
    with pytest.raises(OutputError, match="is not open"):
        JsonLines(str(path)).write(verdict())
    assert capfd.readouterr().out == ""
    assert path.read_bytes() == b""


def test_a_name_that_is_not_utf8_is_written_as_an_escape(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    LineFile("-").write("good pr\udcfcf.jpg")
    assert capfd.readouterr().out == "good pr\\udcfcf.jpg\n"
