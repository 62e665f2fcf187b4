"""An option that the others given leave without a say is refused, in one line that says which and why."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from regad.calib.cli import command as calib
from regad.calib.quantize_cli import command as quantize
from regad.runtime.commands.bench import command as bench
from regad.runtime.commands.bench_rows import ROWS
from regad.runtime.commands.options import refuse_without_effect
from regad.runtime.commands.run import command as run
from regad.runtime.serve.registry_cli import pull_command, push_command
from regad.runtime.serve.triton.cli import command as triton
from regad.runtime.station.cli import command as station

TEACH = "--model m --support good --out p.safetensors"


@pytest.mark.parametrize(
    ("command", "line", "said"),
    [
        (calib, f"{TEACH} --seed 3", "--seed has no effect without --shot: leave it out"),
        (calib, f"{TEACH} --threshold 1 --target-frr 0.1", "--target-frr has no effect with --threshold: leave it out"),
        (calib, f"{TEACH} --threshold 1 --validation more", "--validation has no effect with --threshold"),
        (
            quantize,
            "--model m --support good --out o --min-agreement 0.9",
            "--min-agreement has no effect",
        ),
        (run, "--source x --support good --model m --seed 1", "--seed has no effect without --shot"),
        (run, "--source x --support good --model m --threshold 1 --target-frr 0.1", "--target-frr has no effect with"),
        (run, "--source x --support good --model m --warn-threshold 1 --warn-frr 0.1", "--warn-frr has no effect with"),
        (bench, "--model m --pick --shot 4", "--shot has no effect with --pick"),
        (bench, f"--model m --pick --rows {next(iter(ROWS))}", "--rows has no effect with --pick"),
        (bench, "--model m --pick --curves", "--curves has no effect with --pick"),
        (push_command, "m ./copy.regad --plain-http", "--plain-http has no effect without a registry"),
        (push_command, "m ./copy.regad --follow h", "--follow has no effect without a registry"),
        (pull_command, "./m.regad --out o --follow h", "--follow has no effect with a folder or file"),
        (pull_command, "https://h/m.regad --out o --plain-http", "--plain-http has no effect with a web server"),
        (triton, "--model m --category c --out o --kind graphs --memory-mb 9", "--memory-mb has no effect with --kind"),
        (station, "token mes --revoke --role viewer", "--role has no effect with --revoke: leave it out"),
        (station, "token mes --revoke --days 3", "--days has no effect with --revoke: leave it out"),
        (station, "token --role viewer", "--role has no effect without the NAME of a token"),
        (station, "passwd anna --remove --role viewer", "--role has no effect with --remove"),
        (station, "passwd anna --remove --stdin", "--stdin has no effect with --remove"),
        (station, "import p.zip --out o --threads 2", "--threads has no effect without --model"),
        (station, "import p.zip --out o --device cpu", "--device has no effect without --model"),
    ],
)
def test_what_has_no_effect_is_refused_before_anything_is_done(
    command: click.Command, line: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(command, line.split())
    assert done.exit_code == 2, (done.output, done.exception)
    assert f"Error: {said}" in done.output
    assert list(tmp_path.iterdir()) == []


def test_an_option_that_was_not_given_is_not_meant() -> None:
    @click.command()
    @click.option("--much", default=3)
    @click.option("--other", is_flag=True)
    def made(much: int, other: bool) -> None:
        refuse_without_effect(["much", "unknown"], "here")
        click.echo("done")

    assert CliRunner().invoke(made, ["--other"]).output == "done\n"
    refused = CliRunner().invoke(made, ["--much", "3"])
    assert refused.exit_code == 2 and "Error: --much has no effect here: leave it out" in refused.output
