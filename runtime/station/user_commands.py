"""Who may use the page: ``regad-station passwd`` for people, ``token`` for the machines that use its API."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..commands.options import refuse_without_effect
from ..text import shown

if TYPE_CHECKING:
    from .tokens import Token

__all__ = ["passwd_command", "token_command"]

_BY = "regad-station"


def _users_option(help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    kind = click.Path(path_type=Path)
    return click.option("--users", type=kind, default=Path("users.json"), show_default=True, help=help)


def _role_option(default: str, help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    kind = click.Choice(["viewer", "operator", "engineer"])
    return click.option("--role", type=kind, default=default, show_default=True, help=help)


@click.command("passwd")
@click.argument("user")
@_users_option("File of the users.")
@_role_option("operator", "What the user may do.")
@click.option("--stdin", is_flag=True, help="Read the password from the first line of stdin; do not ask.")
@click.option("--remove", is_flag=True, help="Remove the user.")
def passwd_command(user: str, users: Path, role: str, stdin: bool, remove: bool) -> None:
    """Set the password of USER for the station's page; it is asked for, and never shown or stored."""
    from .users import ROLES, remove_user, set_password

    if remove:
        refuse_without_effect(("role", "stdin"), "with --remove")
        remove_user(users, user)
        click.echo(f"{user} is removed from {shown(users)}")
        return
    if stdin:
        password = sys.stdin.readline(4096).rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    set_password(users, user, password, next(one for one in ROLES if one == role))
    click.echo(f"{user} is {role} in {shown(users)}")


@click.command("token")
@click.argument("name", required=False)
@_users_option("File of the users (desk.users); the tokens are stored beside it.")
@_role_option("viewer", "What its bearer may do.")
@click.option("--days", type=click.IntRange(1, 3650), help="It ends after so many days.  [default: when it is revoked]")
@click.option("--revoke", is_flag=True, help="Revoke the token NAME.")
def token_command(name: str | None, users: Path, role: str, days: int | None, revoke: bool) -> None:
    """Make a token NAME for a program, and print it; it is shown only once. Without NAME, list the tokens."""
    from .tokens import add_token, read_tokens, remove_token, tokens_path
    from .users import ROLES

    path = tokens_path(users)
    if name is None:
        if revoke:
            raise click.UsageError("--revoke needs the NAME of a token")
        refuse_without_effect(("role", "days"), "without the NAME of a token")
        for one, token in sorted(read_tokens(path).items()):
            click.echo(_listed(one, token, time.time()))
        return
    if revoke:
        refuse_without_effect(("role", "days"), "with --revoke")
        remove_token(path, name)
        click.echo(f"token {name} is revoked in {shown(path)}")
        return
    text = add_token(path, name, next(one for one in ROLES if one == role), _BY, days)
    lasts = "" if days is None else f", for {days} days"
    click.echo(f"token {name} is {role} in {shown(path)}{lasts}; it is shown this once", err=True)
    click.echo(text)


def _listed(name: str, token: Token, now: float) -> str:
    age = max(0, int((now - token.made_at) // 86_400))
    made = f"made {_date(token.made_at)} ({age} days ago) by {shown(token.made_by)}"
    ends = "no end"
    if token.ends_at is not None:
        ends = f"{'ended' if token.is_over(now) else 'ends'} {_date(token.ends_at)}"
    return f"{shown(name):20} {token.role:10} {made}, {ends}"


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d")
