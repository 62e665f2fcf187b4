"""Command-line options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, get_args

import click
from click.core import ParameterSource

from ..backends.base import Precision
from ..backends.table import AUTO, DEVICE_CHOICES
from ..formats.places import DEFAULT_MODEL, MODEL_VARIABLE
from ..formats.registration import Register
from ..formats.spec import Fit, InputSpec, Resample

__all__ = [
    "device_option",
    "model_option",
    "parse_roi",
    "precision_option",
    "precision_options",
    "preprocessing_options",
    "refuse_without_effect",
    "register_option",
    "spec_from_options",
    "threads_option",
    "threshold_options",
]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def parse_roi(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int, int, int] | None:
    """Parse ``x,y,width,height``, whole pixels of the source image (a click callback)."""
    if value is None:
        return None
    try:
        x, y, w, h = (int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{value!r}; expected four whole numbers x,y,width,height like 100,50,640,480"
        ) from None
    if min(x, y) < 0 or min(w, h) < 1:
        raise click.BadParameter(f"{value!r}; expected x and y of 0 or more, width and height of 1 or more")
    return x, y, w, h


def refuse_without_effect(names: Iterable[str], why: str) -> None:
    """Raise UsageError for the first of a command's options ``names`` that was given: it has no effect ``why``.

    An option that is passed over in silence lets its user believe that it was heeded; one that is given with the value
    of its default, too.
    """
    ctx, wanted = click.get_current_context(), set(names)
    for option in ctx.command.params:
        if option.name in wanted and ctx.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option.opts[0]} has no effect {why}: leave it out", ctx)


def model_option(command: _Command) -> _Command:
    """Add ``--model``, which `find_model` takes."""
    text = f"Artifact (else ${MODEL_VARIABLE}, ./{DEFAULT_MODEL})."
    return click.option("--model", type=click.Path(path_type=Path), help=text)(command)


def threads_option(command: _Command) -> _Command:
    """Add ``--threads``."""
    return click.option("--threads", type=click.IntRange(1), help="CPU threads of one inference.")(command)


def device_option(command: _Command) -> _Command:
    """Add ``--device``."""
    choices = click.Choice(DEVICE_CHOICES)
    return click.option("--device", type=choices, default=AUTO, show_default=True, help="Device that computes.")(
        command
    )


def precision_option(command: _Command) -> _Command:
    """Add ``--precision``, which goes with ``--device openvino``."""
    return click.option(
        "--precision",
        type=click.Choice(get_args(Precision)),
        default="f32",
        show_default=True,
        help="Precision of --device openvino; below f32 verdicts may differ (regad-bench --pick).",
    )(command)


def precision_options(command: _Command) -> _Command:
    """Add ``--precision`` and ``--force`` to a command that may measure what is slow here."""
    force = click.option("--force", is_flag=True, help="Allow a precision that the hardware only emulates, slowly.")
    return precision_option(force(command))


def register_option(command: _Command) -> _Command:
    """Add ``--register`` to a command that teaches."""
    return click.option(
        "--register",
        type=click.Choice(get_args(Register)),
        default="auto",
        show_default=False,
        help="Find each part and turn it as in the first photo.  [default: auto: if that helps]",
    )(command)


def threshold_options(command: _Command) -> _Command:
    """Add ``--target-frr``, ``--threshold`` and those of the warn limit to a command that teaches; all are checked
    before it does.
    """
    rate = click.FloatRange(0, 0.5, min_open=True, max_open=True)
    value = click.FloatRange(0, min_open=True)
    options = (
        click.option(
            "--target-frr",
            type=rate,
            help="Share of good parts that may be rejected.  [default: 0.05; 0.01 if the artifact has no prior]",
        ),
        click.option("--threshold", type=value, help="Set the threshold by hand."),
        click.option(
            "--warn-frr",
            type=rate,
            help="Second, lower limit that only warns: about this share of good parts is above it.",
        ),
        click.option("--warn-threshold", type=value, help="Set the limit of the warning by hand."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def preprocessing_options(command: _Command) -> _Command:
    """Add ``--fit``, ``--resample`` and ``--roi`` to a command; `spec_from_options` reads them."""
    options = (
        click.option(
            "--fit",
            type=click.Choice(["stretch", "letterbox", "crop"]),
            help="How a non-square image fills the square input (default: the artifact's).",
        ),
        click.option(
            "--resample",
            type=click.Choice(["box", "lanczos", "bilinear"]),
            help="Resampling filter (default: the artifact's).",
        ),
        click.option(
            "--roi",
            metavar="X,Y,W,H",
            callback=parse_roi,
            help="Use only this region of the image, in pixels.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def spec_from_options(
    spec: InputSpec, fit: Fit | str | None, resample: Resample | str | None, roi: tuple[int, int, int, int] | None
) -> InputSpec:
    """Return ``spec`` with the given options in place of its own. Raises InputError for values it cannot take."""
    changes: dict[str, Any] = {"fit": fit, "resample": resample, "roi": roi}
    return replace(spec, **{name: value for name, value in changes.items() if value is not None})
