"""``regad-batch``: judge an archive of images into one table; stopped, it goes on where it was."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import click

from ...backends.base import Precision
from ...commands.console import note, run_cli, tell
from ...commands.options import device_option, model_option, precision_options
from ...commands.outputs import Input, check_distinct, check_file, check_folder, source_inputs
from ...errors import OutputError
from ...formats.artifact import Artifact
from ...formats.category import load_category
from ...formats.places import find_model
from ...line.loop import EXIT_NOT_JUDGED
from ...text import shown
from .cluster import judge_by_ray
from .inputs import Image, Images, find_images
from .journal import Journal, journal_path
from .judging import Judge, Row, Task, denied_row
from .table import Table, table_of

__all__ = ["command", "main"]

_PATH = click.Path(path_type=Path)
_EPILOG = """\b
Exit status:
  0  all images were judged
  1  failure: a file, device, cluster or disk cannot be used
  2  wrong usage
  3  an image could not be judged: its row has an error

A row has the keys of a JSON line of regad-run; frame is the page within its file. If a run ended early, its rows are
in OUT.part; the same command continues them. Images that are in the table already are not judged again; those whose
row has an error are."""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}, epilog=_EPILOG)
@click.option("--source", required=True, help="Images: a folder, a pattern, or a list (.txt: a path a line).")
@click.option("--category", type=_PATH, required=True, help="Category file that regad-calib wrote.")
@model_option
@click.option("--out", type=_PATH, required=True, help="Table to write: .csv, .jsonl or .parquet.")
@click.option("--address", help="Judge on this Ray cluster: auto, or HOST:PORT.  [default: here, without Ray]")
@click.option("--actors", type=click.IntRange(1), help="Detectors on the cluster.  [default: one a CPU, or a GPU]")
@device_option
@precision_options
@click.option("--threads", type=click.IntRange(1), help="CPU threads of one inference.  [default: 1 on a cluster]")
@click.option("--threshold", type=click.FloatRange(0, min_open=True), help="Threshold instead of the category's own.")
@click.option("--overlay", type=_PATH, help="Folder for pictures with the heat map, named by their input.")
@click.pass_context
def command(
    ctx: click.Context,
    source: str,
    category: Path,
    model: Path | None,
    out: Path,
    address: str | None,
    actors: int | None,
    device: str,
    precision: Precision,
    force: bool,
    threads: int | None,
    threshold: float | None,
    overlay: Path | None,
) -> int:
    """Judge every image of --source with a category, and write a row for each into one table."""
    if actors is not None and address is None:
        raise click.UsageError("--actors is for a cluster; give its --address", ctx)
    model = find_model(model)
    table, images = table_of(out), find_images(source)
    _check_outputs(source, model, category, table, overlay)
    threads = threads or (1 if address else None)
    task = Task(model, category, device, threads, threshold, overlay, precision, force)
    for text in images.notes:
        note(text)
    with closing(Journal(journal_path(out), _judged_by(task))) as journal:
        seeded = _seed(journal, table, images)
        todo = [image for image in images.images if not journal.judged(image.key)]
        tell(f"images     {len(images.images)}, of which {len(images.images) - len(todo)} are judged already")
        if todo:
            _judge(journal, task, todo, address, actors)
        denied = [denied_row(*pair) for pair in images.denied]
        errors = len(denied)
        if todo or denied or not seeded:
            errors += _write(table, journal, images, denied)
        else:
            errors += sum("error" in row for row in table.read())
        journal.close(remove=True)
    click.echo(f"written    {shown(out)}{f', {errors} rows with an error' if errors else ''}")
    return EXIT_NOT_JUDGED if errors else 0


def main() -> None:
    """Entry point of ``regad-batch``."""
    run_cli(command)


def _check_outputs(source: str, model: Path, category: Path, table: Table, overlay: Path | None) -> None:
    given = [Input("--model", model, sealed=True), Input("--category", category), *source_inputs(source)]
    check_file("--out", table.path, table.kind, given)
    if overlay is not None:
        check_folder("--overlay", overlay, given)
    check_distinct({"--out": table.path, "--overlay": overlay})


def _judged_by(task: Task) -> Row:
    """What decides a verdict, as rows tell it. Raises ArtifactError and CategoryError before anything slow."""
    artifact = Artifact.open(task.model)
    category = load_category(task.category, artifact.hash)
    threshold = category.threshold.value if task.threshold is None else task.threshold
    return {
        **{"artifact": artifact.hash[:16], "category": category.hash},
        **{"threshold": float(threshold), "precision": task.precision},
    }


def _seed(journal: Journal, table: Table, images: Images) -> bool:
    """Take over the rows of a table that is there and the journal lacks; whether they were all that is known.

    Raises OutputError where they were judged by something else.
    """
    begun, kept = len(journal) > 0, set(journal.keys())
    known = {image.key for image in images.images}
    folders = {shown(folder) for folder, _ in images.denied}
    rows: dict[str, list[Row]] = {}
    for row in table.read():
        if "error" not in row and {name: row.get(name) for name in journal.head} != journal.head:
            raise OutputError(
                f"--out {shown(table.path)} was judged by another artifact, category, threshold or precision; "
                "choose another --out"
            )
        key = row["source"] if row["source"] in known else re.sub(r", page \d+$", "", row["source"])
        if key not in folders:
            rows.setdefault(key, []).append(row)
    for key, own in rows.items():
        if key not in kept:
            journal.add(key, own)
    return bool(rows) and not begun


def _judge(journal: Journal, task: Task, todo: Sequence[Image], address: str | None, actors: int | None) -> None:
    progress = _Progress(len(todo))
    found = _here(task, todo) if address is None else judge_by_ray(task, todo, address, actors)
    try:
        for key, rows in found:
            journal.add(key, rows)
            progress.count(rows)
    finally:
        progress.end()


def _here(task: Task, todo: Sequence[Image]) -> Iterator[tuple[str, list[Row]]]:
    judge = Judge(task)
    tell(f"device     {judge.device}")
    try:
        for image in todo:
            yield image.key, judge.rows(image)
    finally:
        judge.close()


def _write(table: Table, journal: Journal, images: Images, denied: Sequence[Row]) -> int:
    """Write the table: rows of images that the source names no more first, then in its order. Counts errors."""
    keys = [image.key for image in images.images]
    named = set(keys)
    errors = 0

    def rows() -> Iterator[Row]:
        nonlocal errors
        for row in journal.rows([*(key for key in journal.keys() if key not in named), *keys]):  # noqa: SIM118
            errors += "error" in row
            yield row
        yield from denied

    table.write(rows())
    return errors


class _Progress:
    """A count on stderr: rewritten on a terminal, a line now and then in a log."""

    def __init__(self, total: int) -> None:
        self._live = sys.stderr.isatty()
        self._every = 0.2 if self._live else 10.0
        self._total = total
        self._seen = self._errors = 0
        self._start = self._told = time.monotonic()

    def count(self, rows: Sequence[Row]) -> None:
        """Count an image."""
        self._seen += 1
        self._errors += any("error" in row for row in rows)
        if time.monotonic() - self._told >= self._every:
            self._tell(last=False)

    def end(self) -> None:
        """Tell how far it came."""
        self._tell(last=True)

    def _tell(self, last: bool) -> None:
        self._told = time.monotonic()
        rate = self._seen / max(self._told - self._start, 1e-9)
        line = f"judged     {self._seen}/{self._total}  {rate:.1f} images/s  {self._errors} not judged"
        click.echo(f"\r{line}" if self._live else line, err=True, nl=last or not self._live)
