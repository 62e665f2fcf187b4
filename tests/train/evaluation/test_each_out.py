"""The leave-one-category-out driver: what it trains, what it skips, and what it refuses."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from regad.runtime.errors import InputError
from regad.train.evaluation import command as eval_cli
from regad.train.evaluation import each_out
from regad.train.evaluation.each_out import train_without
from regad.train.run import command as train_cli

from ..helpers import draw, make_data, released


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_data(tmp_path / "data", {"a": 3, "b": 4})
    for name in ("a", "b"):
        draw(root / name / "test" / "good" / "0.png", 50)
        draw(root / name / "test" / "dent" / "0.png", 51)
    return root


class Trainer:
    """Writes a checkpoint at once, and notes what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, words: list[str], **options: object) -> None:
        self.calls.append(words)
        out = Path(words[words.index("--out") + 1])
        out.mkdir(parents=True, exist_ok=True)
        torch.save(released("rotation_scale", seed=len(self.calls)), out / "model.pt")


def evaluate(root: Path, folder: Path, *args: str) -> dict[str, object]:
    out = folder.parent / "out.json"
    words = ["--train-each", str(folder), "--data", str(root), "--shot", "2", "--json", str(out), *args]
    eval_cli.command.main(words, standalone_mode=False)
    content: dict[str, object] = json.loads(out.read_text())
    return content


def test_every_category_is_judged_by_a_model_that_never_saw_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, folder = Trainer(), tmp_path / "each"
    monkeypatch.setattr(train_cli.command, "main", trainer)
    first = evaluate(root, folder, "--train-args", "--epochs 3 --seed 1")
    assert [call[4:] for call in trainer.calls] == [
        ["--hold-out", "a", "--epochs", "3", "--seed", "1"],
        ["--hold-out", "b", "--epochs", "3", "--seed", "1"],
    ]
    assert [r["category"] for r in first["results"]] == ["a", "b"]  # type: ignore[attr-defined]
    assert first["model"]["kind"] == "leave-one-out"  # type: ignore[index]
    assert (folder / "a" / "result.json").is_file()

    again = evaluate(root, folder, "--train-args", "--epochs 3 --seed 1")
    assert len(trainer.calls) == 2
    assert again["results"] == first["results"]
    assert again["model"] == first["model"]
    more = evaluate(root, folder, "--train-args", "--epochs 3 --seed 1", "--rounds", "2", "--category", "b")
    assert [(r["category"], r["seed"]) for r in more["results"]] == [("b", 0), ("b", 1)]  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"was trained with arguments \['--epochs', '3', '--seed', '1'\], not"):
        evaluate(root, folder, "--train-args", "--epochs 4")


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


def test_a_real_run_of_no_epochs(root: Path, tmp_path: Path) -> None:
    content = evaluate(root, tmp_path / "each", "--train-args", "--epochs 0 --weights none", "--category", "b")
    mark = json.loads((tmp_path / "each" / "b" / "trained.json").read_text())
    assert (mark["held_out"], mark["categories"]) == ("b", ["a", "b"])
    assert [r["category"] for r in content["results"]] == ["b"]  # type: ignore[attr-defined]


def test_what_is_finished_is_not_judged_again_whatever_its_files_are_called(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for path in (root / "b" / "train" / "good").iterdir():
        path.rename(path.with_name(os.fsdecode(b"pr\xfcf") + path.name))
    (root / "b" / "test" / "notes.txt").touch()
    monkeypatch.setattr(train_cli.command, "main", Trainer())
    first = evaluate(root, tmp_path / "each", "--category", "b")
    monkeypatch.setattr(each_out, "run_rounds", lambda *args, **options: pytest.fail("judged again"))
    capfd.readouterr()
    assert evaluate(root, tmp_path / "each", "--category", "b")["results"] == first["results"]
    note = f"note: {root}/b/test: passed over, being no folders or hidden: notes.txt"
    assert capfd.readouterr().err.splitlines() == [note]
