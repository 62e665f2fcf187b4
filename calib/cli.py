"""``regad-calib``: teach a part from good images and write its category file."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from regad.runtime.backends.base import Precision
from regad.runtime.commands.console import counter, note, run_cli
from regad.runtime.commands.options import (
    device_option,
    model_option,
    precision_options,
    preprocessing_options,
    refuse_without_effect,
    register_option,
    spec_from_options,
    threads_option,
    threshold_options,
)
from regad.runtime.commands.outputs import check_file, inputs
from regad.runtime.commands.own_files import CATEGORY
from regad.runtime.detector import Detector
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.category import Category, registration_text
from regad.runtime.formats.encodings import StatisticsDtype
from regad.runtime.formats.places import find_model
from regad.runtime.formats.registration import Register
from regad.runtime.text import shown

from .folder import teach_folder

__all__ = ["command", "main"]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@model_option
@click.option("--support", required=True, type=click.Path(path_type=Path), help="Folder of images of good parts.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Category file to write (.safetensors).")
@click.option("--shot", type=click.IntRange(1), help="Draw this many of the images (default: use all).")
@click.option("--seed", type=int, default=0, help="Seed of the draw.")
@click.option("--validation", type=click.Path(path_type=Path), help="Folder of further good images for the threshold.")
@threshold_options
@click.option(
    "--encoding",
    type=click.Choice(["auto", "gram", "hybrid", "cholesky"]),
    default="auto",
    help="Form of the statistics.",
)
@click.option(
    "--stats-dtype",
    type=click.Choice(get_args(StatisticsDtype)),
    help="Data type of the statistics; fp16 halves the memory.  [default: the artifact's, fp32 if it names none]",
)
@register_option
@click.option("--strict", is_flag=True, help="Refuse odd photos: copies, blurred ones, ones unlike the others.")
@device_option
@precision_options
@threads_option
@preprocessing_options
def command(
    model: Path | None,
    support: Path,
    out: Path,
    shot: int | None,
    seed: int,
    validation: Path | None,
    target_frr: float | None,
    threshold: float | None,
    warn_frr: float | None,
    warn_threshold: float | None,
    encoding: str,
    stats_dtype: StatisticsDtype | None,
    register: Register,
    strict: bool,
    device: str,
    precision: Precision,
    force: bool,
    threads: int | None,
    fit: str | None,
    resample: str | None,
    roi: tuple[int, int, int, int] | None,
) -> None:
    """Teach a part from a folder of good images; the result is one small file for regad-run and the C library."""
    if shot is None:
        refuse_without_effect(["seed"], "without --shot")
    if threshold is not None:
        refuse_without_effect(["target_frr", "validation"], "with --threshold")
    model = find_model(model)
    check_file("--out", out, CATEGORY, inputs("model", model=model, support=support, validation=validation))
    spec = spec_from_options(Artifact.open(model, verify=False).spec, fit, resample, roi)
    with Detector.load(model, device=device, threads=threads, spec=spec, precision=precision, force=force) as detector:
        click.echo(f"artifact  {shown(model)} on {detector.device}", err=True)
        category = teach_folder(
            detector,
            support,
            shot=shot,
            seed=seed,
            target_frr=target_frr,
            validation=validation,
            threshold=threshold,
            warn_frr=warn_frr,
            warn_threshold=warn_threshold,
            strict=strict,
            registration=register,
            dtype=stats_dtype,
            encoding=None if encoding == "auto" else encoding,  # type: ignore[arg-type]
            progress=counter("encoding image"),
            say=note,
        )
        detector.save_category(out)
    _tell(category, out, model)


def _tell(category: Category, out: Path, model: Path) -> None:
    """What was taught, and the command that comes next."""
    for text in category.notes:
        note(text)
    size = out.stat().st_size / 1e6
    form = f"{category.encoding} encoding, {category.statistics[0].dtype}"
    click.echo(f"category  {shown(out)} ({size:.1f} MB, k = {category.shot}, {form})")
    if category.tried is not None:
        click.echo(f"register  {registration_text(category)}")
    click.echo(f"threshold {category.threshold.value:.3f}: {category.threshold.note}")
    if category.threshold.warn is not None:
        click.echo(f"warn      {category.threshold.warn:.3f}: {category.threshold.warned}")
    click.echo(f"next      regad-run --model {shown(model)} --category {shown(out)} --source IMAGES")


def main() -> None:
    """Entry point of ``regad-calib``."""
    run_cli(command)
