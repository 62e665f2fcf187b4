"""``make results`` and ``make rivals``: run what docs/results/methods.md reports, each step once, and write it.

Every step leaves its files below ``--out``; what is there is not done again, so a run that was stopped goes on. The
prose is in ``methods.in.md``; ``{{name}}`` in it is replaced by the table of that name, or by a line that says that
the step was not run.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from side_by_side import SHOWN, difference_table, measure_table, read_methods

from regad.runtime.commands.console import run_cli
from regad.runtime.errors import InputError, RegadError
from regad.runtime.formats.atomic import atomic_write
from regad.train.data.layouts import list_categories
from regad.train.evaluation.ablate import Ablation, ablation_table, shots_ablations
from regad.train.evaluation.each_out import train_without
from regad.train.evaluation.evaluate import Evaluation
from regad.train.evaluation.results import MEASURES, read_results, result_table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RIVALS = {"PatchCore": "patchcore.json", "PaDiM": "padim.json"}
HELD_OUT: Mapping[str, Sequence[str]] = {"deep": (), "register": ("--ablate", "stn")}
"""Recipes of `regad-train`, and what is ablated of the models they make."""
GAINS, TRAINED, VIEWED = (f"{what}-deep" for what in ("gains", "trained", "views"))
OURS = ("gains only", "held out", "held out, register", "trained on it")
PAIRS = [
    *((ours, "frozen") for ours in ("default", *OURS)),
    ("held out", "gains only"),
    *((ours, name) for ours in ("default", "frozen", "held out", "held out, register") for name in RIVALS),
]
PLACEHOLDER = re.compile(r"\{\{(.+?)\}\}")
VIEWS = ("views-rotations", "views-shifts", "views-flip", "views-grey", "views-quarter-turns")


@dataclass(frozen=True)
class Run:
    """What is asked for, and where the files go."""

    data: Path
    weights: Path
    out: Path
    shots: str
    rounds: int
    seed: int
    train_args: str
    rivals_python: Path

    @property
    def draws(self) -> list[str]:
        """The options that fix the support sets."""
        return ["--shot", self.shots, "--rounds", str(self.rounds), "--seed", str(self.seed)]


def call(words: Sequence[object], **environment: str) -> None:
    """Run a command, shown first. Raises RegadError when it fails."""
    text = [str(word) for word in words]
    click.echo(f"$ {shlex.join(text)}", err=True)
    done = subprocess.run(text, env={**os.environ, **environment}, check=False)
    if done.returncode:
        raise RegadError(f"{shlex.join(text)} ended with status {done.returncode}; fix its cause and run again")


def program(name: str) -> str:
    """One of our programs in this environment."""
    return str(Path(sys.executable).with_name(name))


def train(run: Run, name: str, *words: str) -> Path:
    """Train into ``out/name`` unless that is done; returns the checkpoint."""
    folder = run.out / name
    if not (folder / "trained").is_file():
        call([program("regad-train"), "--data", run.data, "--out", folder, "--weights", run.weights, *words])
        (folder / "trained").touch()
    return folder / "model.pt"


def judge(run: Run, name: str, checkpoint: Callable[[str], Path], *words: str) -> None:
    """Evaluate each category into ``out/name/<category>.json`` unless that is done."""
    for category in list_categories(run.data):
        path = run.out / name / f"{category}.json"
        if not path.is_file():
            ours = ["--ckpt", checkpoint(category), "--data", run.data, "--category", category, "--json", path]
            call([program("regad-eval"), *ours, *run.draws, *words])


def default(run: Run) -> None:
    """What the commands make where nothing is asked for, as an artifact; each threshold by the other categories."""
    folder, result = run.out / "default", run.out / "default" / "all.json"
    if result.is_file():
        return
    checkpoint = train(run, "default")
    artifact = folder / "model.regad"
    call([program("regad-export"), "--ckpt", checkpoint, "--out", artifact])
    given = ["--model", artifact, "--data", run.data, *run.draws]
    call([program("regad-eval"), *given, "--learn-prior", folder / "prior.json", "--json", result])


def frozen(run: Run) -> None:
    """The ImageNet backbone as it is, transforms the identity; and the same with the level gains of `deep`."""
    for name, recipe in (("frozen", "backbone"), (GAINS, "deep")):
        checkpoint = train(run, name, "--epochs", "0", "--recipe", recipe)
        judge(run, name, lambda category, checkpoint=checkpoint: checkpoint)  # type: ignore[misc]


def trained(run: Run) -> None:
    """One model trained on every category: its own good training images were seen."""
    checkpoint = train(run, TRAINED, "--recipe", "deep", *shlex.split(run.train_args))
    judge(run, TRAINED, lambda category: checkpoint)


def held_out(run: Run) -> None:
    """Every category judged by models that never saw it, of `deep` and of the recipe that trains the STNs.

    The latter also without their STNs.
    """
    for recipe, words in HELD_OUT.items():
        judge(run, f"held-out-{recipe}", partial(train_held_out, run, recipe), *words)


def train_held_out(run: Run, recipe: str, category: str) -> Path:
    """Train by a recipe on all categories but one, unless that is done; returns the checkpoint."""

    def start(words: list[str]) -> None:
        call([program("regad-train"), *words])

    arguments = ["--weights", str(run.weights), "--recipe", recipe, *shlex.split(run.train_args)]
    return train_without(category, run.out / "each" / recipe / category, run.data, arguments, start)


def alignment(run: Run) -> None:
    """Models that train the STNs without the inverse alignment, or with one warp, at the smallest number of shots."""
    fewest = replace(run, shots=run.shots.split(",")[0])
    judge(fewest, "alignment", partial(train_held_out, run, "register"), *options(("alignment", "composed")))


def views(run: Run) -> None:
    """The backbone with gains without a group of support views, at the smallest number of shots."""
    fewest = replace(run, shots=run.shots.split(",")[0])
    judge(fewest, VIEWED, lambda category: run.out / GAINS / "model.pt", *options(VIEWS))


def options(names: Sequence[str]) -> list[str]:
    """The names as options of regad-eval."""
    return [word for name in names for word in ("--ablate", name)]


def rivals(run: Run) -> None:
    """PatchCore and PaDiM on the support sets of the frozen backbone's evaluation."""
    for category in list_categories(run.data):
        folder = run.out / "rivals" / category
        if not all((folder / name).is_file() for name in RIVALS.values()):
            given = ["--support-from", run.out / "frozen" / f"{category}.json", "--data", run.data]
            words = [run.rivals_python, HERE / "rivals.py", *given, "--weights", run.weights, "--out", folder]
            call(words, PYTHONPATH=str(ROOT / ".links"))


