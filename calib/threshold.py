"""Set the decision threshold from normal scores alone, for a target false-reject rate.

Anomaly scores of good parts are positive and skewed, so their logarithm is taken as normal. The threshold is the upper
prediction limit for the next good part, by one of three rules:

- with what other kinds of parts teach (a `Prior`): the part's good scores lie ``delta`` above the mean of its support
  images' held-out ones, give or take ``tau``; further good scores (validation) replace that step by step;
- without: few scores say little about their spread, and an assumption worth `PRIOR_WEIGHT` scores stands in;
- from about 1 / target_frr validation scores on no shape is assumed any more: the conformal order statistic.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from regad.runtime.errors import InputError
from regad.runtime.formats.prior import Prior
from regad.runtime.formats.threshold import Method, Threshold

from .distributions import order_statistic_quantile, student_t_cdf, student_t_quantile

__all__ = [
    "HELD_OUT_EXPONENT",
    "PRIOR_SPREAD",
    "PRIOR_WEIGHT",
    "Rejects",
    "check_rate",
    "check_rates",
    "default_rate",
    "expected_rejects",
    "held_out_scale",
    "near_copies",
    "set_threshold",
]

PRIOR_SPREAD = 0.12
"""Without a prior: standard deviation of the logarithm of good parts' scores that is assumed before any evidence."""
PRIOR_WEIGHT = 16
"""How many scores' worth of evidence that assumption counts for."""
HELD_OUT_EXPONENT = 0.3
"""A good part scores lower the more images were taught: about as k to minus this power (measured: 0.2 to 0.4)."""
NEAR_COPY = 0.3
"""A held-out score below this share of the median is a near copy's (measured: 0.03 to 0.15)."""

_LIKELY = 0.8  # how often the false-reject rate lies in the range that the note gives
_COUNTED = 20  # good scores from which on a share of them above a limit is taken as it is counted


class _Rule(Protocol):
    """A limit for any false-reject rate, and between which rates the true one then lies, 8 times in 10."""

    def limit(self, rate: float) -> float: ...

    def range(self, rate: float) -> tuple[float, float]: ...


class Rejects(NamedTuple):
    """Which share of good parts a limit rejects, and between which shares the true one lies, 8 times in 10.

    ``counted``: it rests on the good parts above the limit; else on what is assumed of the scores below it.
    """

    share: float
    low: float
    high: float
    counted: bool


class _Prediction(NamedTuple):
    """Logarithms of the next good scores: around a centre known to ``drift``, with ``variance`` (both squared).

    ``freedom`` are the degrees of freedom of the limit, ``own`` those of the variance alone.
    """

    centre: float
    drift: float
    variance: float
    freedom: int
    own: int

    def limit(self, rate: float) -> float:
        return math.exp(self.centre + self._reach(rate))

    def range(self, rate: float) -> tuple[float, float]:
        return self._range(self._reach(rate))

    def rejects(self, limit: float) -> Rejects:
        """What a limit comes to: the inverse of `limit`, and its `range`."""
        reach = math.log(limit) - self.centre
        share = 1 - student_t_cdf(reach / math.sqrt(self.drift + self.variance), self.freedom)
        return Rejects(share, *self._range(reach), counted=False)

    def _range(self, reach: float) -> tuple[float, float]:
        aside = student_t_quantile((1 + _LIKELY) / 2, self.freedom) * math.sqrt(self.drift)
        spread = math.sqrt(self.variance)
        low, high = ((reach + shift) / spread for shift in (aside, -aside))
        return 1 - student_t_cdf(low, self.own), 1 - student_t_cdf(high, self.own)

    def _reach(self, rate: float) -> float:
        return student_t_quantile(1 - rate, self.freedom) * math.sqrt(self.drift + self.variance)


