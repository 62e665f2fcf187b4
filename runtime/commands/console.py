"""What every command line shares: usable streams, one clear line for an error, and the right exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

import click

from ..errors import OutputError, RegadError
from ..imaging.reading import prepare_pillow
from .streams import standard_streams

__all__ = ["EXIT_FAILURE", "counter", "note", "run_cli", "tell"]

EXIT_FAILURE = 1


def run_cli(command: click.Command, args: list[str] | None = None) -> NoReturn:
    """Run a click command as a program, with `standard_streams`.

    A `RegadError` becomes ``error: <one line>`` on stderr and exit status 1, as does a stdout that cannot be written;
    wrong usage exits with 2, an interrupt with 130. Whatever status the command itself returns becomes the exit status.
    """
    prepare_pillow()
    with standard_streams():
        status = _status(command, args)
        try:
            sys.stdout.flush()
        except OutputError as error:
            tell(f"error: {error}")
            status = status or EXIT_FAILURE
        sys.stderr.flush()
    sys.exit(status)


def tell(text: str) -> None:
    """Print a line on stderr."""
    click.echo(text, err=True)


def note(text: str) -> None:
    """Print a line on stderr that says what is worth knowing, but no failure."""
    tell(f"note: {text}")


def counter(what: str) -> Callable[[int, int], None]:
    """Return what shows how far a work is: on a terminal a line that is rewritten, else one line at the end.

    It takes how many are done, and of how many.
    """
    live = sys.stderr.isatty()

    def show(done: int, count: int) -> None:
        if live:
            click.echo(f"\r{what} {done}/{count}", nl=done == count, err=True)
        elif done == count:
            tell(f"{what} {done}/{count}")

    return show


def _status(command: click.Command, args: list[str] | None) -> int:
    try:
        status = command.main(args=args, standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except RegadError as error:
        tell(f"error: {error}")
        return EXIT_FAILURE
    except (click.Abort, KeyboardInterrupt):
        tell("interrupted")
        return 130
    return status if isinstance(status, int) else 0
