"""``regad-station``: set up, check and run a station, and work with its trace."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import click

from ..commands.console import EXIT_FAILURE, run_cli, tell
from ..errors import InputError
from ..text import shown
from .trace_commands import export_command, import_command, rejudge_command

__all__ = ["command", "main"]

_PATH = click.Path(path_type=Path)


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
def init_command(folder: Path, model: Path | None, categories: tuple[Path, ...]) -> None:
    """Write FOLDER/station.toml for the artifact, the cameras and the category files that are found."""
    from .setup_file import find, write_new

    found = find(folder, model, categories)
    path = write_new(folder, found)
    tell(f"artifact   {shown(found.model) if found.model else 'none found'}")
    tell(f"cameras    {', '.join(found.cameras) or 'none found'}")
    tell(f"categories {', '.join(shown(one) for one in found.categories) or 'none found'}")
    click.echo(f"{shown(path)} is written; next: regad-station check {shown(path)}")


@command.command("check")
@click.argument("config", type=_PATH)
def check_command(config: Path) -> int:
    """Look at everything that a run of CONFIG needs; each missing thing is named with its remedy.

    Exit status: 0 if nothing is missing, 1 if something is. Do it while the station does not run: its ports and its
    camera are in use then.
    """
    from ..commands.doctor import findings_text
    from .checks import examine

    findings = examine(config)
    click.echo(findings_text(findings))
    return EXIT_FAILURE if any(finding.level == "problem" for finding in findings) else 0


@command.command("passwd")
@click.argument("user")
@click.option("--users", type=_PATH, default=Path("users.json"), show_default=True, help="File of the users.")
@click.option(
    "--role",
    type=click.Choice(["viewer", "operator", "engineer"]),
    default="operator",
    show_default=True,
    help="What the user may do.",
)
@click.option("--stdin", is_flag=True, help="Read the password from the first line of stdin; do not ask.")
@click.option("--remove", is_flag=True, help="Remove the user.")
def passwd_command(user: str, users: Path, role: str, stdin: bool, remove: bool) -> None:
    """Set the password of USER for the station's page; it is asked for, and never shown or stored."""
    from .users import ROLES, remove_user, set_password

    if remove:
        remove_user(users, user)
        click.echo(f"{user} is removed from {shown(users)}")
        return
    if stdin:
        password = sys.stdin.readline(4096).rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    set_password(users, user, password, next(one for one in ROLES if one == role))
    click.echo(f"{user} is {role} in {shown(users)}")


for _one in (export_command, import_command, rejudge_command):
    command.add_command(_one)


def main() -> None:
    """Entry point of ``regad-station``."""
    run_cli(command)