class _OrderStatistic(NamedTuple):
    """The conformal limit: one of the ``scores`` (rising)."""

    scores: Sequence[float]

    def limit(self, rate: float) -> float:
        return self.scores[self._rank(rate) - 1]

    def range(self, rate: float) -> tuple[float, float]:
        count = len(self.scores)
        above = count + 1 - self._rank(rate)
        low, high = ((1 + side * _LIKELY) / 2 for side in (-1, 1))
        return order_statistic_quantile(low, above, count), order_statistic_quantile(high, above, count)

    def covers(self, rate: float) -> bool:
        return self._rank(rate) <= len(self.scores)

    def rejects(self, limit: float) -> Rejects:
        """What a limit comes to that lies anywhere: between the shares that the scores next to it would come to."""
        count = len(self.scores)
        above = sum(score > limit for score in self.scores)
        low, high = ((1 + side * _LIKELY) / 2 for side in (-1, 1))
        least = order_statistic_quantile(low, above, count) if above else 0.0
        most = order_statistic_quantile(high, above + 1, count) if above < count else 1.0
        return Rejects((above + 0.5) / (count + 1), least, most, counted=True)

    def _rank(self, rate: float) -> int:
        return math.ceil((len(self.scores) + 1) * (1 - rate))


def held_out_scale(shot: int) -> float:
    """What turns a score given by the statistics of ``shot`` - 1 images into one by those of ``shot`` images."""
    return float(((shot - 1) / shot) ** HELD_OUT_EXPONENT)


def near_copies(scores: Sequence[float]) -> list[int]:
    """Which of the support images' held-out scores are so low that another photo must be nearly the same."""
    median = statistics.median(scores) if scores else 0.0
    return [index for index, score in enumerate(scores) if score < NEAR_COPY * median]


def default_rate(prior: Prior | None) -> float:
    """The false-reject rate that is aimed at when none is asked for: 0.05 with a prior, 0.01 without.

    With a prior the threshold is where it is meant to be, and at 0.01 a third of the defects would pass (measured on
    17 kinds of parts; a fifth at 0.05).
    """
    return 0.01 if prior is None else 0.05


def check_rate(target_frr: float) -> None:
    """Raise InputError unless the false-reject rate aimed at is in (0, 0.5)."""
    if not 0 < target_frr < 0.5:
        raise InputError(f"target false-reject rate is {target_frr}; expected a fraction between 0 and 0.5, like 0.01")


def check_rates(target_frr: float, warn_frr: float | None) -> None:
    """Raise InputError unless the rate, and that of the warn limit if there is one, can be, the latter the larger."""
    check_rate(target_frr)
    if warn_frr is not None and not target_frr < warn_frr < 0.5:
        raise InputError(
            f"the warn limit's rate is {warn_frr} and the target false-reject rate {target_frr}; "
            "expected the warn limit's to be larger, and below 0.5"
        )


def set_threshold(
    scores: Sequence[float],
    method: Method,
    target_frr: float = 0.01,
    scale: float = 1.0,
    *,
    prior: Prior | None = None,
    held_out: Sequence[float] = (),
    warn_frr: float | None = None,
) -> Threshold:
    """Set the threshold from held-out normal ``scores`` so that about ``target_frr`` of good parts are rejected.

    ``scale`` multiplies the scores first (see `held_out_scale`); they are recorded as they came. With a ``prior``,
    ``scores`` are those of the support images, each left out once, or of validation images, and then ``held_out`` are
    the former; near copies among them are no evidence. ``warn_frr`` sets a second, lower limit. Raises InputError for
    no scores, scores that are not positive, or rates that cannot be.
    """
    check_rates(target_frr, warn_frr)
    for evidence in (scores, *((held_out,) if held_out else ())):
        if len(evidence) == 0 or not all(math.isfinite(score) and score > 0 for score in evidence):
            raise InputError(
                f"{len(evidence)} held-out scores {list(evidence)[:3]}; expected at least one, all finite and above 0"
            )
    own, further = (scores, ()) if method == "leave-one-out" else (held_out, scores)
    order = _OrderStatistic(sorted(score * scale for score in scores))
    measured = order.covers(target_frr) and (prior is None or len(further) > 0)
    used = prior if len(own) > 0 and not measured else None
    rule: _Rule
    if measured:
        rule = order
    elif used is None:
        rule = _by_assumption([math.log(score * scale) for score in scores])
    else:
        rule = _by_prior(used, own, further)
    return Threshold(
        rule.limit(target_frr),
        method,
        target_frr,
        tuple(float(score) for score in scores),
        _note(rule, scores, own if used else (), method, target_frr),
        used,
        tuple(float(score) for score in held_out) if used else (),
        None if warn_frr is None else rule.limit(warn_frr),
        warn_frr,
    )


