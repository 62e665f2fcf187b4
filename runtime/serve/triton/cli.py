"""``regad-triton``: write a model repository for NVIDIA Triton, and check the server that serves it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click

from ...backends.table import AUTO, require_precision
from ...commands.console import run_cli, tell
from ...commands.options import device_option, model_option, precision_option, refuse_without_effect, threads_option
from ...commands.outputs import Input, check_folder
from ...formats.artifact import Artifact
from ...formats.category import load_category
from ...formats.places import find_model
from ...selftest import Deviation, worst_of
from .check import Server, check_detector, check_graphs
from .config import Settings
from .graphs import write_graphs
from .repository import check_room, named, require_name, write_detector

__all__ = ["command", "main"]

_GRAPH_DEVICES = (AUTO, "cpu", "cuda")

_EPILOG = """\b
detector  one model serves every category: whole frames in, verdicts out; the
          server needs regad in its Python. A category that is written again
          replaces the one before while the server runs.
graphs    encoder, scorer and ensemble for Triton's ONNX Runtime: the client
          prepares the image and decides. Use them only after --check passed.

See docs/triton.md.
"""


class _Plan(NamedTuple):
    """What is to be written."""

    out: Path
    name: str
    artifact: Artifact
    files: dict[str, Path]
    settings: Settings
    max_batch: int


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}, epilog=_EPILOG)
@model_option
@click.option(
    "--category",
    "categories",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="Category file; served under its name without .safetensors. May be repeated.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Model repository to make or update.")
@click.option(
    "--name",
    default="regad",
    show_default=True,
    help="Name of the model; with --kind graphs, the beginning of the names.",
)
@click.option(
    "--kind",
    type=click.Choice(["detector", "graphs"]),
    default="detector",
    show_default=True,
    help="A model that takes image files, or the artifact's graphs as an ensemble.",
)
@click.option(
    "--one-model-per-category",
    is_flag=True,
    help="Write a model NAME_CATEGORY for each category: a process and an encoder each.",
)
@device_option
@precision_option
@threads_option
@click.option("--max-batch", type=click.IntRange(1), default=8, show_default=True, help="Most images of one batch.")
@click.option(
    "--memory-mb",
    type=click.IntRange(1),
    default=Settings.memory_mb,
    show_default=True,
    help="Most MB of categories kept in memory.",
)
@click.option(
    "--check", metavar="HOST:PORT", help="Let the server there (gRPC) load the model, and check its verdicts."
)
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> int:
    """Write a Triton model repository of an artifact and its categories."""
    graphs = given["kind"] == "graphs"
    if graphs and given["one_model_per_category"]:
        raise click.UsageError("--one-model-per-category is for --kind detector", ctx)
    if graphs and given["device"] not in _GRAPH_DEVICES:
        raise click.UsageError(f"--kind graphs takes --device {', '.join(_GRAPH_DEVICES)}", ctx)
    if graphs and given["precision"] != "f32":
        raise click.UsageError("--precision is for --kind detector: Triton's ONNX Runtime computes the graphs", ctx)
    if graphs:
        refuse_without_effect(["memory_mb"], "with --kind graphs")
    require_name(given["name"])
    server = Server(given["check"]) if given["check"] else None  # fails before anything is written
    plan = _plan(given)
    if graphs:
        checks = _graphs(plan, server)
    elif given["one_model_per_category"]:
        checks = [check for name in plan.files for check in _detector(_alone(plan, name), server)]
    else:
        checks = _detector(plan, server)
    if server is None:
        tell("next       start the server (docs/triton.md), then run the same command with --check HOST:PORT")
    else:
        tell(f"checked    {given['check']}: {worst_of(checks)}")
    return 0


def main() -> None:
    """Entry point of ``regad-triton``."""
    run_cli(command)


def _plan(given: dict[str, Any]) -> _Plan:
    require_precision(given["device"], given["precision"])
    model = find_model(given["model"])
    sealed = [Input("--model", model, sealed=True), *(Input("--category", path) for path in given["categories"])]
    check_folder("--out", given["out"], sealed)
    artifact = Artifact.open(model)
    files = named(given["categories"], artifact)
    if given["kind"] == "detector":
        check_room(files, given["memory_mb"])
    settings = Settings(given["device"], given["threads"], given["memory_mb"], precision=given["precision"])
    return _Plan(given["out"], given["name"], artifact, files, settings, given["max_batch"])


def _alone(plan: _Plan, category: str) -> _Plan:
    """The plan of a model that serves one category, which requests need not name."""
    return plan._replace(
        name=f"{plan.name}_{category}",
        files={category: plan.files[category]},
        settings=replace(plan.settings, category=category),
    )


def _detector(plan: _Plan, server: Server | None) -> list[Deviation]:
    again = write_detector(plan.out, plan.name, plan.artifact, plan.files, plan.settings, plan.max_batch, tell)
    if server is None:
        return []
    server.load(plan.name, again=again)
    categories = {name: load_category(path) for name, path in plan.files.items()}
    return check_detector(server, plan.name, plan.artifact, categories, plan.settings.precision)


def _graphs(plan: _Plan, server: Server | None) -> list[Deviation]:
    categories = {name: load_category(path) for name, path in plan.files.items()}
    encoder = write_graphs(
        plan.out,
        plan.name,
        plan.artifact,
        categories,
        max_batch=plan.max_batch,
        device=plan.settings.device,
        threads=plan.settings.threads,
        say=tell,
    )
    if server is None:
        return []
    ensembles = {f"{plan.name}_{name}": category for name, category in categories.items()}
    for ensemble in ensembles:
        server.load(ensemble, again=True)
    return check_graphs(server, encoder, ensembles, plan.artifact)
