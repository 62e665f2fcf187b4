"""``python -m regad.runtime.desk station.toml``: what the line starts as its DESK process."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click

from ..commands.console import run_cli, tell

__all__ = ["command"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("config", type=click.Path(path_type=Path))
def command(config: Path) -> None:
    """Run the desk of the station CONFIG: its pages and protocols. The station itself starts it."""
    from .desk import run_desk

    # In a terminal Ctrl-C reaches the line, too, which then ends its desk by SIGTERM: twice would be at once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run_desk(config, tell)


if __name__ == "__main__":
    sys.exit(run_cli(command))
