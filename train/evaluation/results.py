"""What an evaluation says: the mean and standard deviation over rounds, as tables, and the result file."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from regad.runtime.errors import InputError
from regad.runtime.formats.atomic import atomic_write
from regad.runtime.formats.category import SupportImage
from regad.runtime.formats.json_text import parse
from regad.runtime.text import shown, system_reason

from ..data.layouts import TestItem
from .evaluate import Draw, Evaluation
from .tables import Table

__all__ = [
    "MEASURES",
    "Beside",
    "Measure",
    "Spread",
    "Summary",
    "facts_of",
    "read_draws",
    "read_model",
    "read_results",
    "result_table",
    "summarise",
    "write_results",
]

FORMAT = "regad-evaluation"
VERSION = 2


class Measure(NamedTuple):
    """A field of `Evaluation` and its title; ``higher`` says whether higher is better."""

    field: str
    title: str
    higher: bool


MEASURES = (
    Measure("image_auroc", "image AUROC", True),
    Measure("pixel_auroc", "pixel AUROC", True),
    Measure("aupro", "AUPRO 0.3", True),
    Measure("average_precision", "average precision", True),
    Measure("f1_max", "F1-max", True),
    Measure("false_alarm_at_full_recall", "false alarms at full recall", False),
    Measure("false_reject", "false rejects", False),
    Measure("escape", "escapes", False),
)
"""The last two are at the stored threshold."""


class Spread(NamedTuple):
    """Mean and standard deviation (N - 1; None of a single value) of a measure over rounds."""

    mean: float
    std: float | None

    def percent(self) -> str:
        """In percent, like ``93.4 ±0.6``."""
        return f"{100 * self.mean:.1f}" + ("" if self.std is None else f" ±{100 * self.std:.1f}")


@dataclass(frozen=True)
class Summary:
    """A category (None: the mean over categories) at one shot: a `Spread` for each measure, None where there is none.

    The spread of the mean is that over rounds of the mean over categories, not the spread of the categories.
    """

    category: str | None
    shot: int
    good: int
    defective: int
    rounds: int
    values: Mapping[str, Spread | None]
    ms: float | None


def _spread(values: Iterable[float | None]) -> Spread | None:
    numbers = [value for value in values if value is not None]
    if not numbers:
        return None
    return Spread(statistics.mean(numbers), statistics.stdev(numbers) if len(numbers) > 1 else None)


def _mean(values: Iterable[float | None]) -> float | None:
    spread = _spread(values)
    return None if spread is None else spread.mean


def summarise(results: Sequence[Evaluation]) -> list[Summary]:
    """Sum up by shot and category, with a mean over the categories where there are several."""
    summaries: list[Summary] = []
    for shot in sorted({result.shot for result in results}):
        chosen = [result for result in results if result.shot == shot]
        names = list(dict.fromkeys(result.category for result in chosen))
        summaries += [_category([r for r in chosen if r.category == name]) for name in names]
        if len(names) > 1:
            summaries.append(_over_categories(chosen))
    return summaries


def _category(rounds: Sequence[Evaluation]) -> Summary:
    first = rounds[0]
    values = {measure.field: _spread(getattr(result, measure.field) for result in rounds) for measure in MEASURES}
    return Summary(first.category, first.shot, first.good, first.defective, len(rounds), values, _median_ms(rounds))


def _over_categories(results: Sequence[Evaluation]) -> Summary:
    seeds = sorted({result.seed for result in results})
    values = {
        measure.field: _spread(_mean(getattr(r, measure.field) for r in results if r.seed == seed) for seed in seeds)
        for measure in MEASURES
    }
    once = {result.category: result for result in results}.values()
    good, defective = sum(result.good for result in once), sum(result.defective for result in once)
    return Summary(None, results[0].shot, good, defective, len(seeds), values, _median_ms(results))


def _median_ms(results: Sequence[Evaluation]) -> float | None:
    times = [result.ms for result in results if result.ms is not None]
    return statistics.median(times) if times else None


Beside = Callable[[Summary], Sequence[tuple[str, float | None, float | None]]]
"""Others' numbers for a summary: name, image AUROC and pixel AUROC in percent."""


