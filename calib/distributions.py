"""Student's t and the binomial distribution, to double precision, without SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["binomial_tail", "order_statistic_quantile", "student_t_cdf", "student_t_quantile"]


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
    high = 1.0
    while student_t_cdf(high, dof) < probability:
        high *= 2
    return _bisect(lambda t: student_t_cdf(t, dof), probability, high)


def order_statistic_quantile(probability: float, above: int, count: int) -> float:
    """Return the share x that as many of all scores as lie above a limit stay below with ``probability``.

    The limit is that one of ``count`` independent scores which ``above`` - 1 of them exceed: the share of all scores
    above it is distributed as Beta(above, count + 1 - above), whatever the scores' own distribution.
    """

    def cdf(x: float) -> float:
        return binomial_tail(above, count, x)

    return _bisect(cdf, probability, 1.0)


def binomial_tail(least: int, count: int, share: float) -> float:
    """P(X >= ``least``) of ``count`` independent trials that each succeed with ``share`` (0 to 1).

    In logarithms: the numbers of ways leave what a float holds from 1030 trials on.
    """
    if least <= 0 or share >= 1:
        return 1.0 if least <= count else 0.0
    if share <= 0:
        return 0.0
    yes, no, ways = math.log(share), math.log1p(-share), math.lgamma(count + 1)

    def chance(i: int) -> float:
        return math.exp(ways - math.lgamma(i + 1) - math.lgamma(count - i + 1) + i * yes + (count - i) * no)

    if least > count * share:
        return math.fsum(map(chance, range(least, count + 1)))
    return 1.0 - math.fsum(map(chance, range(least)))


def _bisect(cdf: Callable[[float], float], probability: float, high: float) -> float:
    """Where a rising function on 0 to ``high`` reaches ``probability``, from above, to the last bit."""
    low = 0.0
    for _ in range(200):
        middle = (low + high) / 2
        if not low < middle < high:
            break  # they are neighbours: nothing changes any more
        low, high = (middle, high) if cdf(middle) < probability else (low, middle)
    return high
