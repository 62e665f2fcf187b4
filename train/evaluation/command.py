"""``regad-eval``: how well an artifact or a checkpoint judges the test folders of a data set."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from regad.runtime.backends.base import Precision
from regad.runtime.commands.console import counter, note, run_cli
from regad.runtime.commands.options import device_option, precision_options, refuse_without_effect, register_option
from regad.runtime.commands.outputs import check_distinct, check_file, check_folder, inputs
from regad.runtime.commands.own_files import html_kind, json_kind, markdown_kind
from regad.runtime.detector import Detector
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.atomic import atomic_write
from regad.runtime.formats.registration import Register
from regad.runtime.formats.scoring import Scoring
from regad.runtime.text import shown

from ..data.layouts import TestItem
from .ablate import NOTE, SHOTS, VARIANTS, Ablation, ablation_json, ablation_table, run_ablation, shots_ablations
from .each_out import evaluate_each
from .evaluate import Draw, Evaluation, Trial
from .prior import check_kinds, learn_priors, without_own
from .prior_file import PRIOR_FORMAT, write_priors
from .published import published_beside, published_note
from .report_html import Gallery, render_report
from .report_markdown import render_markdown
from .results import FORMAT, facts_of, read_draws, result_table, write_results
from .rounds import Opening, plan, remembering, run_rounds

__all__ = ["command", "main"]


def _shots(ctx: click.Context, param: click.Parameter, value: str) -> list[int]:
    try:
        shots = [int(part) for part in value.split(",")]
    except ValueError:
        shots = []
    if not shots or min(shots) < 2:
        raise click.BadParameter(f"{value!r}; expected numbers of 2 or more, like 4 or 2,4,8")
    return sorted(set(shots))


@dataclass(frozen=True)
class _Options:
    """The command line, as given."""

    model: Path | None
    ckpt: Path | None
    stn_mode: str | None
    data: Path
    categories: tuple[str, ...]
    shots: list[int]
    rounds: int
    seed: int
    support_from: Path | None
    register: Register
    device: str
    precision: Precision
    force: bool
    json_path: Path | None
    markdown: Path | None
    html: Path | None
    learn_prior: Path | None
    ablate: tuple[str, ...]
    train_each: Path | None
    train_args: str
    ray: str | None


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--model", type=click.Path(path_type=Path), help="Artifact folder from regad-export.")
@click.option("--ckpt", type=click.Path(path_type=Path), help="Instead of --model: a checkpoint, evaluated in torch.")
@click.option("--stn-mode", help="STN mode of a released checkpoint, if several fit its file.")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of categories.")
@click.option("--category", "categories", multiple=True, metavar="NAME", help="Only this category; repeatable.")
@click.option("--shot", "shots", default="4", callback=_shots, metavar="K[,K...]", help="Numbers of support images.")
@click.option("--rounds", type=click.IntRange(1), default=1, help="Support sets drawn for each category and shot.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Seed of the first round; each further round adds 1.")
@click.option("--support-from", type=click.Path(path_type=Path), help="Teach the support sets of this result file.")
@register_option
@device_option
@precision_options
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write all results to this file.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Also write the table to this file.")
@click.option("--html", type=click.Path(path_type=Path), help="Also write a report with pictures to this file.")
@click.option(
    "--learn-prior",
    type=click.Path(path_type=Path),
    help="Also learn what good scores look like from these categories, into this file for regad-export --prior; "
    "each category is then judged at the threshold learnt from all others. Parts are not registered then.",
)
@click.option(
    "--ablate",
    multiple=True,
    type=click.Choice([*VARIANTS, SHOTS, "all"]),
    help="Also judge without this part of the method, and print paired differences; repeatable.",
)
@click.option(
    "--train-each",
    type=click.Path(path_type=Path),
    help="Instead of a model: train one for each category on all the others, into this folder; a stopped run goes on.",
)
@click.option("--train-args", default="", metavar="TEXT", help="Further arguments of regad-train for --train-each.")
@click.option("--ray", metavar="ADDRESS", help="Spread the support sets over this Ray cluster: auto, or HOST:PORT.")
def command(**options: Any) -> None:
    """Teach each category from --shot good images and judge its test folder.

    An artifact is judged through the deployed backend, a checkpoint in torch (--device auto, cpu or cuda). Scores are
    not normalised; false rejects and escapes are counted at the taught threshold. Tables are in percent, mean ±
    standard deviation over rounds.
    """
    _evaluate(_Options(**options))


def _evaluate(options: _Options) -> None:
    _check(options)
    _check_outputs(options)
    draws = _draws(options)
    registration = options.register if options.learn_prior is None else "off"  # a misplaced part has no score
    if options.learn_prior is not None:
        check_kinds({drawn.category for drawn in draws}, spare=1)
    gallery = Gallery(max(drawn.shot for drawn in draws), draws[0].seed)
    look = gallery.look if options.html is not None else None
    ablations: list[Ablation] = []
    scoring = Scoring()
    if options.train_each is not None:
        results, items, model = _each_out(options, options.train_each, draws, look)
    elif options.ray is not None:
        results, items, model, scoring = _by_ray(options, options.ray, draws, registration)
    else:
        with closing(remembering(_open(options))) as detector:
            look_at = look or (lambda trial: None)
            results, items = run_rounds(
                detector, options.data, draws, _show, look_at, say=note, registration=registration
            )
            ablations = _ablations(options, detector, results)
            model = _describe(options, detector.model.info.hash, detector.device)
            scoring = detector.model.info.scoring
    if options.learn_prior is not None:
        results = _learn_prior(options.learn_prior, results, items, scoring)
    facts = facts_of(model, options.data)
    tables = {"Results": (result_table(results, published_beside(items)), published_note(items))}
    if ablations:
        tables["Ablations"] = (ablation_table(ablations), NOTE)
    for table, remark in tables.values():
        click.echo(table.text(_style) + (f"\n{remark}" if remark else "") + "\n")
    command = shown(shlex.join(["regad-eval", *sys.argv[1:]]))
    if options.json_path is not None:
        extra = {"ablations": ablation_json(ablations)} if ablations else {}
        write_results(options.json_path, facts, items, options.data, results, extra)
    if options.markdown is not None:
        atomic_write(options.markdown, render_markdown(facts, tables, command).encode())
    if options.html is not None:
        atomic_write(options.html, render_report(facts, tables, results, gallery, command).encode())


def _check(options: _Options) -> None:
    """Refuse options that do not go together."""
    if [options.model, options.ckpt, options.train_each].count(None) != 2:
        raise click.UsageError("give one of --model ARTIFACT, --ckpt FILE and --train-each FOLDER")
    if options.model is None and (options.precision != "f32" or options.force):
        raise click.UsageError("a checkpoint computes in float32; --precision and --force are for --model")
    if options.ckpt is None:
        refuse_without_effect(["stn_mode"], "without --ckpt")
    if options.model is not None and any(name in VARIANTS and VARIANTS[name].forward for name in options.ablate):
        raise click.UsageError("an artifact's graph is fixed: to ablate its STN or alignment give its --ckpt")
    if options.train_each is not None and options.ablate:
        raise click.UsageError(
            "--ablate needs one model: give --ckpt FOLDER/CATEGORY/model.pt --category CATEGORY after --train-each"
        )
    if options.learn_prior is not None and options.train_each is not None:
        raise click.UsageError("--learn-prior needs one model, whose scores it is about; --train-each makes several")
    if options.learn_prior is not None and _given("register") and options.register != "off":
        raise click.UsageError("--learn-prior is for parts that are not registered; leave out --register")
    if options.ray is not None and (options.model is None or options.html is not None or options.ablate):
        raise click.UsageError(
            "--ray takes --model only, and neither --html nor --ablate, which need every map on this machine"
        )
    if options.train_args and options.train_each is None:
        raise click.UsageError("--train-args is for --train-each")


def _check_outputs(options: _Options) -> None:
    """Raise OutputError if an output would replace an input, another output, or a file that is not of its kind."""
    given = inputs(
        "model", model=options.model, ckpt=options.ckpt, data=options.data, support_from=options.support_from
    )
    files = {
        "--json": (options.json_path, json_kind("regad-eval --json", FORMAT)),
        "--markdown": (options.markdown, markdown_kind("regad-eval")),
        "--html": (options.html, html_kind("regad-eval")),
        "--learn-prior": (options.learn_prior, json_kind("regad-eval --learn-prior", PRIOR_FORMAT)),
    }
    for option, (path, kind) in files.items():
        if path is not None:
            check_file(option, path, kind, given)
    if options.train_each is not None:
        check_folder("--train-each", options.train_each, given)
    check_distinct({**{option: path for option, (path, _) in files.items()}, "--train-each": options.train_each})


def _learn_prior(
    path: Path, results: list[Evaluation], items: Mapping[str, Sequence[TestItem]], scoring: Scoring
) -> list[Evaluation]:
    """Write the priors of all categories; returns the evaluations at thresholds that had no say of their own."""
    labels = {name: [bool(item.label) for item in tested] for name, tested in items.items()}
    write_priors(path, learn_priors(results, labels), scoring)
    return without_own(results, labels)


def _each_out(
    options: _Options, folder: Path, draws: list[Draw], look: Callable[[Trial], None] | None
) -> tuple[list[Evaluation], dict[str, Sequence[TestItem]], dict[str, str]]:
    """Leave every category out in turn."""
    from ..run.command import command as train_command
    from .backend_torch import checkpoint_detector

    def train(words: list[str]) -> None:
        click.echo(shlex.join(["regad-train", *words]), err=True)
        train_command.main(words, prog_name="regad-train", standalone_mode=False)

    done = evaluate_each(
        folder,
        options.data,
        draws,
        shlex.split(options.train_args),
        lambda checkpoint: checkpoint_detector(checkpoint, options.device),
        train,
        _show,
        look,
        note,
        options.register,
    )
    model = {"kind": "leave-one-out", "name": shown(folder.name), "hash": done.hash, "device": done.device}
    return done.results, done.items, model


def _ablations(options: _Options, detector: Detector, results: list[Evaluation]) -> list[Ablation]:
    """Run what --ablate names."""
    names = options.ablate
    if "all" in names:
        names = (*(name for name in VARIANTS if options.ckpt is not None or not VARIANTS[name].forward), SHOTS)
    done: list[Ablation] = []

    def reopen(forward: str) -> Detector:
        return remembering(_open(options, forward))

    for name in dict.fromkeys(names):
        if name == SHOTS:
            done += shots_ablations(results)
            continue
        click.echo(f"ablation: {VARIANTS[name].title}", err=True)
        done.append(run_ablation(VARIANTS[name], detector, reopen, options.data, results, _show, options.register))
    return done


def _open(options: _Options, forward: str = "as trained") -> Detector:
    if options.model is not None:
        return _opening(options, options.model).load()
    from .backend_torch import checkpoint_detector

    assert options.ckpt is not None
    return checkpoint_detector(options.ckpt, options.device, options.stn_mode, forward)


def _opening(options: _Options, model: Path) -> Opening:
    return Opening(model, options.device, options.precision, options.force)


def _draws(options: _Options) -> list[Draw]:
    """The support sets: drawn, or those of an earlier run (of the categories named, if any are)."""
    if options.support_from is None:
        return plan(options.data, options.categories, options.shots, options.rounds, options.seed, note)
    given = {source for name in ("shots", "rounds", "seed") if (source := _given(name))}
    if given:
        raise click.UsageError(f"--support-from brings its own {', '.join(sorted(given))}: leave it out")
    draws = read_draws(options.support_from)
    known = list(dict.fromkeys(drawn.category for drawn in draws))
    unknown = [name for name in options.categories if name not in known]
    if unknown:
        raise click.UsageError(f"{options.support_from} has no category {unknown[0]}; it has {', '.join(known)}")
    return [drawn for drawn in draws if drawn.category in (options.categories or known)]


def _given(name: str) -> str:
    """The option's name if the command line sets it, else nothing."""
    source = click.get_current_context().get_parameter_source(name)
    return name if source is click.core.ParameterSource.COMMANDLINE else ""


