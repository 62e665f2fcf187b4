"""``regad-train``: train one encoder on many categories."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, get_args

import click

from regad.runtime.console import run_cli
from regad.runtime.spec import Fit, Resample

from .config import Device, Normalize, TrainConfig
from .loop import Progress, train
from .stn import DEFAULT_MODE, STN_MODES

__all__ = ["command", "main"]


class _Line:
    """Progress on stderr: one line rewritten on a terminal, else a line for every epoch and every half minute."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.live = sys.stderr.isatty()
        self.due = 0.0

    def __call__(self, progress: Progress) -> None:
        last = progress.done == progress.total
        now = time.monotonic()
        if not last and now < self.due:
            return
        self.due = now + (0.1 if self.live else 30.0)
        text = self._text(progress)
        if self.live:
            click.echo(f"\r{text:<78}", err=True, nl=last)
        else:
            click.echo(text, err=True)

    def _text(self, progress: Progress) -> str:
        filled = 20 * progress.done // progress.total
        bar = f"[{'#' * filled}{'-' * (20 - filled)}] {progress.done}/{progress.total}"
        if progress.stage == "load":
            return f"load images  {bar}"
        return f"epoch {progress.epoch}/{self.epochs}  {bar}  loss {progress.loss:+.4f}  {progress.rate:.1f} images/s"


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of categories.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for model.pt and log.jsonl.")
@click.option("--hold-out", multiple=True, metavar="CATEGORY", help="Category not to train on; repeatable.")
@click.option("--shot", type=click.IntRange(1), default=2, help="Support images for each query.")
@click.option("--epochs", type=click.IntRange(0), default=50, help="0 writes the initial model.")
@click.option("--stn-mode", type=click.Choice(list(STN_MODES)), default=DEFAULT_MODE)
@click.option("--weights", default="imagenet", metavar="imagenet|none|FILE", help="Backbone weights to start from.")
@click.option("--normalize", type=click.Choice(get_args(Normalize)), default="none", help="Mean/std of the input.")
@click.option("--batch-size", type=click.IntRange(1), default=32)
@click.option("--lr", type=float, default=1e-4)
@click.option("--momentum", type=float, default=0.9)
@click.option("--seed", type=click.IntRange(0), default=0)
@click.option("--fit", type=click.Choice(get_args(Fit)), default="stretch", help="How an image meets the square.")
@click.option("--resample", type=click.Choice(get_args(Resample)), default="box", help="Resize filter.")
@click.option("--device", type=click.Choice(get_args(Device)), default="auto")
def command(**options: Any) -> None:
    """Train RegAD's encoder on every category of --data, and write OUT/model.pt.

    A category needs only its good images, where MVTec AD, MPDD, BTAD and VisA keep them or in DATA/<category>/good.
    The result works on categories never seen: export it with regad-export, then teach each part with regad-calib or
    regad-run.
    """
    config = TrainConfig(**options)
    if config.epochs:
        click.echo(f"training on {config.data}, {config.epochs} epochs, weights {config.weights}", err=True)
    path = train(config, _Line(config.epochs))
    click.echo(f"wrote {path}\nnext: regad-export --ckpt {path} --out model.regad", err=True)


def main() -> None:
    """Entry point."""
    run_cli(command)


if __name__ == "__main__":
    main()
