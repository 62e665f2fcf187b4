"""What every command line shares: one clear line for an error, and the right exit status."""

from __future__ import annotations

import io
import sys
from typing import NoReturn

import click

from ..errors import RegadError
from ..imaging.reading import prepare_pillow

__all__ = ["EXIT_FAILURE", "EXIT_USAGE", "run_cli"]

EXIT_FAILURE = 1
EXIT_USAGE = 2


def run_cli(command: click.Command, args: list[str] | None = None) -> NoReturn:
    """Run a click command as a program.

    A `RegadError` becomes ``error: <one line>`` on stderr and exit status 1; wrong usage exits with 2, an
    interrupt with 130. Whatever status the command itself returns becomes the exit status.
    """
    prepare_pillow()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name that the terminal cannot show must not end a command
    try:
        status = command.main(args=args, standalone_mode=False)
    except click.exceptions.Exit as stop:
        status = stop.exit_code
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except RegadError as error:
        click.echo(f"error: {error}", err=True)
        status = EXIT_FAILURE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        status = 130
    except BrokenPipeError:
        sys.stderr.close()
        status = EXIT_FAILURE
    sys.exit(status if isinstance(status, int) else 0)
