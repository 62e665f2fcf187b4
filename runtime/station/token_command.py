"""``regad-station token``: make, list and revoke the tokens by which machines use the page's API."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import click

from ..text import shown

__all__ = ["token_command"]

_BY = "regad-station"


@click.command("token")
@click.argument("name", required=False)
@click.option(
    "--users",
    type=click.Path(path_type=Path),
    default=Path("users.json"),
    show_default=True,
    help="File of the users (desk.users); the tokens lie beside it.",
)
@click.option(
    "--role",
    type=click.Choice(["viewer", "operator", "engineer"]),
    default="viewer",
    show_default=True,
    help="What its bearer may do.",
)
@click.option("--revoke", is_flag=True, help="Revoke the token NAME.")
def token_command(name: str | None, users: Path, role: str, revoke: bool) -> None:
    """Make a token NAME for a machine, and print it: it is shown this once. Without NAME, list the tokens."""
    from .tokens import add_token, read_tokens, remove_token, tokens_path
    from .users import ROLES

    path = tokens_path(users)
    if name is None:
        if revoke:
            raise click.UsageError("--revoke needs the NAME of a token")
        for one, token in sorted(read_tokens(path).items()):
            made = datetime.fromtimestamp(token.made_at, timezone.utc).strftime("%Y-%m-%d")
            click.echo(f"{shown(one):20} {token.role:10} made {made} by {shown(token.made_by)}")
        return
    if revoke:
        remove_token(path, name)
        click.echo(f"token {name} is revoked in {shown(path)}")
        return
    text = add_token(path, name, next(one for one in ROLES if one == role), _BY)
    click.echo(f"token {name} is {role} in {shown(path)}; it is shown this once", err=True)
    click.echo(text)
