"""The commands of ``regad-station`` that read a trace: export, import, rejudge."""

from __future__ import annotations

import getpass
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..backends.base import Precision
from ..commands.console import note, tell
from ..commands.options import device_option, precision_options, refuse_without_effect, threads_option
from ..commands.outputs import check_file, check_folder, inputs
from ..commands.own_files import FileKind, FolderKind, json_kind
from ..errors import InputError
from ..text import shown
from .codes import VerdictCode

if TYPE_CHECKING:
    from ..detector import Detector
    from .config import Config
    from .trace.package import StoredPart
    from .trace.reader import Selection
    from .trace.rejudge import Change, Rejudged

__all__ = ["export_command", "import_command", "rejudge_command"]

_PATH = click.Path(path_type=Path)
_RECORD = "record.json"
_MEMBERS = (_RECORD, "input.png", "map.png", "full.jpg", "category.safetensors")

_OTHER = ": registered to another template, or cut out otherwise"

_from = click.option("--from", "from_id", type=click.IntRange(1), default=1, help="First part, by its number.")
_to = click.option("--to", "to_id", type=click.IntRange(1), help="Last part, by its number.")


@click.command("export")
@click.argument("config", type=_PATH)
@click.option("--out", type=_PATH, required=True, help="File to write: .csv or .json, with --part .zip.")
@click.option("--part", type=click.IntRange(1), help="One part with its input, map and category, to judge elsewhere.")
@_from
@_to
@click.option("--job", type=click.IntRange(1), help="Parts of this job only.")
@click.option("--serial", help="Parts with this serial number only.")
@click.option(
    "--format",
    "row_format",
    type=click.Choice(["csv", "json"]),
    help="Format of the rows (default: by the suffix of --out).",
)
def export_command(
    config: Path,
    out: Path,
    part: int | None,
    from_id: int,
    to_id: int | None,
    job: int | None,
    serial: str | None,
    row_format: str | None,
) -> None:
    """Write rows of CONFIG's trace as CSV or JSON, or one part as a zip. The station may run meanwhile."""
    from .trace.export import export_rows
    from .trace.package import export_part
    from .trace.reader import Selection

    trace = _config(config).trace.folder
    if part is not None:
        refuse_without_effect(("from_id", "to_id", "job", "serial", "row_format"), "with --part, which names one part")
        check_file("--out", out, FileKind("a part of regad-station export", _is_part), inputs(config=config))
        export_part(trace, part, out, say=note)
        click.echo(f"part {part} written to {shown(out)}")
        return
    kind = json_kind("regad-station export", "regad-trace")
    if (row_format or out.suffix.lower().lstrip(".")) == "csv":
        kind = FileKind("a table of regad-station export", _is_table)
    check_file("--out", out, kind, inputs(config=config))
    selection = Selection(from_id, to_id, job, serial=serial)
    count = export_rows(trace, out, selection, row_format)  # type: ignore[arg-type]
    click.echo(f"{_parts(count)} written to {shown(out)}")


@click.command("import")
@click.argument("part", type=_PATH)
@click.option("--out", type=_PATH, required=True, help="Folder to unpack it into.")
@click.option("--model", type=_PATH, help="Judge it again with this artifact and the category in the zip.")
@device_option
@precision_options
@threads_option
def import_command(
    part: Path, out: Path, model: Path | None, device: str, precision: Precision, force: bool, threads: int | None
) -> None:
    """Unpack PART, a zip of `export --part`, after checking it; with --model also judge it again."""
    from ..detector import Detector
    from .trace.package import import_part

    if model is None:
        refuse_without_effect(("device", "precision", "force", "threads"), "without --model")
    check_folder("--out", out, inputs(part=part, model=model), kind=_PART_FOLDER, replaced=True)
    stored = import_part(part, out)
    row, verdict = stored.row, VerdictCode(stored.row["verdict"])
    click.echo(f"part {row['id']} (serial {shown(row['serial']) or 'none'}): {verdict.name}, score {row['score']}")
    if model is not None:
        with Detector.load(model, device, threads, precision=precision, force=force) as detector:
            click.echo(_judged_again(stored, detector))
    click.echo(f"unpacked to {shown(out)}")