def _by_ray(
    options: _Options, address: str, draws: list[Draw], registration: Register
) -> tuple[list[Evaluation], dict[str, Sequence[TestItem]], dict[str, str], Scoring]:
    """Judge the artifact on a cluster."""
    from .by_ray import evaluate_by_ray

    assert options.model is not None
    artifact = Artifact.open(options.model)
    opening = _opening(options, options.model)
    done = evaluate_by_ray(address, opening, options.data, draws, _show, note, registration)
    return done.results, done.items, _describe(options, artifact.hash, done.device), artifact.scoring


def _describe(options: _Options, identity: str, device: str) -> dict[str, str]:
    path = options.model or options.ckpt
    assert path is not None
    return {
        "kind": "checkpoint" if options.model is None else "artifact",
        "name": shown(path.name),
        "hash": identity,
        "device": device,
    }


def _style(line: str, kind: str) -> str:
    """Colours for a terminal; click drops them where the output is no terminal."""
    looks: dict[str, dict[str, bool]] = {"head": {"bold": True}, "strong": {"bold": True}, "faint": {"dim": True}}
    return click.style(line, **looks.get(kind, {}))


def _show(drawn: Draw, done: int, total: int) -> None:
    counter(f"{shown(drawn.category)}, shot {drawn.shot}, seed {drawn.seed}: image")(done, total)


def main() -> None:
    """Entry point."""
    run_cli(command)


if __name__ == "__main__":
    main()
