"""An option of ``regad-train`` or ``regad-eval`` that the others given leave without a say is refused."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from regad.train.evaluation.command import command as evaluate
from regad.train.run.command import command as train


@pytest.mark.parametrize(
    ("command", "line", "said"),
    [
        (train, "--recipe edge --lr 0.1", "--lr has no effect without training (--epochs 0 of the recipe edge)"),
        (train, "--recipe deep --epochs 0 --amp", "--amp has no effect without training (--epochs 0)"),
        (train, "--recipe edge --no-augment", "--augment has no effect without training"),
        (evaluate, "--model m --stn-mode affine", "--stn-mode has no effect without --ckpt"),
    ],
)
def test_what_has_no_effect_is_refused(command: click.Command, line: str, said: str, tmp_path: Path) -> None:
    words = [*line.split(), "--data", str(tmp_path), *(("--out", str(tmp_path / "o")) if command is train else ())]
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 2 and f"Error: {said}" in done.output and "leave it out" in done.output
    assert not (tmp_path / "o").exists()
