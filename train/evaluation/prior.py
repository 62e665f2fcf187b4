"""What an evaluation teaches about good scores: the priors that an artifact's thresholds are set with.

The scores of a part's good test images are compared with those of its support images, each judged by the others: how
far they lie apart, how much that differs between kinds of parts, how far they scatter. `.prior_file` keeps them. A
threshold may never be judged on a category that had a say in it: `without_own` leaves each out in turn.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from regad.calib.threshold import default_rate, near_copies, set_threshold
from regad.runtime.errors import InputError
from regad.runtime.formats.prior import Prior, Priors

from .evaluate import Evaluation

__all__ = ["Labels", "check_kinds", "learn_priors", "without_own"]

_LEAST = 3  # kinds of parts below which nothing is said of how they differ
_NORMAL = 1.4826  # times the median of absolute deviations: the standard deviation of a normal distribution

Labels = Mapping[str, Sequence[bool]]
"""Of each category, which of its test images are defective, in the order of the scores."""


class _Seen(NamedTuple):
    """One support set: how far its good scores lie above the held-out ones, and their standard deviation (logs)."""

    category: str
    shift: float
    spread: float


def check_kinds(categories: Collection[str], spare: int = 0) -> None:
    """Raise InputError for fewer categories than a prior needs, ``spare`` of them left out."""
    if len(categories) < _LEAST + spare:
        raise InputError(
            f"{len(categories)} categories with two good test images; "
            f"a prior needs {_LEAST + spare} or more kinds of parts: give a folder of more categories"
        )


def learn_priors(results: Sequence[Evaluation], labels: Labels) -> Priors:
    """Learn a prior for every number of support images. Each category weighs the same, however many its support sets.

    ``delta`` is the median of the shifts, ``tau`` their scaled median absolute deviation, ``sigma`` the geometric mean
    of the spreads. Raises InputError for fewer than 3 categories with two good test images and held-out scores.
    """
    shots = {shot: _seen([one for one in results if one.shot == shot], labels) for shot in _shots(results)}
    categories = {seen.category for each in shots.values() for seen in each}
    evidence = f"{len(categories)} kinds of parts, {sum(map(len, shots.values()))} support sets"
    return Priors({shot: _prior(seen) for shot, seen in shots.items()}, evidence)


def without_own(results: Sequence[Evaluation], labels: Labels) -> list[Evaluation]:
    """The evaluations with the thresholds that priors of all *other* categories set, at the rate that is the default.

    Raises InputError as `learn_priors` does.
    """
    learnt = {
        name: learn_priors([one for one in results if one.category != name], labels)
        for name in {one.category for one in results}
    }
    return [_judged(one, learnt[one.category].at(one.shot), labels[one.category]) for one in results]


def _shots(results: Iterable[Evaluation]) -> list[int]:
    return sorted({one.shot for one in results})


def _seen(results: Sequence[Evaluation], labels: Labels) -> list[_Seen]:
    """What each support set shows, where there are held-out scores and two good test images."""
    found = []
    for one in results:
        good = [math.log(score) for score, bad in zip(one.scores, labels[one.category], strict=True) if not bad]
        copies = near_copies(one.held_out)
        own = [math.log(score) for index, score in enumerate(one.held_out) if index not in copies]
        if own and len(good) > 1:
            found.append(_Seen(one.category, statistics.mean(good) - statistics.mean(own), statistics.stdev(good)))
    check_kinds({seen.category for seen in found})
    return found


def _prior(seen: Sequence[_Seen]) -> Prior:
    sets = Counter(one.category for one in seen)
    weights = [1 / sets[one.category] for one in seen]
    delta = _median([one.shift for one in seen], weights)
    tau = _NORMAL * _median([abs(one.shift - delta) for one in seen], weights)
    sigma = math.exp(
        sum(weight * math.log(max(one.spread, 1e-6)) for one, weight in zip(seen, weights, strict=True)) / sum(weights)
    )
    return Prior(delta, max(tau, 1e-6), sigma)


def _median(values: Sequence[float], weights: Sequence[float]) -> float:
    """The least value that half of the weight does not exceed."""
    left = sum(weights) / 2
    for value, weight in sorted(zip(values, weights, strict=True)):
        left -= weight
        if left <= 1e-9:
            return value
    raise AssertionError("weights add up to less than their sum")


def _judged(one: Evaluation, prior: Prior, labels: Sequence[bool]) -> Evaluation:
    """The evaluation at the threshold that the prior sets."""
    from .metrics import rate  # with scikit-learn, a second to import

    limit = set_threshold(one.held_out, "leave-one-out", default_rate(prior), prior=prior).value
    scores, bad = np.asarray(one.scores), np.asarray(labels, np.bool_)
    return replace(one, threshold=limit, false_reject=rate(scores[~bad] > limit), escape=rate(scores[bad] <= limit))
