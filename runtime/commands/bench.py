"""``regad-bench``: what a frame costs on this machine, and how far that is from the floor."""

from __future__ import annotations

from pathlib import Path

import click

from ..formats.places import MODEL_VARIABLE, find_model
from .bench_rows import ROWS, BenchSetup, camera_curve, shot_curve
from .console import run_cli
from .outputs import check_file, inputs
from .own_files import json_kind
from .timing import FORMAT, Row, hardware, table, write_rows

__all__ = ["command", "main"]


def _shots(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        shots = tuple(int(part) for part in value.split(","))
    except ValueError:
        shots = ()
    if not shots or min(shots) < 2:
        raise click.BadParameter(f"{value!r} is not a list of numbers from 2 on, like 2,4,8", ctx, parameter)
    return shots


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--model", type=click.Path(path_type=Path), help=f"Artifact (else ${MODEL_VARIABLE}, ./model.regad).")
@click.option("--shot", "shots", default="2,4,8", show_default=True, callback=_shots, help="Numbers of good images.")
@click.option("--rows", "groups", multiple=True, type=click.Choice(list(ROWS)), help="Only these groups (repeatable).")
@click.option("--runs", type=click.IntRange(3), default=15, show_default=True, help="Runs that a median is taken of.")
@click.option("--curves", is_flag=True, help="Also measure cost against k and against the camera's resolution.")
@click.option("--json", "target", type=click.Path(path_type=Path), help="File for the rows as JSON.")
def command(
    model: Path | None, shots: tuple[int, ...], groups: tuple[str, ...], runs: int, curves: bool, target: Path | None
) -> None:
    """Measure this machine: encoding, scoring, frame to verdict, teaching, cold start, memory, throughput.

    Every time is a median, measured in turn with what it is compared with: the floor (one pass over the statistics) or
    the released code's plain form. Nothing else need be installed. A ratio below 1 means that ours takes less.
    """
    if target is not None:
        check_file("--json", target, json_kind("regad-bench --json", FORMAT), inputs("model", model=find_model(model)))
    with BenchSetup(find_model(model), shots, runs) as bench:
        on = f"{hardware()}; {bench.detector.device}"
        click.echo(on, err=True)
        rows: list[Row] = []
        for name, group in ROWS.items():
            if groups and name not in groups:
                continue
            click.echo(f"measuring {name} ...", err=True)
            rows += group(bench)
        found = {"shot": shot_curve(bench), "megapixels": camera_curve(bench)} if curves else None
    if target is not None:
        write_rows(rows, target, on, found)
    click.echo(table(rows))
    for name, points in (found or {}).items():
        click.echo(f"{name}: " + ", ".join(f"{x:g} {y:.2f} ms" for x, y in points))


def main() -> None:
    """Entry point of ``regad-bench``."""
    run_cli(command)
