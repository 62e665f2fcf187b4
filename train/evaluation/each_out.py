"""Leave one category out: train on all the others, judge the one never seen, for each in turn.

Every category has a folder of its own with the checkpoint, `trained.json` (the arguments and the checkpoint's hash) and
`result.json`. What is finished is not done again, so a run that was stopped goes on where it was; a folder that was
trained with other arguments is an error, never a silent mixture.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from regad.runtime.detector import Detector
from regad.runtime.errors import InputError
from regad.runtime.formats.atomic import atomic_write
from regad.runtime.formats.registration import Register
from regad.runtime.text import Say, shown, unsaid

from ..data.layouts import TestItem, list_categories
from ..run.config import DEFAULT_RECIPE
from .evaluate import Draw, Evaluation, Trial, list_test
from .results import facts_of, read_model, read_results, write_results
from .rounds import OnTrial, remembering, run_rounds

__all__ = ["EachOut", "evaluate_each", "train_without"]

_MARK = "trained.json"
_OWN = ("--data", "--out")
Train = Callable[[list[str]], object]
"""Runs regad-train with these arguments."""


def train_without(category: str, folder: Path, data: Path, arguments: Sequence[str], train: Train) -> Path:
    """Train on every category but one into ``folder``, unless that is done; returns the checkpoint.

    Raises InputError when ``arguments`` set what is set here, or when the folder was trained with other ones.
    """
    given = [name for name in _OWN if any(word == name or word.startswith(f"{name}=") for word in arguments)]
    if given:
        raise InputError(f"--train-args holds {given[0]}, which --train-each sets itself; leave it out")
    mark, checkpoint = folder / _MARK, folder / "model.pt"
    wanted = {
        "held_out": category,
        "categories": list_categories(data),
        "arguments": list(arguments),
        "default_recipe": DEFAULT_RECIPE,
    }
    if mark.is_file():
        _check(mark, checkpoint, wanted)
        return checkpoint
    train(["--data", str(data), "--out", str(folder), "--hold-out", category, *arguments])
    atomic_write(mark, (json.dumps({**wanted, "sha256": _sha256(checkpoint)}, indent=1) + "\n").encode())
    return checkpoint


def _check(mark: Path, checkpoint: Path, wanted: Mapping[str, object]) -> None:
    again = f"remove {mark.parent} to train it again, or choose another folder with --train-each"
    try:
        found = json.loads(mark.read_text(encoding="utf-8"))
        digest = found.pop("sha256")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{mark} cannot be read; {again}") from error
    for key, value in wanted.items():
        if found.get(key) != value:
            raise InputError(f"{mark.parent} was trained with {key} {found.get(key)}, not {value}; {again}")
    if not checkpoint.is_file() or _sha256(checkpoint) != digest:
        raise InputError(f"{checkpoint} is not the checkpoint that was trained there; {again}")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class EachOut:
    """The evaluations of all held-out categories, their test images, and the checkpoints' common hash and device."""

    def __init__(self) -> None:
        self.results: list[Evaluation] = []
        self.items: dict[str, Sequence[TestItem]] = {}
        self.hashes: list[str] = []
        self.device = ""

    @property
    def hash(self) -> str:
        """One hash for the checkpoints in their order."""
        return hashlib.sha256("".join(self.hashes).encode()).hexdigest()


def evaluate_each(
    folder: Path,
    data: Path,
    draws: Sequence[Draw],
    arguments: Sequence[str],
    opened: Callable[[Path], Detector],
    train: Train,
    report: OnTrial,
    look: Callable[[Trial], None] | None = None,
    say: Say = unsaid,
    registration: Register = "auto",
) -> EachOut:
    """Train and judge every category of ``draws`` by a model that never saw it.

    ``look`` needs them judged anew; ``say`` receives what is odd about the images.

    Raises InputError as `train_without` and `run_rounds` do.
    """
    done = EachOut()
    for name in dict.fromkeys(drawn.category for drawn in draws):
        own = [drawn for drawn in draws if drawn.category == name]
        checkpoint = train_without(name, folder / name, data, arguments, train)
        path, digest = folder / name / "result.json", _sha256(checkpoint)
        done.hashes.append(digest)
        if look is None and _is_done(path, own, digest):
            done.results += read_results(path)
            done.items[name] = list_test(data, name, say)
            done.device = read_model(path)["device"]
            continue
        with closing(remembering(opened(checkpoint))) as detector:
            look_at = look or (lambda trial: None)
            results, items = run_rounds(detector, data, own, report, look_at, say=say, registration=registration)
            done.device = detector.device
        model = {"kind": "checkpoint", "name": f"{name}/{checkpoint.name}", "hash": digest, "device": done.device}
        write_results(path, facts_of(model, data), items, data, results)
        done.results += results
        done.items |= items
    return done


def _is_done(path: Path, draws: Sequence[Draw], digest: str) -> bool:
    """Whether a result file holds just these support sets, judged by just this checkpoint."""
    if not path.is_file() or read_model(path)["hash"] != digest:
        return False
    found = {(r.shot, r.seed): [one.name for one in r.support] for r in read_results(path)}
    wanted = {(drawn.shot, drawn.seed): [shown(one.name) for one in drawn.support] for drawn in draws}
    return found == wanted  # names are stored as they are shown
