"""``regad-bench``: what a frame costs on this machine, how far that is from the floor, and what to use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..formats.places import find_model
from .bench_rows import ROWS, BenchSetup, camera_curve, shot_curve
from .console import note, run_cli
from .options import model_option, refuse_without_effect
from .outputs import check_file, inputs
from .own_files import json_kind
from .pick import as_json, drawn_subject, measure, photo_subject, pick_table
from .timing import FORMAT, Row, hardware, table, write_rows

__all__ = ["command", "main"]

_ROWS = ("shots", "groups", "curves")
_PICKING = ("also", "support", "images", "threads", "min_agreement")


def _shots(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        shots = tuple(int(part) for part in value.split(","))
    except ValueError:
        shots = ()
    if not shots or min(shots) < 2:
        raise click.BadParameter(f"{value!r} is not a list of numbers from 2 on, like 2,4,8", ctx, parameter)
    return shots


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@model_option
@click.option("--shot", "shots", default="2,4,8", show_default=True, callback=_shots, help="Numbers of good images.")
@click.option("--rows", "groups", multiple=True, type=click.Choice(list(ROWS)), help="Only these groups (repeatable).")
@click.option("--runs", type=click.IntRange(3), default=15, show_default=True, help="Runs for each median.")
@click.option("--curves", is_flag=True, help="Also measure cost against k and against the camera's resolution.")
@click.option("--pick", is_flag=True, help="Instead: measure every device and precision here, and print which to use.")
@click.option(
    "--also", multiple=True, type=click.Path(path_type=Path), help="--pick: also this artifact, for example int8."
)
@click.option(
    "--support", type=click.Path(path_type=Path), help="--pick: teach these good photos instead of drawn ones."
)
@click.option("--images", type=click.Path(path_type=Path), help="--pick: compare verdicts on these, with --support.")
@click.option("--threads", type=click.IntRange(1), help="--pick: CPU threads of one inference.")
@click.option(
    "--min-agreement",
    type=click.FloatRange(0, 1),
    default=0.99,
    show_default=True,
    help="--pick: smallest share of equal verdicts.",
)
@click.option("--json", "target", type=click.Path(path_type=Path), help="File for the rows as JSON.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Measure this machine: encoding, scoring, frame to verdict, teaching, cold start, memory, throughput.

    Every time is a median, measured in turn with what it is compared with: one pass over the statistics, or the
    code that the paper's authors released. Nothing else must be installed. A ratio below 1 means that ours takes less.

    With --pick, every device and precision of this machine is measured instead, frame to verdict, and compared with the
    CPU in fp32: it prints which to use, and how many verdicts change.
    """
    model, target = find_model(options["model"]), options["target"]
    if options["pick"]:
        refuse_without_effect(_ROWS, "with --pick")
    else:
        refuse_without_effect(_PICKING, "without --pick")
    if (options["support"] is None) != (options["images"] is None):
        raise click.UsageError("--support and --images go together: photos to teach, and photos to judge", ctx)
    if target is not None:
        read = {name: options[name] for name in ("support", "images")}
        check_file("--json", target, json_kind("regad-bench --json", FORMAT), inputs("model", model=model, **read))
    if options["pick"]:
        _pick([model, *options["also"]], options, target)
    else:
        _rows(model, options, target)


def _rows(model: Path, options: dict[str, Any], target: Path | None) -> None:
    with BenchSetup(model, options["shots"], options["runs"]) as bench:
        on = f"{hardware()}; {bench.detector.device}"
        click.echo(on, err=True)
        rows: list[Row] = []
        for name, group in ROWS.items():
            if options["groups"] and name not in options["groups"]:
                continue
            click.echo(f"measuring {name} ...", err=True)
            rows += group(bench)
        found = {"shot": shot_curve(bench), "megapixels": camera_curve(bench)} if options["curves"] else None
    if target is not None:
        write_rows(rows, target, on, found)
    click.echo(table(rows))
    for name, points in (found or {}).items():
        click.echo(f"{name}: " + ", ".join(f"{x:g} {y:.2f} ms" for x, y in points))


def _pick(models: list[Path], options: dict[str, Any], target: Path | None) -> None:
    on = hardware()
    click.echo(on, err=True)
    support, images = options["support"], options["images"]
    subject = drawn_subject() if support is None else photo_subject(support, images, note)
    measured = measure(models, subject, options["runs"], options["threads"], lambda text: note(f"left out {text}"))
    if target is not None:
        write_rows([], target, on, pick=as_json(measured, options["min_agreement"]))
    click.echo(pick_table(measured, subject, options["min_agreement"]))


def main() -> None:
    """Entry point of ``regad-bench``."""
    run_cli(command)
