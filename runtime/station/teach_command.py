"""``regad-station teach``: a part taught again from good parts of the trace."""

from __future__ import annotations

import re
from pathlib import Path

import click

from ..commands.console import counter, note, tell
from ..commands.outputs import check_file, inputs
from ..commands.own_files import CATEGORY
from ..errors import InputError
from ..text import shown

__all__ = ["numbers", "teach_command"]

_PATH = click.Path(path_type=Path)
_MOST = 10_000
_RANGE = re.compile(r"([1-9][0-9]{0,17})(?:-([1-9][0-9]{0,17}))?")


def numbers(text: str) -> list[int]:
    """Return the numbers of a list like ``12,15,20-30``, in its order. Raises InputError for another text."""
    found: list[int] = []
    for item in text.split(","):
        match = _RANGE.fullmatch(item.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or len(found) + last - first >= _MOST:
            raise InputError(f"{shown(item)!r} is no part, and no range of them; expected a list like 12,15,20-30")
        found += range(first, last + 1)
    return found


@click.command("teach")
@click.argument("config", type=_PATH)
@click.option("--parts", required=True, help="Good parts by their numbers in the trace, like 12,15,20-30.")
@click.option("--out", type=_PATH, required=True, help="Category file to write.")
@click.option("--job", type=click.IntRange(1), help="Refuse parts of another job.")
@click.option("--validation", help="More good parts, to set the threshold from.")
@click.option("--target-frr", type=float, help="Share of good parts that may be rejected.")
@click.option("--strict", is_flag=True, help="Refuse odd parts instead of only naming them.")
def teach_command(
    config: Path,
    parts: str,
    out: Path,
    job: int | None,
    validation: str | None,
    target_frr: float | None,
    strict: bool,
) -> None:
    """Teach a part again from good parts of CONFIG's trace, as the encoder saw them. The station may run meanwhile.

    Template and region of interest stay as they are. The pictures of these parts are kept for good.
    """
    from regad.calib.stored import teach_parts

    from ..formats.category import save_category
    from ..formats.digest import sha256_of
    from .config_file import read_config

    station = read_config(config)
    wanted, extra = numbers(parts), [] if validation is None else numbers(validation)
    check_file("--out", out, CATEGORY, inputs(config=config, model=station.model.path))
    with station.model.open() as model:
        category = teach_parts(
            model,
            station.trace.folder,
            wanted,
            job=job,
            validation=extra,
            target_frr=target_frr,
            strict=strict,
            progress=counter("encoding part"),
        )
    save_category(category, out)
    for text in category.notes:
        note(text)
    threshold = category.threshold
    held_out = threshold.held_out or (() if extra else threshold.scores)
    for name, scores in (("held-out", held_out), ("validation", threshold.scores if extra else ())):
        if scores:
            tell(f"{name} scores {', '.join(f'{score:.3f}' for score in scores)}")
    click.echo(f"category  {shown(out)} (k = {category.shot}, {category.encoding} encoding)")
    click.echo(f"threshold {threshold.value:.3f}: {threshold.note}")
    click.echo(f'sha256    "{sha256_of(out)}"')
