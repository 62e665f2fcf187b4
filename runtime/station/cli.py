"""``regad-station``: set up, check and run a station, and work with its trace."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..backends.base import Precision
from ..commands.console import EXIT_FAILURE, run_cli, tell
from ..commands.options import device_option, model_option, precision_option, threads_option
from ..commands.outputs import check_folder, inputs
from ..commands.own_files import FolderKind
from ..errors import InputError
from ..formats.artifact import is_artifact
from ..formats.places import DEFAULT_MODEL, find_model
from ..text import shown
from .teach_command import teach_command
from .trace_commands import export_command, import_command, rejudge_command
from .user_commands import passwd_command, token_command

__all__ = ["command", "main"]

if TYPE_CHECKING:
    from .plc_client import Verdict
    from .scene import Defect

_PATH = click.Path(path_type=Path)
_WRITTEN = ("plate.safetensors", "station.sock", "trace")


def _strange_in_simulated(folder: Path) -> Iterator[str]:
    yield from (path.name for path in sorted(folder.iterdir()) if path.name not in _WRITTEN)


_SIMULATED = FolderKind("of a station that regad-station simulated", _strange_in_simulated)


class _Group(click.Group):
    """The commands in the order in which a newcomer meets them. Each imports what it needs when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> object:
        if find_spec("msgspec") is None:
            raise InputError("a station needs msgspec, which is not installed; pip install 'regad[cpu,station]'")
        return super().invoke(ctx)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def command() -> None:
    """A station at a line: a verdict for each part in time, and a record of every one."""


@command.command("init")
@click.argument("folder", type=_PATH, default=Path())
@click.option("--model", type=_PATH, help="Artifact (else FOLDER/model.regad, $REGAD_MODEL, ./model.regad).")
@click.option("--category", "categories", type=_PATH, multiple=True, help="Category file; one for each job.")
@click.option("--simulate", is_flag=True, help="A station to try: drawn parts, one a second, and no camera.")
def init_command(folder: Path, model: Path | None, categories: tuple[Path, ...], simulate: bool) -> None:
    """Write FOLDER/station.toml for the artifact, the cameras and the category files that are found."""
    from .setup_file import find, write_new

    if simulate:
        if categories:
            raise click.UsageError("--category and --simulate do not go together; the drawn part is taught")
        from .simulate import write_drawn_station

        path = write_drawn_station(folder, _model_for(folder, model), say=tell)
        click.echo(f"{shown(path)} is written; next: regad-station run {shown(path)}")
        return
    found = find(folder, model, categories)
    path = write_new(folder, found)
    tell(f"artifact   {shown(found.model) if found.model else 'none found'}")
    tell(f"cameras    {', '.join(found.cameras) or 'none found'}")
    tell(f"categories {', '.join(shown(one) for one in found.categories) or 'none found'}")
    click.echo(f"{shown(path)} is written; next: regad-station check {shown(path)}")


def _model_for(folder: Path, model: Path | None) -> Path:
    """The artifact for a station in ``folder``. Raises InputError where there is none."""
    beside = folder / DEFAULT_MODEL
    return beside if model is None and is_artifact(beside) else find_model(model)


@command.command("check")
@click.argument("config", type=_PATH)
def check_command(config: Path) -> int:
    """Check everything that a run of CONFIG needs; each missing thing is named with its fix.

    Exit status: 0 if nothing is missing, 1 if something is. Do it while the station does not run: its ports and its
    camera are in use then.
    """
    from ..commands.doctor import findings_text
    from .checks import examine

    findings = examine(config)
    click.echo(findings_text(findings))
    return EXIT_FAILURE if any(finding.level == "problem" for finding in findings) else 0


@command.command("run")
@click.argument("config", type=_PATH)
def run_command(config: Path) -> int:
    """Run the station that CONFIG describes until SIGINT or SIGTERM.

    Exit status: 0 after SIGTERM, 130 after SIGINT (Ctrl-C), 1 if it cannot start.
    """
    from .config_file import read_config
    from .process import run_line

    return run_line(read_config(config), config, say=tell)


@command.command("simulate")
@model_option
@click.option(
    "--folder", type=_PATH, default=Path("simulated-station"), show_default=True, help="Folder for the trace."
)
@click.option("--parts", type=click.IntRange(1), default=100, show_default=True, help="Number of parts.")
@click.option(
    "--rate", type=click.FloatRange(0, 1000, min_open=True), default=5.0, show_default=True, help="Parts a second."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the drawn parts.")
@device_option
@precision_option
@threads_option
def simulate_command(
    model: Path | None,
    folder: Path,
    parts: int,
    rate: float,
    seed: int,
    device: str,
    precision: Precision,
    threads: int | None,
) -> int:
    """Run a station on drawn parts with a simulated PLC; everything else is real. Needs an artifact, and no camera.

    Exit status: 0 if every part got a verdict and a record, else 1.
    """
    from .simulate import simulate

    model = find_model(model)
    check_folder("--folder", folder, inputs("model", model=model), kind=_SIMULATED)
    report = simulate(
        model,
        folder,
        parts=parts,
        rate=rate,
        seed=seed,
        device=device,
        precision=precision,
        threads=threads,
        say=tell,
        each=_say_part,
    )
    click.echo("\n".join(report.lines()))
    click.echo(f"the trace is in {shown(folder / 'trace')}")
    return EXIT_FAILURE if report.silent or report.lost else 0


def _say_part(number: int, defect: Defect | None, verdict: Verdict) -> None:
    drawn = "good" if defect is None else defect
    seconds, percent = verdict.seconds, verdict.outputs.percent
    click.echo(f"part {number:4}  drawn {drawn:10} {verdict.verdict.name:10} {percent:4} %  {seconds * 1e3:6.1f} ms")


for _one in (passwd_command, token_command, export_command, import_command, rejudge_command, teach_command):
    command.add_command(_one)


def main() -> None:
    """Entry point of ``regad-station``."""
    run_cli(command)
