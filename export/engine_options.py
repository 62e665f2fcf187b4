"""The options of ``regad-export`` that build TensorRT engines."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from regad.runtime.backends.tensorrt.library import MODULES, load_tensorrt
from regad.runtime.errors import InputError
from regad.runtime.formats.artifact import Artifact

from .engine import EngineConfig, build_engines

__all__ = ["ENGINE", "EngineOptions", "engine_options"]

ENGINE: Final = (
    *("min_batch", "opt_batch", "max_batch", "max_shot", "workspace", "hardware", "portable"),
    *("compute_capability", "tensorrt"),
)
"""The options that only --engine heeds."""


@dataclass(frozen=True)
class EngineOptions:
    """What the command line says about engines: whether any are ``wanted``, for which ``artifact``, and how built."""

    wanted: bool
    artifact: Path | None
    config: EngineConfig

    def check(self) -> None:
        """Fail before minutes of export: InputError for options without --engine, DeviceError without TensorRT."""
        if self.artifact is not None and not self.wanted:
            raise InputError("--artifact names an artifact to build engines for: give --engine too")
        if self.wanted:
            load_tensorrt(self.config.module)

    def open(self) -> Artifact:
        """Open the artifact that was named, every file's hash checked."""
        assert self.artifact is not None
        return Artifact.open(self.artifact)

    def build(self, artifact: Artifact) -> None:
        """Build its engines and say what was built."""
        build_engines(
            artifact, self.config, progress=lambda stage: click.echo(f"{stage} ...", err=True), report=click.echo
        )
        click.echo(
            f"next      regad-run --device tensorrt --model {artifact.path} --support GOOD_IMAGES --source IMAGES"
        )


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which receives them as one argument, ``engines``."""
    usual = EngineConfig()
    options = (
        click.option("--engine", is_flag=True, help="Build TensorRT engines for this machine's GPU into the artifact."),
        click.option(
            "--artifact",
            type=click.Path(path_type=Path),
            help="With --engine: an existing artifact, instead of --ckpt.",
        ),
        click.option("--min-batch", type=int, default=usual.batch[0], help="Engine: fewest images in a pass."),
        click.option("--opt-batch", type=int, default=usual.batch[1], help="Engine: usual number of images in a pass."),
        click.option("--max-batch", type=int, default=usual.batch[2], help="Engine: most images in a pass."),
        click.option("--max-shot", type=int, default=usual.max_shot, help="Engine: most support images of a part."),
        click.option("--workspace", type=int, metavar="MIB", help="Engine: most scratch memory (default: all)."),
        click.option(
            "--hardware",
            type=click.Choice(["this", "ampere-plus"]),
            default=usual.hardware,
            help="Engine: for this GPU only, or for all from compute capability 8.0 on.",
        ),
        click.option("--portable", is_flag=True, help="Engine: runs on later versions of the same major TensorRT."),
        click.option(
            "--compute-capability", metavar="X.Y", help="Engine: for another GPU than this machine's (tensorrt_rtx)."
        ),
        click.option("--tensorrt", type=click.Choice(MODULES), help="Engine: module (default: the first installed)."),
    )

    @functools.wraps(command)
    def wrapped(
        engine: bool,
        artifact: Path | None,
        min_batch: int,
        opt_batch: int,
        max_batch: int,
        max_shot: int,
        workspace: int | None,
        hardware: Any,
        portable: bool,
        compute_capability: str | None,
        tensorrt: str | None,
        **rest: Any,
    ) -> Any:
        config = EngineConfig(
            batch=(min_batch, opt_batch, max_batch),
            max_shot=max_shot,
            workspace=workspace,
            hardware=hardware,
            portable=portable,
            compute_capability=compute_capability,
            module=tensorrt,
        )
        return command(engines=EngineOptions(engine, artifact, config), **rest)

    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped
