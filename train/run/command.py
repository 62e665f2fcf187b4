"""``regad-train``: train one encoder on many categories."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from regad.runtime.commands.console import note, run_cli
from regad.runtime.commands.options import refuse_without_effect
from regad.runtime.commands.outputs import check_folder, inputs
from regad.runtime.errors import InputError
from regad.runtime.formats.normalization import PLAIN
from regad.runtime.formats.spec import Fit, Resample

from ..data.store import Cache
from ..model.modes import DEFAULT_MODE, STN_MODES
from .config import DEFAULT_RECIPE, RECIPES, Decay, Freeze, Normalize, TrainConfig, TrainDevice, recipe
from .folder import TRAINING_RUN

if TYPE_CHECKING:
    from .steps import Progress

__all__ = ["command", "main"]

_STEPS = ("lr", "stn_lr", "head_lr", "momentum", "decay", "prior", "augment", "amp")
_LEVELS = (float, float, float)


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


def _by_recipe(*flags: str, **options: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """An option that keeps the recipe's value unless it is given."""
    options["help"] = f"{options.get('help', '')} [default: the recipe's]".strip()
    return click.option(*flags, default=None, show_default=False, **options)


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of categories.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for model.pt, state and log.")
@click.option("--recipe", "name", type=click.Choice(list(RECIPES)), default=DEFAULT_RECIPE, help="Named settings.")
@click.option("--hold-out", multiple=True, metavar="CATEGORY", help="Category not to train on; repeatable.")
@click.option("--shot", type=click.IntRange(1), default=2, help="Support images for each query.")
@_by_recipe("--epochs", type=click.IntRange(0), help="0 writes the initial model, level gains included.")
@_by_recipe("--batch-size", type=click.IntRange(1), help="Queries a step, over all processes.")
@_by_recipe("--lr", type=float, help="Learning rate of the backbone; 0 does not train it.")
@_by_recipe("--stn-lr", type=float, help="Learning rate of the three STNs; 0 keeps the identity.")
@_by_recipe("--head-lr", type=float, help="Learning rate of the siamese heads.")
@_by_recipe("--momentum", type=float, help="Momentum of the gradient steps.")
@_by_recipe("--decay", type=click.Choice(get_args(Decay)), help="Cosine decay of the rates, by step or by epoch.")
@_by_recipe("--prior", type=float, help="Weight of the term that keeps the transforms near the identity.")
@_by_recipe("--freeze", type=click.Choice(get_args(Freeze)), help="Do not train the backbone up to this layer.")
@_by_recipe("--freeze-bn/--no-freeze-bn", help="Keep the batch norm statistics of the backbone.")
@_by_recipe("--augment/--no-augment", help="Vary pose and light of each image of a pair separately.")
@_by_recipe("--level-gains", type=_LEVELS, metavar="F1 F2 F3", help="Factors of the three feature maps.")
@_by_recipe(
    "--feature-exponents", type=_LEVELS, metavar="F1 F2 F3", help="0 keeps the length of features, 1 removes it."
)
@_by_recipe("--feature-gains", type=_LEVELS, metavar="F1 F2 F3", help="Factors of the features after that.")
@click.option(
    "--stn-mode", type=click.Choice(list(STN_MODES)), default=DEFAULT_MODE, help="Transforms that the STNs may make."
)
@click.option("--weights", default="imagenet", metavar="imagenet|none|FILE", help="Backbone weights to start from.")
@_by_recipe("--normalize", type=click.Choice(get_args(Normalize)), help="Mean/std of the input.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Seed of every random draw.")
@click.option(
    "--select", type=click.FloatRange(0, 0.5), default=0.0, help="Share of the good images that chooses the epoch."
)
@click.option("--fit", type=click.Choice(get_args(Fit)), default="stretch", help="How an image fills the square input.")
@click.option("--resample", type=click.Choice(get_args(Resample)), default="box", help="Resize filter.")
@click.option("--device", type=click.Choice(get_args(TrainDevice)), default="auto", help="Device that computes.")
@click.option("--amp", is_flag=True, help="Compute in bfloat16 (autocast); weights stay float32.")
@click.option("--workers", type=click.IntRange(0), default=2, help="Threads that prepare batches; 0: none.")
@click.option("--cache", type=click.Choice(get_args(Cache)), default="memory", help="Where decoded images are kept.")
@click.option(
    "--cache-mb", type=click.IntRange(0), default=4096, help="Most MB of decoded images; the rest is decoded again."
)
@click.option("--tensorboard", is_flag=True, help="Also write OUT/tensorboard.")
def command(name: str, **options: Any) -> None:
    """Train RegAD's encoder on every category of --data, and write OUT/model.pt.

    A category needs only its good images, where MVTec AD, MPDD, BTAD and VisA keep them or in DATA/<category>/good.
    The result works on categories never seen: export it with regad-export, then teach each part with regad-calib or
    regad-run. If it was stopped, run the same command: it continues. Several processes: torchrun -m
    regad.train.cli with the same options.
    """
    given = {option: value for option, value in options.items() if value is not None}
    config = TrainConfig(**{**recipe(name), **given})
    if config.weights == "none" and config.epochs == 0 and "epochs" not in given:
        raise InputError(
            f"weights none are random, and the recipe {name} trains nothing: use --recipe released, or start from "
            "--weights imagenet (--epochs 0 asks for an untrained model)"
        )
    if config.epochs == 0:
        refuse_without_effect(
            _STEPS, f"without training (--epochs 0{'' if 'epochs' in given else f' of the recipe {name}'})"
        )
    _check_out(config)
    from .loop import train  # with PyTorch, seconds to import: what is wrong above is said at once

    first = os.environ.get("RANK", "0") == "0"
    if first:
        doing = f"training on {config.data}, {config.epochs} epochs" if config.epochs else "no training"
        kept = "" if config.stn_lr and config.epochs else ", transforms left at the identity"
        gains = " ".join(f"{gain:g}" for gain in config.level_gains)
        scored = "" if config.normalization == PLAIN else f", features normalised ({config.normalization})"
        click.echo(f"{doing}, weights {config.weights}{kept}, level gains {gains}{scored}", err=True)
    path = train(config, _Line(config.epochs), note) if first else train(config)
    if first:
        click.echo(f"wrote {path}\nnext: regad-export --ckpt {path} --out model.regad", err=True)


def _check_out(config: TrainConfig) -> None:
    """Raise OutputError if the run would write over its weights, among its images, or over what is no run's."""
    weights = Path(config.weights)
    given = inputs(data=config.data, weights=weights if weights.is_file() else None)
    check_folder("--out", config.out, given, kind=TRAINING_RUN)


def main() -> None:
    """Entry point."""
    run_cli(command)