def expected_rejects(
    scores: Sequence[float], limit: float, prior: Prior | None = None, held_out: Sequence[float] = ()
) -> Rejects:
    """Say which share of good parts a ``limit`` that was set anyhow rejects, by the rules of `set_threshold`.

    ``scores`` are good parts' that were not taught, in any order; ``held_out`` those of the support images, each left
    out once, which count where a ``prior`` says by how much they differ. The share is counted where 20 or more scores
    are given and one lies above the limit. Raises InputError for no scores at all, or numbers that are not above 0.
    """
    own = held_out if prior is not None else ()
    for value in (*scores, *own, limit):
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"a score or limit is {value}; expected finite numbers above 0")
    if not scores and not own:
        raise InputError("there is no good part's score yet; judge some good parts first")
    if len(scores) >= _COUNTED and max(scores) > limit:
        return _OrderStatistic(sorted(scores)).rejects(limit)
    if prior is not None and own:
        return _by_prior(prior, own, scores).rejects(limit)
    return _by_assumption([math.log(score) for score in scores]).rejects(limit)


def _by_assumption(logs: Sequence[float]) -> _Prediction:
    count = len(logs)
    dof = PRIOR_WEIGHT + count - 1
    variance = (PRIOR_WEIGHT * PRIOR_SPREAD**2 + _scatter(logs)) / dof
    return _Prediction(_mean(logs), variance / count, variance, dof, dof)


def _by_prior(prior: Prior, held_out: Sequence[float], validation: Sequence[float]) -> _Prediction:
    copies = set(near_copies(held_out))
    logs = [math.log(score) for index, score in enumerate(held_out) if index not in copies]
    further = [math.log(score) for score in validation]
    own = prior.weight + len(further or logs) - 1
    variance = (prior.weight * prior.sigma**2 + _scatter(further or logs)) / own
    precision = 1 / prior.tau**2 + len(further) / variance
    centre = ((_mean(logs) + prior.delta) / prior.tau**2 + sum(further) / variance) / precision
    return _Prediction(centre, 1 / precision, variance, prior.freedom + len(further), own)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _scatter(values: Sequence[float]) -> float:
    mean = _mean(values)
    return sum((value - mean) ** 2 for value in values)


def _note(rule: _Rule, scores: Sequence[float], own: Sequence[float], method: Method, target_frr: float) -> str:
    """How far to trust a threshold; ``own`` are the held-out scores that went with a prior."""
    count, enough = len(scores), math.ceil(1 / target_frr)
    source = "support images left out one at a time" if method == "leave-one-out" else "validation images"
    said = f"set from {_counted(count, 'good score')} ({source}) for a false-reject rate of {target_frr:g}"
    if isinstance(rule, _Prediction) and not own:
        return (
            f"{said}; {_counted(count, 'score')} cannot prove that rate, a prior fills the gap: "
            f"give {enough} or more extra good images with --validation for a measured one"
        )
    low, high = rule.range(target_frr)
    expected = (
        f"expect about {_counted(100 * target_frr, 'false reject')} in 100 good parts, "
        f"likely (8 times in 10) between {math.floor(100 * low)} and {math.ceil(100 * high)}"
    )
    if isinstance(rule, _OrderStatistic):
        return f"{said}; {expected}"
    copies = len(near_copies(own))
    left = f"; {_counted(copies, 'near copy', 'near copies')} left out" if copies else ""
    return (
        f"{said}, with what other kinds of parts teach{left}; {expected}: "
        f"{enough} or more extra good images with --validation make it a measured one"
    )


def _counted(number: float, one: str, many: str = "") -> str:
    return f"{number:g} {one if number == 1 else many or one + 's'}"