STEPS: Mapping[str, Callable[[Run], None]] = {
    "default": default,
    "frozen": frozen,
    "trained": trained,
    "held-out": held_out,
    "alignment": alignment,
    "views": views,
    "rivals": rivals,
}


def methods(out: Path) -> dict[str, list[Path]]:
    """The result files of every method that was run, by its name."""
    places = {
        "default": "default/all.json",
        "frozen": "frozen/*.json",
        "gains only": f"{GAINS}/*.json",
        "held out": "held-out-deep/*.json",
        "held out, register": "held-out-register/*.json",
        "trained on it": f"{TRAINED}/*.json",
        **{name: f"rivals/*/{file}" for name, file in RIVALS.items()},
    }
    found = {name: sorted(out.glob(pattern)) for name, pattern in places.items()}
    return {name: files for name, files in found.items() if files}


def results_of(files: Sequence[Path]) -> list[Evaluation]:
    """All rounds of several result files."""
    return [one for path in files for one in read_results(path)]


def ablation_rows(out: Path, name: str) -> list[Ablation]:
    """Put the ablations of several categories' files together again, pair by pair."""
    together: dict[str, list[tuple[Evaluation, Evaluation]]] = {}
    for path in sorted(out.glob(f"{name}/*.json")):
        whole = {(one.shot, one.seed): one for one in read_results(path)}
        for ablation in json.loads(path.read_text(encoding="utf-8")).get("ablations", []):
            pairs = together.setdefault(ablation["title"], [])
            for result in ablation["results"]:
                one = Evaluation(**{**result, "support": (), "scores": ()})
                pairs.append((one, whole[one.shot, one.seed]))
    return [Ablation(title, pairs) for title, pairs in together.items()]


