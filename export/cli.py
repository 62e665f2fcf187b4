"""``regad-export``: a checkpoint to the artifact that devices run."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import click

from regad.runtime.commands.console import note, run_cli
from regad.runtime.commands.options import preprocessing_options, refuse_without_effect
from regad.runtime.commands.outputs import check_folder, inputs
from regad.runtime.commands.own_files import ARTIFACT
from regad.runtime.errors import InputError, RegadError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.encodings import StatisticsDtype
from regad.runtime.formats.scoring import SCORINGS
from regad.runtime.formats.spec import Dtype

from .engine_options import ENGINE, EngineOptions, engine_options

__all__ = ["command", "main"]


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--ckpt", type=click.Path(path_type=Path), help="model.pt of regad-train, or a released one.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("model.regad"), help="Artifact folder to write.")
@click.option("--fp16", is_flag=True, help="Encoder in half precision; positions of the warps stay float32.")
@click.option("--int8", is_flag=True, help="Backbone in int8 (Q/DQ), STNs in float32; needs --calib-images.")
@click.option(
    "--calib-images",
    type=click.Path(path_type=Path),
    help="Folder of photos of good parts, or of categories in any layout that training reads, for the ranges of int8.",
)
@click.option(
    "--ranges",
    type=click.Choice(["minmax", "entropy", "percentile"]),
    default="entropy",
    help="How an int8 range is set from the values of a tensor.",
)
@click.option(
    "--activations",
    type=click.Choice(["int8", "uint8"]),
    default="int8",
    help="int8 runs on ONNX Runtime and TensorRT; uint8 is faster on a CPU, and TensorRT refuses it.",
)
@click.option(
    "--stats-dtype",
    type=click.Choice(get_args(StatisticsDtype)),
    default="fp32",
    help="Data type of the statistics in the scorer graphs; fp16 halves their memory on a GPU.",
)
@click.option(
    "--scoring",
    type=click.Choice(list(SCORINGS)),
    help="How parts are scored: as in the paper, or from f2 and f3, where 1 is a held-out good part.  "
    "[default: edge for normalised features, as of --recipe edge; else regad]",
)
@click.option(
    "--prior",
    type=click.Path(path_type=Path),
    help="File of regad-eval --learn-prior, for thresholds.  "
    "[default: regad's own, for ImageNet's weights under --recipe edge]",
)
@click.option(
    "--sampler",
    type=click.Choice(["gather", "gridsample"]),
    default="gather",
    help="Operator of the warps. gather runs everywhere and is faster on a CPU.",
)
@click.option("--opset", type=int, default=18, help="ONNX operator set: 16 to 20; gridsample takes up to 19.")
@click.option(
    "--verify-images",
    type=click.Path(path_type=Path),
    help="Folder of images to compare PyTorch and the graphs on (default: synthetic ones).",
)
@click.option("--verify-seed", type=click.IntRange(0), default=0, help="Seed of the compared images.")
@click.option(
    "--verify-data",
    type=click.Path(path_type=Path),
    help="Labelled folder in MVTec layout: compare the verdicts of fp16 or int8 with fp32's.",
)
@click.option("--verify-shot", type=click.IntRange(2), default=4, help="Good images that --verify-data teaches.")
@click.option("--min-agreement", type=float, help="Smallest share of equal verdicts (default: fp16 0.995, int8 0.95).")
@click.option("--max-auroc-loss", type=float, help="Largest fall of the mean AUROC (default: fp16 0.002, int8 0.01).")
@click.option("--stn-mode", help="STN mode of a released checkpoint, if several fit its file.")
@preprocessing_options
@engine_options
def command(ckpt: Path | None, fp16: bool, int8: bool, engines: EngineOptions, **options: Any) -> None:
    """Export a checkpoint as an artifact folder, and prove that it computes what PyTorch computes.

    The model and the graphs compute the same images; if they differ too much, nothing is written. An artifact already
    at --out is replaced once the new one is complete; any other file or folder there is an error. --engine builds
    TensorRT engines for this machine's GPU into the artifact, also into one made elsewhere: --engine --artifact DIR.
    """
    if fp16 and int8:
        raise InputError("--fp16 and --int8 were both given; an artifact has one dtype: choose one of them")
    if (ckpt is None) == (engines.artifact is None):
        raise InputError("expected one of --ckpt FILE (export it) and --engine --artifact DIR (build its engines)")
    _refuse_without_effect(ckpt, int8, options["verify_data"], engines.wanted)
    engines.check()
    dtype: Dtype = "fp16" if fp16 else "int8" if int8 else "fp32"
    artifact = engines.open() if ckpt is None else _export(ckpt=ckpt, dtype=dtype, **options)
    if engines.wanted:
        engines.build(artifact)
    elif dtype != "fp32":
        click.echo(f"engine    none; build it on the target: regad-export --engine --artifact {artifact.path}")


def _refuse_without_effect(ckpt: Path | None, int8: bool, verify_data: Path | None, engine: bool) -> None:
    """Raise UsageError for an option that the others given leave without a say."""
    if ckpt is None:
        names = (one.name or "" for one in command.params)
        refuse_without_effect(set(names) - {"engine", "artifact", *ENGINE}, "with --artifact")
    if not int8:
        refuse_without_effect(("ranges", "activations"), "without --int8")
    if verify_data is None:
        refuse_without_effect(("verify_shot", "min_agreement", "max_auroc_loss"), "without --verify-data")
    if not engine:
        refuse_without_effect(ENGINE, "without --engine")


def _export(sampler: str, opset: int, scoring: str | None, **options: Any) -> Artifact:
    try:
        from .build import ExportConfig, export_artifact

        if options["verify_data"] is not None:
            import_module("regad.train.evaluation.metrics")
    except ImportError as error:
        raise RegadError(
            f"regad-export needs PyTorch and ONNX ({error}); install them: pip install 'regad[export,cpu]'"
        ) from error

    _check_out(options["out"], options)
    chosen = None if scoring is None else SCORINGS[scoring]
    config = ExportConfig(sampler=sampler, opset=opset, scoring=chosen, **options)
    artifact = export_artifact(config, lambda stage: click.echo(f"{stage} ...", err=True), click.echo, note)
    _summary(artifact, sampler, opset)
    return artifact


def _check_out(out: Path, options: dict[str, Any]) -> None:
    """Raise OutputError if the old artifact at --out, which is replaced whole, holds what is not its own."""
    names = ("ckpt", "prior", "calib_images", "verify_images", "verify_data")
    check_folder("--out", out, inputs(**{name: options[name] for name in names}), kind=ARTIFACT, replaced=True)


def _summary(artifact: Artifact, sampler: str, opset: int) -> None:
    if artifact.dtype != "fp32" and "decisions" not in artifact.manifest:
        click.echo("decisions not compared with fp32: give a labelled folder with --verify-data to know")
    size = sum(file.stat().st_size for file in artifact.path.iterdir()) / 1e6
    click.echo(f"artifact  {artifact.path} ({size:.1f} MB, {artifact.dtype}, opset {opset}, {sampler})")
    click.echo(f"hash      {artifact.hash}")
    if artifact.prior is not None:
        click.echo(f"prior     {artifact.prior.evidence}")
    click.echo(f"next      regad-calib --model {artifact.path} --support GOOD_IMAGES --out part.safetensors")


def main() -> None:
    """Entry point of ``regad-export``."""
    run_cli(command)


if __name__ == "__main__":
    main()