@click.command("rejudge")
@click.argument("config", type=_PATH)
@_from
@_to
@click.option("--job", type=click.IntRange(1), help="Parts of this job only.")
@click.option("--category", type=_PATH, help="Judge the stored inputs again with this category file.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, min_open=True),
    help="Another threshold; without --category it is applied to the stored scores.",
)
@click.pass_context
def rejudge_command(
    ctx: click.Context,
    config: Path,
    from_id: int,
    to_id: int | None,
    job: int | None,
    category: Path | None,
    threshold: float | None,
) -> None:
    """Judge parts of CONFIG's trace again, and list those whose verdict changes. The outputs stay as they are."""
    from .trace.reader import Selection
    from .trace.rejudge import rejudge_threshold

    if category is None and threshold is None:
        raise click.UsageError("give --category FILE, --threshold T, or both", ctx)
    station, selection = _config(config), Selection(from_id, to_id, job)
    if category is not None:
        done = _rejudge_with(station, category, threshold, selection)
    else:
        assert threshold is not None
        done = rejudge_threshold(station.trace.folder, threshold, selection, by=_user(), on_change=_say_change)
    tell(
        f"{_parts(done.judged)} judged again: {done.changed} with another verdict, {done.same_scores} with the same "
        f"score in every bit; {done.left_out} left out; {done.other_input} cannot be judged again{_OTHER}; "
        f"run {done.run} of the trace"
    )


def _rejudge_with(station: Config, category: Path, threshold: float | None, selection: Selection) -> Rejudged:
    from ..detector import Detector
    from .trace.rejudge import rejudge

    with Detector(station.model.open(), owns_model=True) as detector:
        detector.load_category(category)
        if threshold is not None:
            detector.set_threshold(threshold)
        return rejudge(
            station.trace.folder,
            detector,
            selection,
            by=_user(),
            on_change=_say_change,
            on_other_input=_say_other_input,
        )


def _parts(count: int) -> str:
    return f"{count} part{'s' * (count != 1)}"


def _say_change(change: Change) -> None:
    before, after = ("none" if score is None else f"{score:.4f}" for score in (change.score_before, change.score))
    names = f"{change.verdict_before.name} -> {change.verdict.name}"
    click.echo(f"part {change.inspection}: {names}, score {before} -> {after}")


def _say_other_input(inspection: int) -> None:
    click.echo(f"part {inspection} cannot be judged again{_OTHER}")


def _judged_again(stored: StoredPart, detector: Detector) -> str:
    from .trace.prepared import prepared_of

    if stored.category is None:
        raise InputError("the part was exported without its category, so it cannot be judged; leave --model out")
    detector.use(stored.category)
    (result,) = detector.predict_prepared([prepared_of(stored.row, stored.input, stored.category.registration)])
    score = None if result.refusal else result.score
    same = "the same in every bit" if score == stored.row["score"] else f"recorded was {stored.row['score']}"
    return f"judged again: {result.reason}, score {score}, {same}"


def _config(path: Path) -> Config:
    from .config_file import read_config

    return read_config(path)


def _user() -> str:
    """Who asks, for the record; a user without an account has a number at least."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def _is_part(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return _RECORD in archive.namelist()
    except (zipfile.BadZipFile, ValueError):
        return False


def _is_table(path: Path) -> bool:
    from .trace.reader import EXPORTED

    with path.open("rb") as file:
        return file.readline(4096).decode("utf-8", "replace").rstrip("\r\n") == ",".join(EXPORTED)


def _strange_in_part(folder: Path) -> Iterator[str]:
    yield from (path.name for path in sorted(folder.iterdir()) if path.name not in _MEMBERS)


_PART_FOLDER = FolderKind("of a part that regad-station import unpacked", _strange_in_part)
