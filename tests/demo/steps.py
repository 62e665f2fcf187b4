"""The steps of a demo run: where it writes, what it has done, and the commands that repeat it."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
from page import Stage

from regad.runtime import OutputError

__all__ = ["Run", "claim"]

MARKER = ".regad-demo"


@dataclass
class Run:
    """Where the run writes, the steps it has done, and the commands that repeat them."""

    out: Path
    steps: int
    stages: list[Stage] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Announce a step and time it."""
        click.secho(f"[{len(self.stages) + 1}/{self.steps}] {title}", bold=True)
        began = time.perf_counter()
        yield
        seconds = time.perf_counter() - began
        click.echo(f"      {seconds:.1f} s")
        self.stages.append(Stage(title, seconds))

    def call(self, name: str, command: click.Command, *words: object) -> None:
        """Run one of the product's commands in this process. Raises what it raises."""
        self.note(name, *words)
        click.echo(f"      $ {self.commands[-1]}")
        command.main([str(word) for word in words], prog_name=name, standalone_mode=False)

    def note(self, *words: object) -> None:
        """Record a command for those who repeat the run."""
        self.commands.append(shlex.join(str(word) for word in words))


def claim(out: Path) -> None:
    """Make the output folder, or empty one that an earlier demo made. Raises OutputError for any other folder."""
    try:
        if out.is_dir() and any(out.iterdir()):
            if not (out / MARKER).is_file():
                raise OutputError(f"{out} is not empty and not from the demo; choose another folder with --out")
            shutil.rmtree(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / MARKER).touch()
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}; choose another with --out") from error
