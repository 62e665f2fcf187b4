"""``regad-quantize``: the faster int8 artifact for this processor, from the photos that teach the part."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import click
import numpy as np
from numpy.typing import NDArray

from regad.runtime.commands.console import note, run_cli
from regad.runtime.commands.options import refuse_without_effect
from regad.runtime.commands.outputs import check_folder, inputs
from regad.runtime.commands.own_files import ARTIFACT
from regad.runtime.commands.pick import Measured, Subject, measure, pick_table
from regad.runtime.errors import InputError, RegadError
from regad.runtime.formats.artifact import Artifact, write_artifact
from regad.runtime.formats.places import MODEL_VARIABLE, find_model
from regad.runtime.imaging.reading import read_picture
from regad.runtime.text import shown

from .int8 import Activations, Ranges, calibration_images
from .quantize import quantize_artifact, support_images
from .support import list_images

__all__ = ["command", "main"]

_RUNS = 15


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option(
    "--model", type=click.Path(path_type=Path), help=f"Artifact in fp32 (else ${MODEL_VARIABLE}, ./model.regad)."
)
@click.option("--support", type=click.Path(path_type=Path), required=True, help="Folder of photos of good parts.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Artifact folder to write.")
@click.option(
    "--calib-images",
    type=click.Path(path_type=Path),
    help="Folder of photos to measure the ranges of int8 on.  [default: views of --support]",
)
@click.option(
    "--validation", type=click.Path(path_type=Path), help="Folder of photos, good or not, to compare the verdicts on."
)
@click.option("--ranges", type=click.Choice(get_args(Ranges)), default="entropy", help="How a range is set.")
@click.option(
    "--activations",
    type=click.Choice(get_args(Activations)),
    default="uint8",
    help="uint8 is for CPUs; TensorRT takes only int8.",
)
@click.option(
    "--min-agreement",
    type=click.FloatRange(0, 1),
    default=0.95,
    help="Smallest share of equal verdicts on --validation.",
)
def command(
    model: Path | None,
    support: Path,
    out: Path,
    calib_images: Path | None,
    validation: Path | None,
    ranges: Ranges,
    activations: Activations,
    min_agreement: float,
) -> None:
    """Make an int8 artifact from an fp32 one, and print its speed here and how many verdicts it changes.

    No checkpoint and no PyTorch are needed. Teach each part again with the new artifact. Nothing is written if the
    artifact would fail a device's self-test, or if too many verdicts change.
    """
    if validation is None:
        refuse_without_effect(["min_agreement"], "without --validation")
    source = Artifact.open(find_model(model))
    read = {"support": support, "calib_images": calib_images, "validation": validation}
    check_folder("--out", out, inputs("model", model=source.path, **read), kind=ARTIFACT, replaced=True)
    photos = _read(support)
    if len(photos) < 2:
        raise InputError(f"{shown(support)} holds 1 photo; a part is taught from 2 or more: add photos of good parts")
    if calib_images is None:
        images = support_images(source, photos)
    else:
        images = calibration_images([list_images(calib_images, note)], source.spec, say=note)
    click.echo(f"setting int8 ranges from {len(images)} images ...", err=True)
    with tempfile.TemporaryDirectory() as folder:
        candidate = quantize_artifact(source, images, Path(folder) / "int8.regad", ranges, activations)
        if validation is None:
            click.echo("verdicts not compared with fp32: give photos with --validation to know")
        else:
            subject = Subject(f"the photos of {shown(validation)}", photos, _read(validation), photos[0])
            _compare(source, candidate, subject, out, min_agreement)
        files = {name: (candidate.path / name).read_bytes() for name in candidate.manifest["files"]}
        artifact = write_artifact(out, candidate.manifest, files)
    size = sum(file.stat().st_size for file in artifact.path.iterdir()) / 1e6
    click.echo(f"artifact  {shown(out)} ({size:.1f} MB, int8, {activations})")
    click.echo(f"hash      {artifact.hash}")
    click.echo(f"next      regad-calib --model {shown(out)} --support {shown(support)} --out part.safetensors")


def _read(folder: Path) -> list[NDArray[np.uint8]]:
    return [read_picture(path).image for path in list_images(folder, note)]


def _compare(source: Artifact, candidate: Artifact, subject: Subject, out: Path, least: float) -> None:
    """Print what the artifact gains on every device here. Raises RegadError if too many verdicts change on the CPU."""

    def left_out(text: str) -> None:
        note(f"left out {text.replace(str(candidate.path), shown(out))}")

    found = measure([source.path, candidate.path], subject, _RUNS, left_out=left_out)
    measured: Sequence[Measured] = [
        replace(one, candidate=replace(one.candidate, model=out)) if one.candidate.model == candidate.path else one
        for one in found
    ]
    click.echo(pick_table(measured, subject, least))
    (on_cpu,) = [one for one in measured if (one.candidate.model, one.candidate.device) == (out, "cpu")]
    if on_cpu.agreement < least:
        raise RegadError(
            f"int8 changes {on_cpu.images - on_cpu.equal} of {on_cpu.images} verdicts, but {least:.0%} must "
            "stay equal; nothing was written",
            remedy="give more varied photos with --calib-images, or a lower --min-agreement",
        )


def main() -> None:
    """Entry point of ``regad-quantize``."""
    run_cli(command)
