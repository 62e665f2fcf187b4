"""Ablations: what each part of the method is worth, as paired differences with confidence intervals.

A variant is taught the same support sets as the whole method and judges the same images: a pair is one category and one
support set. Two intervals are given, both Student's t at 95 %. That over *support sets* keeps the categories as they
are: the variance of the mean over categories is the sum of the categories' own, over their number squared, with Welch
and Satterthwaite's degrees of freedom. That over *categories* treats each category's mean difference as one
observation: it is the one to read for a part not in the data, and it is wide when there are few.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from regad.calib.distributions import student_t_quantile
from regad.calib.views import VIEW_GROUPS
from regad.runtime.detector import Detector
from regad.runtime.formats.registration import Register

from .evaluate import Draw, Evaluation
from .results import MEASURES
from .rounds import OnTrial, run_rounds
from .tables import Table

__all__ = [
    "NOTE",
    "SHOTS",
    "VARIANTS",
    "Ablation",
    "Effect",
    "Interval",
    "Variant",
    "ablation_json",
    "ablation_table",
    "effect",
    "run_ablation",
    "shots_ablations",
]

SHOTS = "shots"
"""The ablation that needs no run of its own: each number of shots against the one before."""
_CONFIDENCE = 0.95
_SHOWN = ("image_auroc", "pixel_auroc", "aupro")


class Variant(NamedTuple):
    """The method without a part: a forward pass of `backend_torch`, or groups of support views left out."""

    title: str
    forward: str | None = None
    without: tuple[str, ...] = ()


VARIANTS: dict[str, Variant] = {
    "stn": Variant("STN off", forward="without stn"),
    "alignment": Variant("inverse alignment off", forward="unaligned"),
    "composed": Variant("inverse composed to one warp", forward="composed"),
    **{f"views-{group}": Variant(f"views: no {group}", without=(group,)) for group in VIEW_GROUPS},
}


class Interval(NamedTuple):
    """A 95 % confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Effect:
    """A paired difference, variant less whole, of one measure at one shot; an interval is None where it needs more."""

    mean: float
    pairs: int
    over_supports: Interval | None
    over_categories: Interval | None


@dataclass(frozen=True)
class Ablation:
    """A variant's title, and its rounds paired with those of the whole method (variant, whole)."""

    title: str
    pairs: Sequence[tuple[Evaluation, Evaluation]]


def effect(differences: Mapping[str, Sequence[float]]) -> Effect | None:
    """Sum up differences by category, one for each support set; None of nothing."""
    groups = [list(values) for values in differences.values() if values]
    if not groups:
        return None
    means = [statistics.mean(group) for group in groups]
    return Effect(statistics.mean(means), sum(map(len, groups)), _over_supports(groups), _over_categories(means))


def _over_supports(groups: Sequence[Sequence[float]]) -> Interval | None:
    if min(map(len, groups)) < 2:
        return None
    centre = statistics.mean(statistics.mean(group) for group in groups)
    parts = [statistics.variance(group) / len(group) for group in groups]
    if not sum(parts):
        return Interval(centre, centre)
    dof = sum(parts) ** 2 / sum(part**2 / (len(group) - 1) for part, group in zip(parts, groups, strict=True))
    return _interval(centre, math.sqrt(sum(parts)) / len(groups), dof)


def _over_categories(means: Sequence[float]) -> Interval | None:
    if len(means) < 2:
        return None
    return _interval(statistics.mean(means), statistics.stdev(means) / math.sqrt(len(means)), len(means) - 1)


def _interval(centre: float, error: float, dof: float) -> Interval:
    """The interval; degrees of freedom are rounded down, which widens it."""
    reach = student_t_quantile(0.5 + _CONFIDENCE / 2, max(1, math.floor(dof))) * error
    return Interval(centre - reach, centre + reach)


def run_ablation(
    variant: Variant,
    detector: Detector,
    opened: Callable[[str], Detector],
    data: Path,
    whole: Sequence[Evaluation],
    report: OnTrial,
    registration: Register = "auto",
) -> Ablation:
    """Teach and test the support sets of ``whole``, the rounds of the whole method on ``detector``, without a part.

    ``opened`` opens the same model with another forward pass. Raises InputError as `run_rounds` does.
    """
    draws = [Draw(one.category, one.shot, one.seed, one.support) for one in whole]
    used = detector if variant.forward is None else opened(variant.forward)
    results, _ = run_rounds(used, data, draws, report, without=variant.without, registration=registration)
    if used is not detector:
        used.close()
    return Ablation(variant.title, list(zip(results, whole, strict=True)))


def shots_ablations(whole: Sequence[Evaluation]) -> list[Ablation]:
    """Pair the rounds of each number of shots with those of the next smaller one, by category and seed."""
    shots = sorted({one.shot for one in whole})
    by_key = {(one.category, one.seed, one.shot): one for one in whole}
    return [
        Ablation(
            f"k = {more} instead of {fewer}",
            [(by_key[one.category, one.seed, more], one) for one in whole if one.shot == fewer],
        )
        for fewer, more in pairwise(shots)
    ]


def effects(ablation: Ablation, shot: int) -> dict[str, Effect | None]:
    """Return the effect on each measure at ``shot``, that of the second of each pair."""
    found: dict[str, Effect | None] = {}
    for measure in MEASURES:
        differences: dict[str, list[float]] = {}
        for one, other in ablation.pairs:
            new, old = getattr(one, measure.field), getattr(other, measure.field)
            if other.shot == shot and new is not None and old is not None:
                differences.setdefault(other.category, []).append(new - old)
        found[measure.field] = effect(differences)
    return found


def ablation_table(ablations: Sequence[Ablation]) -> Table:
    """Lay out, in percentage points, what each variant changes, with both intervals for the image AUROC."""
    titles = {measure.field: measure.title for measure in MEASURES}
    head = ("variant", "k", "pairs", *(titles[field] for field in _SHOWN), "image AUROC over categories")
    rows = []
    for ablation in ablations:
        for shot in sorted({other.shot for _, other in ablation.pairs}):
            found = effects(ablation, shot)
            image = found["image_auroc"]
            cells = [_cell(found[field]) for field in _SHOWN]
            over = "-" if image is None or image.over_categories is None else _bounds(image.over_categories)
            rows.append((ablation.title, str(shot), str(image.pairs if image else 0), *cells, over))
    return Table(head, tuple(rows))


def ablation_json(ablations: Sequence[Ablation]) -> list[dict[str, Any]]:
    """Return the ablations as plain data for the result file: effects by shot, and every round without its scores."""
    return [
        {
            "title": ablation.title,
            "effects": {
                str(shot): {field: None if e is None else asdict(e) for field, e in effects(ablation, shot).items()}
                for shot in sorted({other.shot for _, other in ablation.pairs})
            },
            "results": [{**asdict(one), "scores": ()} for one, _ in ablation.pairs],
        }
        for ablation in ablations
    ]


def _cell(found: Effect | None) -> str:
    if found is None:
        return "-"
    return f"{100 * found.mean:+.2f}" + ("" if found.over_supports is None else f" {_bounds(found.over_supports)}")


def _bounds(interval: Interval) -> str:
    return f"[{100 * interval.low:+.2f}, {100 * interval.high:+.2f}]"


NOTE = (
    "Differences in percentage points, variant less whole method, with 95 % intervals of Student's t over support sets "
    "(the categories as they are); the last column's interval is over categories, for parts not in the data."
)
"""What the table says, for below it."""
