"""``regad-eval``: how well an artifact judges the test folders of a data set."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import click

from regad.runtime.atomic import atomic_write
from regad.runtime.console import run_cli
from regad.runtime.detector import Detector

from .data import list_categories
from .evaluate import Evaluation, evaluate

__all__ = ["command", "main", "table"]

_MEASURES = (
    ("image AUROC", "image_auroc"),
    ("pixel AUROC", "pixel_auroc"),
    ("false reject", "false_reject"),
    ("escape", "escape"),
)


def _shots(ctx: click.Context, param: click.Parameter, value: str) -> list[int]:
    try:
        shots = [int(part) for part in value.split(",")]
    except ValueError:
        shots = []
    if not shots or min(shots) < 2:
        raise click.BadParameter(f"{value!r}; expected numbers of 2 or more, like 4 or 2,4,8")
    return shots


def table(results: Sequence[Evaluation]) -> str:
    """Lay the results out, one row for each category and shot: the mean over rounds, +- standard deviation."""
    rows = [["category", "shot", "good/defective", *(title for title, _ in _MEASURES), "ms"]]
    for shot in sorted({result.shot for result in results}):
        chosen = [result for result in results if result.shot == shot]
        names = list(dict.fromkeys(result.category for result in chosen))
        for name in names:
            rounds = [result for result in chosen if result.category == name]
            rows.append(_row(name, rounds, f"{rounds[0].good}/{rounds[0].defective}"))
        if len(names) > 1:
            rows.append(_row("mean", chosen, "", spread=False))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) if not column else cell.rjust(width) for column, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _row(name: str, results: Sequence[Evaluation], counts: str, spread: bool = True) -> list[str]:
    cells = [_cell([getattr(result, field) for result in results], spread) for _, field in _MEASURES]
    return [name, str(results[0].shot), counts, *cells, f"{statistics.median(r.ms for r in results):.1f}"]


def _cell(values: Sequence[float | None], spread: bool) -> str:
    numbers = [value for value in values if value is not None]
    if not numbers:
        return "-"
    text = f"{statistics.mean(numbers):.3f}"
    return f"{text} +-{statistics.stdev(numbers):.3f}" if spread and len(numbers) > 1 else text


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--model", type=click.Path(path_type=Path), required=True, help="Artifact folder from regad-export.")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of categories, MVTec layout.")
@click.option("--category", "categories", multiple=True, metavar="NAME", help="Only this one; repeatable.")
@click.option("--shot", "shots", default="4", callback=_shots, metavar="K[,K...]", help="Numbers of support images.")
@click.option("--rounds", type=click.IntRange(1), default=1, help="Support sets drawn for each category and shot.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the first round; each further round adds 1.")
@click.option("--device", default="cpu", help="auto, cpu, cuda or tensorrt.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write the results to this file.")
def command(
    model: Path,
    data: Path,
    categories: tuple[str, ...],
    shots: list[int],
    rounds: int,
    seed: int,
    device: str,
    json_path: Path | None,
) -> None:
    """Teach each category from --shot good images and judge its test folder, through the deployed detector.

    Scores are raw; false-reject and escape rates are taken at the threshold that teaching set.
    """
    results: list[Evaluation] = []
    with Detector.load(model, device=device) as detector:
        for name in categories or list_categories(data):
            for shot in shots:
                for current in range(seed, seed + rounds):
                    show = _Progress(f"{name}, shot {shot}, seed {current}")
                    results.append(evaluate(detector, data, name, shot, current, show))
        facts = {"artifact": detector.artifact.hash, "device": detector.device, "data": str(data)}
    click.echo(table(results))
    if json_path is not None:
        content = {
            "format": "regad-evaluation",
            "version": 1,
            "regad": version("regad"),
            **facts,
            "results": [asdict(result) for result in results],
        }
        atomic_write(json_path, (json.dumps(content, indent=2) + "\n").encode())


class _Progress:
    """A count on stderr: rewritten on a terminal, else one line at the start."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.live = sys.stderr.isatty()
        click.echo(f"{title}: teaching", err=True, nl=not self.live)

    def __call__(self, done: int, total: int) -> None:
        if self.live:
            click.echo(f"\r{self.title}: {done}/{total} images ", err=True, nl=done == total)


def main() -> None:
    """Entry point."""
    run_cli(command)


if __name__ == "__main__":
    main()
