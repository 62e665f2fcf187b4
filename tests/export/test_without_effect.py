"""An option of ``regad-export`` that the others given leave without a say is refused."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from regad.export.cli import command


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--ckpt x --ranges minmax", "--ranges has no effect without --int8"),
        ("--ckpt x --fp16 --activations uint8", "--activations has no effect without --int8"),
        ("--ckpt x --fp16 --verify-shot 3", "--verify-shot has no effect without --verify-data"),
        ("--ckpt x --int8 --calib-images d --min-agreement 0.9", "--min-agreement has no effect without --verify-data"),
        ("--ckpt x --portable", "--portable has no effect without --engine"),
        ("--ckpt x --max-shot 4", "--max-shot has no effect without --engine"),
        ("--artifact x --engine --fp16", "--fp16 has no effect with --artifact"),
        ("--artifact x --engine --out y", "--out has no effect with --artifact"),
        ("--artifact x --engine --roi 1,2,3,4", "--roi has no effect with --artifact"),
    ],
)
def test_what_has_no_effect_is_refused(line: str, said: str) -> None:
    done = CliRunner().invoke(command, line.split())
    assert done.exit_code == 2 and f"Error: {said}: leave it out" in done.output
