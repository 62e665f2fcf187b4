"""Which files and folders an output may replace, be or lie in."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from regad.runtime.commands.outputs import Input, check_distinct, check_file, check_folder, inputs, source_inputs
from regad.runtime.commands.own_files import (
    ARTIFACT,
    CATEGORY,
    PICTURE,
    RECORD,
    FileKind,
    html_kind,
    html_mark,
    json_kind,
    markdown_kind,
    markdown_mark,
)
from regad.runtime.errors import OutputError
from regad.runtime.formats.category import save_category
from regad.runtime.line.picture_file import encode
from regad.train.run.folder import TRAINING_RUN

from ..run_doubles import category

TEXT = FileKind("a text of ours", lambda path: path.read_bytes().startswith(b"ours"))


def refused(check: Callable[[], None]) -> str:
    with pytest.raises(OutputError) as caught:
        check()
    message = str(caught.value)
    assert "\n" not in message
    return message


# Files


def test_an_output_may_be_new_empty_or_of_its_own_kind(tmp_path: Path) -> None:
    path = tmp_path / "out"
    check_file("--out", path, TEXT)
    check_file("--out", tmp_path / "new folder" / "out", TEXT)
    path.touch()
    check_file("--out", path, TEXT)
    path.write_text("ours, of an earlier run")
    check_file("--out", path, TEXT)


def test_a_file_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("a shopping list")
    assert "exists and is not a text of ours; it is left as it is: choose another --out" in refused(
        lambda: check_file("--out", path, TEXT)
    )
    assert "is not the name of a file" in refused(lambda: check_file("--out", tmp_path, TEXT))
    assert "is not the name of a file" in refused(lambda: check_file("--out", Path("-"), TEXT))


@pytest.mark.parametrize("way", ["itself", "relative", "link", "hard link", "linked folder", "link to it"])
def test_an_output_is_not_an_input_by_whatever_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    (tmp_path / "in").mkdir()
    given = tmp_path / "in" / "part"
    given.write_text("ours")
    out = {
        "itself": given,
        "relative": Path("in/../in/part"),
        "link": tmp_path / "link",
        "hard link": tmp_path / "hard",
        "linked folder": tmp_path / "folder" / "part",
        "link to it": given,
    }[way]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(given)
    os.link(given, tmp_path / "hard")
    (tmp_path / "folder").symlink_to(tmp_path / "in")
    named = tmp_path / "link" if way == "link to it" else given
    message = refused(lambda: check_file("--out", out, TEXT, [Input("--category", named)]))
    assert message == f"--out {out} is also --category {named}, which would be lost; choose another --out"


def test_nothing_is_written_into_an_artifact_and_no_image_among_images(tmp_path: Path) -> None:
    given = [Input("--model", tmp_path / "model", sealed=True), Input("--support", tmp_path / "good")]
    for folder in ("model", "good"):
        (tmp_path / folder).mkdir()
    assert "lies inside --model" in refused(lambda: check_file("--out", tmp_path / "model" / "x", TEXT, given))
    assert "would be read as an image" in refused(lambda: check_file("--out", tmp_path / "good" / "x.PNG", TEXT, given))
    check_file("--out", tmp_path / "good" / "part.safetensors", TEXT, given)


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="needs /dev/null")
def test_a_device_is_written_to_but_never_replaced() -> None:
    check_file("--json", Path("/dev/null"), RECORD)
    assert "cannot be replaced" in refused(lambda: check_file("--out", Path("/dev/null"), TEXT))


def test_a_name_that_no_file_can_have_is_nothing_that_is_there(tmp_path: Path) -> None:
    check_file("--out", tmp_path / ("x" * 5000), TEXT, [Input("--source", tmp_path / ("y" * 5000))])
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert "device or pipe" in refused(lambda: check_file("--out", loop, TEXT))


def test_two_outputs_are_two_files(tmp_path: Path) -> None:
    check_distinct({"--json": tmp_path / "a", "--html": tmp_path / "b", "--markdown": None})
    assert "both name" in refused(
        lambda: check_distinct({"--json": tmp_path / "a", "--html": tmp_path / ".." / tmp_path.name / "a"})
    )


# Kinds


def test_each_kind_knows_its_own(tmp_path: Path) -> None:
    own = tmp_path / "own"
    save_category(category(), own)
    assert CATEGORY.is_own(own)
    own.write_bytes(encode(np.zeros((4, 4, 3), np.uint8), ".jpg"))
    assert PICTURE.is_own(own)
    own.write_text(json.dumps({"format": "regad-bench", "rows": []}, indent=2))
    assert json_kind("regad-bench", "regad-bench").is_own(own)
    assert not json_kind("regad-doctor", "regad-doctor").is_own(own)
    own.write_text(f"<!doctype html><head>{html_mark('regad-eval')}</head>")
    assert html_kind("regad-eval").is_own(own)
    own.write_text(f"# Title\n{markdown_mark('regad-eval')}\n")
    assert markdown_kind("regad-eval").is_own(own)


@pytest.mark.parametrize(
    "content",
    [
        b"text",
        b"\x10\0\0\0\0\0\0\0{}",
        b"\xff" * 100,
        b'{"format": "other"}',
        b"[1]",
        b"<html></html>",
        b"\x0f\0\0\0\0\0\0\0" + b'{"x":{"a":1}}  ',
    ],
)
def test_no_kind_takes_a_strange_file_for_its_own(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    kinds = (CATEGORY, PICTURE, json_kind("regad-bench", "regad-bench"), html_kind("c"), markdown_kind("c"))
    assert not any(kind.is_own(path) for kind in kinds)


# Folders


def test_a_folder_is_no_input_lies_in_none_and_holds_no_images_that_are_judged(tmp_path: Path) -> None:
    images = tmp_path / "in"
    images.mkdir()
    (images / "x.png").touch()
    link = tmp_path / "link"
    link.symlink_to(images)
    given = [Input("--source", images)]
    assert "is also --source" in refused(lambda: check_folder("--overlay", link, given))
    assert "lies inside --source" in refused(lambda: check_folder("--overlay", link / "out", given))
    single = [Input("--source", images / "x.png")]
    assert "holds images of --source (x.png)" in refused(lambda: check_folder("--overlay", link, single))
    check_folder("--overlay", images / "out", single)
    check_folder("--overlay", tmp_path / "out", given)
    assert "is a file" in refused(lambda: check_folder("--overlay", images / "x.png", []))


def test_a_folder_that_is_replaced_holds_no_input(tmp_path: Path) -> None:
    (tmp_path / "model.pt").touch()
    given = inputs(ckpt=tmp_path / "model.pt")
    assert "holds --ckpt" in refused(lambda: check_folder("--out", tmp_path, given, replaced=True))
    check_folder("--out", tmp_path, given)


def test_an_artifact_with_other_files_in_it_is_not_replaced(tmp_path: Path, small_artifact: Path) -> None:
    folder = tmp_path / "model.regad"
    shutil.copytree(small_artifact, folder)
    (folder / "engines").mkdir(exist_ok=True)
    check_folder("--out", folder, kind=ARTIFACT)
    (folder / "part.safetensors").touch()
    assert "holds part.safetensors, which is not part of an artifact" in refused(
        lambda: check_folder("--out", folder, kind=ARTIFACT)
    )
    (tmp_path / "other").mkdir()
    check_folder("--out", tmp_path / "other", kind=ARTIFACT)
    (tmp_path / "other" / "thesis.doc").touch()
    assert "thesis.doc" in refused(lambda: check_folder("--out", tmp_path / "other", kind=ARTIFACT))


@pytest.mark.parametrize("name", ["model.pt", "state.pt", "log.jsonl", "curve.png"])
def test_a_training_run_replaces_no_file_of_another(tmp_path: Path, name: str) -> None:
    check_folder("--out", tmp_path, kind=TRAINING_RUN)
    (tmp_path / "notes.txt").touch()
    check_folder("--out", tmp_path, kind=TRAINING_RUN)
    (tmp_path / name).write_bytes(b'{"somebody": "else"}')
    assert f"holds {name}, which is not of a run of regad-train" in refused(
        lambda: check_folder("--out", tmp_path, kind=TRAINING_RUN)
    )


@pytest.mark.parametrize(
    ("log", "own"),
    [
        ("", True),
        ('{"epoch": 1}\n', True),
        ("\nsomebody's\n", False),
        ('["epoch"]\n', False),
        ("[" * 4000 + "\n", False),
    ],
)
def test_the_log_of_a_run_is_empty_or_begins_with_an_epoch(tmp_path: Path, log: str, own: bool) -> None:
    (tmp_path / "log.jsonl").write_text(log)
    assert list(TRAINING_RUN.strange(tmp_path)) == ([] if own else ["log.jsonl"])


# What a source reads


def test_what_a_source_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png", "c.jpg"):
        (tmp_path / name).touch()

    def reads(uri: str) -> list[str]:
        return sorted(str(one.path) for one in source_inputs(uri))

    assert reads("*.png") == ["a.png", "b.png"]
    assert reads(f"{tmp_path}/**/a.*") == [str(tmp_path), f"{tmp_path}/a.png"]
    assert reads(f"file://{tmp_path}/a.png") == [f"{tmp_path}/a.png"]
    assert reads(".") == ["."]
    assert reads('filesrc location="my clip.avi" ! decodebin ! appsink') == ["my clip.avi"]
    assert reads("filesrc location=clip.avi ! decodebin ! appsink") == ["clip.avi"]
    for uri in ("camera:0", "0", "rtsp://camera/*", "absent.png", "videotestsrc ! " * 200 + "appsink"):
        assert reads(uri) == []
