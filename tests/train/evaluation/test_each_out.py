"""The leave-one-category-out driver: what it trains, what it skips, and what it refuses."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from regad.runtime.errors import InputError
from regad.train.evaluation import command as eval_cli
from regad.train.evaluation import each_out
from regad.train.evaluation.each_out import train_without
from regad.train.model.checkpoint import load_checkpoint
from regad.train.run import command as train_cli

from ..helpers import draw, make_data, released


def made(folder: Path) -> Path:
    """Data of two categories, of which b has names that are no text."""
    root = make_data(folder / "data", {"a": 3, "b": 2})
    for name in ("a", "b"):
        draw(root / name / "test" / "good" / "0.png", 50)
        draw(root / name / "test" / "dent" / "0.png", 51)
    for path in (root / "b" / "train" / "good").iterdir():
        path.rename(path.with_name(os.fsdecode(b"pr\xfcf") + path.name))
    (root / "b" / "test" / "notes.txt").touch()
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return made(tmp_path)


class Trainer:
    """Writes a checkpoint at once, and notes what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, words: list[str], **options: object) -> None:
        self.calls.append(words)
        out = Path(words[words.index("--out") + 1])
        out.mkdir(parents=True, exist_ok=True)
        torch.save(released("rotation_scale", seed=len(self.calls)), out / "model.pt")


def evaluate(root: Path, folder: Path, *args: str) -> dict[str, Any]:
    out = folder.parent / "out.json"
    words = ["--train-each", str(folder), "--data", str(root), "--shot", "2", "--json", str(out), *args]
    eval_cli.command.main(words, standalone_mode=False)
    content: dict[str, Any] = json.loads(out.read_text())
    return content


ARGUMENTS = ["--epochs", "0", "--weights", "none", "--shot", "1"]
"""Real runs of regad-train, of no epochs."""


class Judged(NamedTuple):
    """Both categories, judged once in ``folder``: what regad-train was called with, and the result."""

    root: Path
    folder: Path
    calls: list[list[str]]
    content: dict[str, Any]


def noting(calls: list[list[str]]) -> Callable[..., object]:
    """regad-train, which notes what it is asked for."""
    train = train_cli.command.main

    def noted(words: list[str], **options: Any) -> object:
        calls.append(words)
        return train(words, **options)

    return noted


@pytest.fixture(scope="module")
def judged_once(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    place, calls = tmp_path_factory.mktemp("judged"), list[list[str]]()
    root = made(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_cli.command, "main", noting(calls))
        content = evaluate(root, place / "each", "--train-args", shlex.join(ARGUMENTS))
    return Judged(root, place / "each", calls, content)


@pytest.fixture
def judged(judged_once: Judged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judged:
    """A copy of the folder, to go on with."""
    shutil.copytree(judged_once.folder, tmp_path / "each")
    calls: list[list[str]] = []
    monkeypatch.setattr(train_cli.command, "main", noting(calls))
    return judged_once._replace(folder=tmp_path / "each", calls=calls)


def test_every_category_is_judged_by_a_model_that_never_saw_it(judged_once: Judged) -> None:
    _, folder, calls, first = judged_once
    assert [call[4:] for call in calls] == [["--hold-out", "a", *ARGUMENTS], ["--hold-out", "b", *ARGUMENTS]]
    assert [r["category"] for r in first["results"]] == ["a", "b"]
    assert first["model"]["kind"] == "leave-one-out"
    assert (folder / "a" / "result.json").is_file()
    mark = json.loads((folder / "b" / "trained.json").read_text())
    assert (mark["held_out"], mark["categories"]) == ("b", ["a", "b"])
    assert load_checkpoint(folder / "b" / "model.pt").provenance["categories"] == ["a"]


def test_what_is_trained_is_not_trained_again(judged: Judged) -> None:
    root, folder, calls, first = judged
    arguments = shlex.join(ARGUMENTS)
    again = evaluate(root, folder, "--train-args", arguments)
    assert again["results"] == first["results"]
    assert again["model"] == first["model"]
    more = evaluate(root, folder, "--train-args", arguments, "--rounds", "2", "--category", "b")
    assert [(r["category"], r["seed"]) for r in more["results"]] == [("b", 0), ("b", 1)]
    with pytest.raises(InputError, match=r"was trained with arguments \['--epochs', '0', .*'1'\], not"):
        evaluate(root, folder, "--train-args", "--epochs 4")
    assert calls == []


def test_a_category_that_was_not_finished_is_trained_again(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a"

    def stopped(words: list[str]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_without("a", folder, root, [], stopped)
    trainer = Trainer()
    train_without("a", folder, root, [], trainer)
    train_without("a", folder, root, [], trainer)
    assert len(trainer.calls) == 1


def test_a_checkpoint_that_changed_is_refused(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    train_without("a", folder, root, [], Trainer())
    torch.save(released("rotation_scale", seed=9), folder / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt is not the checkpoint that was trained there; remove"):
        train_without("a", folder, root, [], Trainer())
    (folder / "trained.json").write_text("[]")
    with pytest.raises(InputError, match=r"trained\.json cannot be read"):
        train_without("a", folder, root, [], Trainer())


def test_what_the_driver_sets_cannot_be_set(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--train-args holds --out"):
        train_without("a", tmp_path / "a", root, ["--out=x"], Trainer())


def test_what_is_finished_is_not_judged_again_whatever_its_files_are_called(
    judged: Judged, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    root, folder, _, first = judged
    monkeypatch.setattr(each_out, "run_rounds", lambda *args, **options: pytest.fail("judged again"))
    capfd.readouterr()
    again = evaluate(root, folder, "--train-args", shlex.join(ARGUMENTS), "--category", "b")
    assert again["results"] == [r for r in first["results"] if r["category"] == "b"]
    note = f"note: {root}/b/test: passed over, being no folders or hidden: notes.txt"
    assert capfd.readouterr().err.splitlines() == [note]