def result_table(
    results: Sequence[Evaluation], beside: Beside = lambda summary: (), measures: Sequence[Measure] = MEASURES
) -> Table:
    """Lay the results out in percent, one row for each category and shot: mean ± standard deviation over rounds."""
    rows: list[tuple[str, ...]] = []
    strong, faint = set(), set()
    for summary in summarise(results):
        if summary.category is None:
            strong.add(len(rows))
        spreads = (summary.values[measure.field] for measure in measures)
        cells = ("-" if spread is None else spread.percent() for spread in spreads)
        name, counts = shown(summary.category or "mean"), f"{summary.good}/{summary.defective}"
        rows.append((name, str(summary.shot), counts, *cells, "-" if summary.ms is None else f"{summary.ms:.0f}"))
        for other, image, pixel in beside(summary):
            faint.add(len(rows))
            known = {"image_auroc": image, "pixel_auroc": pixel}
            cells = ("-" if (v := known.get(m.field)) is None else f"{v:.1f}" for m in measures)
            rows.append((f"  {other}", str(summary.shot), "", *cells, ""))
    head = ("category", "k", "good/bad", *(measure.title for measure in measures), "ms")
    return Table(head, tuple(rows), 1, frozenset(strong), frozenset(faint))


def facts_of(model: Mapping[str, Any], data: Path) -> dict[str, Any]:
    """Return what a result file says of the run: model, data, machine, software and time."""
    return {
        "model": dict(model),
        "data": shown(data.name),
        "machine": {"arch": platform.machine(), "cpus": os.cpu_count()},
        "software": {"regad": version("regad"), "numpy": np.__version__, "python": platform.python_version()},
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def write_results(
    path: Path,
    facts: Mapping[str, Any],
    items: Mapping[str, Sequence[TestItem]],
    root: Path,
    results: Sequence[Evaluation],
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write the result file atomically: facts, test images by category, every round with its support set and scores.

    Raises OutputError.
    """
    content = {
        "format": FORMAT,
        "version": VERSION,
        **facts,
        "test_images": {
            shown(name): [
                {"file": shown(item.path.relative_to(root).as_posix()), "label": item.label} for item in tested
            ]
            for name, tested in items.items()
        },
        "results": [asdict(_named(result)) for result in results],
        "summary": [asdict(summary) for summary in summarise([_named(result) for result in results])],
        **(extra or {}),
    }
    atomic_write(path, (json.dumps(content, indent=1) + "\n").encode())


def _named(result: Evaluation) -> Evaluation:
    """The evaluation with names that can be stored."""
    support = tuple(replace(one, name=shown(one.name)) for one in result.support)
    return replace(result, category=shown(result.category), support=support)


def _load(path: Path) -> dict[str, Any]:
    expected = "expected a result file of regad-eval --json"
    try:
        content = parse(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {system_reason(error)}; {expected}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}); {expected}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} is another kind of file; {expected}")
    if content.get("version") != VERSION:
        raise InputError(f"{path} has version {content.get('version')}; this regad reads {VERSION}: evaluate again")
    return content


def read_results(path: Path) -> list[Evaluation]:
    """Read the rounds of a result file back. Raises InputError."""
    content = _load(path)
    try:
        return [
            Evaluation(
                **{
                    **result,
                    "support": tuple(SupportImage(**one) for one in result["support"]),
                    "scores": tuple(result["scores"]),
                    "held_out": tuple(result.get("held_out", ())),
                }
            )
            for result in content["results"]
        ]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} is incomplete or malformed ({error!r}); evaluate again with --json") from error


def read_model(path: Path) -> dict[str, Any]:
    """Read what a result file says of its model. Raises InputError."""
    model = _load(path).get("model")
    if not isinstance(model, dict) or not {"hash", "device"} <= set(model):
        raise InputError(f"{path} does not say which model it judged; evaluate again with --json")
    return model


def read_draws(path: Path) -> list[Draw]:
    """Read which support sets a run taught, to repeat it.

    Raises InputError, also for a file of no rounds, or of names that were not UTF-8 and so lead to no file.
    """
    draws = [Draw(result.category, result.shot, result.seed, result.support) for result in read_results(path)]
    if not draws:
        raise InputError(f"{shown(path)} holds no support set; evaluate again with --json")
    lost = next((one.name for drawn in draws for one in drawn.support if "\ufffd" in one.name), None)
    if lost is not None:
        raise InputError(
            f"{shown(path)} has the support image {lost}, whose name is not UTF-8 and cannot be stored; "
            "rename the file in the data set and evaluate again"
        )
    return draws
