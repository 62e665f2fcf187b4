"""``regad-export``: a checkpoint to the artifact that devices run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from regad.runtime.console import run_cli
from regad.runtime.errors import RegadError
from regad.runtime.options import preprocessing_options

__all__ = ["command", "main"]


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option(
    "--ckpt", type=click.Path(path_type=Path), required=True, help="model.pt of regad-train, or a released one."
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("model.regad"), help="Artifact folder to write.")
@click.option(
    "--sampler",
    type=click.Choice(["gather", "gridsample"]),
    default="gather",
    help="Operator of the warps. gather runs everywhere and is the faster one on a CPU.",
)
@click.option("--opset", type=int, default=18, help="ONNX operator set: 16 to 20; gridsample ends at 19.")
@click.option(
    "--verify-images",
    type=click.Path(path_type=Path),
    help="Folder of images to compare PyTorch and the graphs on (default: synthetic ones).",
)
@click.option("--verify-seed", type=click.IntRange(0), default=0, help="Which images are drawn or synthesised.")
@click.option("--stn-mode", help="Transform of a released checkpoint, where its size fits several.")
@preprocessing_options
def command(**options: Any) -> None:
    """Export a checkpoint as an artifact folder, and prove that it computes what PyTorch computes.

    The same images go through the model and the graphs; beyond tolerance nothing is written. An artifact already at
    --out is replaced once the new one is complete; any other file or folder there is left alone.
    """
    try:
        from .build import ExportConfig, export_artifact
        from .parity import parity_table
    except ImportError as error:
        raise RegadError(
            f"regad-export needs PyTorch and ONNX ({error}); install them: pip install 'regad[export,cpu]'"
        ) from error

    config = ExportConfig(**options)
    artifact = export_artifact(
        config,
        progress=lambda stage: click.echo(f"{stage} ...", err=True),
        report=lambda checks: click.echo(parity_table(checks)),
    )
    size = sum(file.stat().st_size for file in artifact.path.iterdir()) / 1e6
    click.echo(f"artifact  {artifact.path} ({size:.1f} MB, {artifact.dtype}, opset {config.opset}, {config.sampler})")
    click.echo(f"hash      {artifact.hash}")
    click.echo(f"next      regad-calib --model {artifact.path} --support GOOD_IMAGES --out part.safetensors")


def main() -> None:
    """Entry point of ``regad-export``."""
    run_cli(command)


if __name__ == "__main__":
    main()
