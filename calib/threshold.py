"""Set the decision threshold from normal scores alone, for a target false-reject rate.

Anomaly scores of good parts are positive and skewed, so their logarithm is taken as normal. Few scores say little about
their spread; a prior on it, worth `PRIOR_WEIGHT` scores, stands in for the missing ones and fades as evidence grows.
The threshold is the upper prediction limit for the next good part: Student's t with the pooled degrees of freedom. From
1 / target_frr scores on, no shape is assumed any more: the conformal order statistic is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from regad.runtime.errors import InputError
from regad.runtime.formats.category import Method, Threshold

__all__ = [
    "HELD_OUT_EXPONENT",
    "PRIOR_SPREAD",
    "PRIOR_WEIGHT",
    "check_rate",
    "held_out_scale",
    "set_threshold",
    "student_t_quantile",
]

PRIOR_SPREAD = 0.12
"""Standard deviation of the logarithm of good parts' scores that is assumed before any evidence."""
PRIOR_WEIGHT = 16
"""How many scores' worth of evidence that assumption counts for."""
HELD_OUT_EXPONENT = 0.3
"""A good part scores lower the more images were taught: about as k to minus this power (measured: 0.2 to 0.4)."""


def student_t_cdf(t: float, dof: int) -> float:
    """P(T <= t) for an integer number of degrees of freedom (Abramowitz & Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(dof))
    cosine2 = math.cos(angle) ** 2
    term = total = math.cos(angle) if dof % 2 else 1.0
    for step in range(2 + dof % 2, dof - 1, 2):
        term *= cosine2 * (step - 1) / step
        total += term
    if dof % 2 == 0:
        return 0.5 + 0.5 * math.sin(angle) * total
    within = angle + (math.sin(angle) * total if dof > 1 else 0.0)
    return 0.5 + within / math.pi


def student_t_quantile(probability: float, dof: int) -> float:
    """Return t with P(T <= t) = ``probability`` (0.5 to 1, exclusive) by bisection."""
    low, high = 0.0, 1.0
    while student_t_cdf(high, dof) < probability:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if student_t_cdf(middle, dof) < probability else (low, middle)
    return high


def held_out_scale(shot: int) -> float:
    """What turns a score given by the statistics of ``shot`` - 1 images into one by those of ``shot`` images."""
    return float(((shot - 1) / shot) ** HELD_OUT_EXPONENT)


def check_rate(target_frr: float) -> None:
    """Raise InputError unless the false-reject rate aimed at is in (0, 0.5)."""
    if not 0 < target_frr < 0.5:
        raise InputError(f"target false-reject rate is {target_frr}; expected a fraction between 0 and 0.5, like 0.01")


def set_threshold(scores: Sequence[float], method: Method, target_frr: float = 0.01, scale: float = 1.0) -> Threshold:
    """Set the threshold from held-out normal ``scores`` so that about ``target_frr`` of good parts are rejected.

    ``scale`` multiplies the scores first (see `held_out_scale`); they are recorded as they came. Raises InputError
    for no scores, scores that are not positive, or a rate outside (0, 0.5).
    """
    check_rate(target_frr)
    count = len(scores)
    if count == 0 or not all(math.isfinite(score) and score > 0 for score in scores):
        raise InputError(f"{count} held-out scores {list(scores)[:3]}; expected at least one, all finite and above 0")
    rank = math.ceil((count + 1) * (1 - target_frr))
    if rank <= count:
        value = sorted(scores)[rank - 1] * scale
    else:
        value = _prediction_limit([math.log(score * scale) for score in scores], target_frr)
    return Threshold(
        value, method, target_frr, tuple(float(score) for score in scores), _note(count, method, target_frr)
    )


def _prediction_limit(logs: Sequence[float], target_frr: float) -> float:
    count = len(logs)
    mean = sum(logs) / count
    scatter = sum((value - mean) ** 2 for value in logs)
    dof = PRIOR_WEIGHT + count - 1
    variance = (PRIOR_WEIGHT * PRIOR_SPREAD**2 + scatter) / dof
    return math.exp(mean + student_t_quantile(1 - target_frr, dof) * math.sqrt(variance * (1 + 1 / count)))


def _note(count: int, method: Method, target_frr: float) -> str:
    source = "support images left out one at a time" if method == "leave-one-out" else "validation images"
    said = f"set from {count} good score{'s' * (count != 1)} ({source}) for a false-reject rate of {target_frr:g}"
    if count >= 1 / target_frr:
        return said
    return (
        f"{said}; {count} score{'s' * (count != 1)} cannot prove that rate, a prior fills the gap: "
        f"give {math.ceil(1 / target_frr)} or more extra good images with --validation for a measured one"
    )