def tables(out: Path) -> dict[str, str]:
    """Every table of the page as Markdown, by its name in the prose."""
    files, laid = methods(out), {}
    for measure in MEASURES:
        if measure.field in SHOWN and len(files) > 1:
            laid[f"all {measure.field}"] = measure_table(read_methods(files), measure).markdown()
    for first, second in PAIRS:
        if first in files and second in files:
            pair = read_methods({first: files[first], second: files[second]})
            laid[f"{first} - {second}"] = difference_table(pair).markdown()
    laid |= {name: result_table(results_of(paths)).markdown() for name, paths in files.items()}
    ablated = {name: ablation_rows(out, name) for name in ("held-out-register", "alignment")}
    ablated["views"] = ablation_rows(out, VIEWED)
    ablated["shots"] = shots_ablations(results_of(files.get("gains only", [])))
    return laid | {f"ablated {name}": ablation_table(found).markdown() for name, found in ablated.items() if found}


def write_page(out: Path, page: Path) -> None:
    """Fill the prose's tables in and write the page."""
    laid = {**tables(out), **about(out)}
    text = (HERE / "methods.in.md").read_text(encoding="utf-8")
    filled = PLACEHOLDER.sub(lambda m: laid.get(m[1], f"*Not run: {m[1]}.*"), text)
    atomic_write(page, filled.encode())
    click.echo(f"wrote {page}")


def about(out: Path) -> dict[str, str]:
    """What the page says of the run: commit, machine, software."""
    note = out / "run.json"
    facts: dict[str, Any] = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    return {key: str(value) for key, value in facts.items()}


def record(run: Run) -> None:
    """Note commit, machine and software beside the results, the first time."""
    note = run.out / "run.json"
    if note.is_file():
        return
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    cpu = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text()) if sys.platform == "linux" else None
    facts = {
        "commit": commit.stdout.strip() or "unknown",
        "cpu": f"{cpu[1] if cpu else platform.processor()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
    }
    atomic_write(note, (json.dumps(facts, indent=1) + "\n").encode())


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.argument("steps", nargs=-1, type=click.Choice([*STEPS, "page", "compare"]))
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of categories.")
@click.option(
    "--weights", type=click.Path(path_type=Path), required=True, help="ResNet-18's weights, for ours and theirs."
)
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "results", help="Folder for all that is made.")
@click.option("--shot", "shots", default="2,4,8")
@click.option("--rounds", type=click.IntRange(1), default=5)
@click.option("--seed", type=click.IntRange(0), default=0)
@click.option("--train-args", default="", help="Further arguments of regad-train.")
@click.option("--rivals-python", type=click.Path(path_type=Path), default=ROOT / ".venvs/anomalib/bin/python")
@click.option("--page", type=click.Path(path_type=Path), default=ROOT / "docs/results/methods.md")
def command(steps: tuple[str, ...], page: Path, **given: Any) -> None:
    """Run STEPS in order (default: all of them and the page)."""
    run = Run(**given)
    if not run.weights.is_file():
        raise InputError(f"weights {run.weights} is missing; give a ResNet-18 file with --weights (make: WEIGHTS=FILE)")
    record(run)
    for step in steps or (*STEPS, "page"):
        if step == "page":
            write_page(run.out, page)
        elif step == "compare":
            print_comparison(run.out)
        else:
            STEPS[step](run)


def print_comparison(out: Path) -> None:
    """Print our table and the rivals' beside it."""
    files = methods(out)
    ours = {name: files[name] for name in ("default", "frozen", *OURS[:3], *RIVALS) if name in files}
    click.echo(result_table(results_of(files["frozen"])).text() + "\n")
    shown = read_methods(ours)
    for measure in (measure for measure in MEASURES if measure.field in SHOWN):
        click.echo(f"{measure.title} in percent, mean ± standard deviation over support sets; ★ is the best of the row")
        click.echo(measure_table(shown, measure).text() + "\n")
    click.echo("paired differences in percentage points, 95 % interval of Student's t over support sets")
    click.echo(difference_table(shown).text())


if __name__ == "__main__":
    run_cli(command)
