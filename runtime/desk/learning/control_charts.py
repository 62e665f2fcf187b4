"""Two control charts for a quantity that is measured of every part: is it still where it was?

EWMA (Lucas and Saccucci, "Exponentially weighted moving average control schemes", Technometrics 32, 1990) and the
two-sided CUSUM (Page, "Continuous inspection schemes", Biometrika 41, 1954), both as in Montgomery, "Introduction to
Statistical Quality Control", chapter 9. What is usual is measured of the line's own parts, so the limits are widened by
the error of that.

With 200 parts of reference and independent normal values the first false alarm comes after 170,000 parts (the middle of
400 simulated lines; on 1 line in 10 within 15,000), and a shift by 1, 2 and 3 standard deviations is seen after 25, 8
and 5 parts. ``tests/bench/drift.py`` measures it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["LEARNT", "Direction", "Reference", "ShiftChart"]

LEARNT = 200
"""Parts that show what is usual, where nothing else does."""
WEIGHT = 0.1
"""How much of the EWMA is the newest part."""
WIDTH = 4.5
"""Its limit in standard deviations of the EWMA: one false alarm in 218,000 parts if what is usual is known exactly."""
SLACK = 0.5
"""What the CUSUM forgives for each part, in standard deviations: half of the shift that it is made for."""
DECISION = 12.0
"""Its limit in standard deviations: one false alarm in 517,000 parts."""
_OUTLIER = 4.0
"""Standard deviations beyond which a part counts as so far away: one odd part is no shift."""
_LEAST_SPREAD = 1e-9
_DOUBT = 2.0  # standard errors of the reference's mean that the CUSUM forgives

Direction = int
"""1: it rose; -1: it fell; 0: it is where it was."""


class Reference(NamedTuple):
    """What is usual: mean and standard deviation of so many ``parts``, odd ones drawn in to 3 standard deviations."""

    mean: float
    spread: float
    parts: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Reference:
        """Measure it of finite values, at least two."""
        middle = statistics.median(values)
        reach = 3 * 1.4826 * statistics.median(abs(value - middle) for value in values)
        drawn = [min(max(value, middle - reach), middle + reach) for value in values] if reach > 0 else list(values)
        least = _LEAST_SPREAD * max(abs(middle), 1.0)
        return cls(statistics.fmean(drawn), max(statistics.stdev(drawn), least), len(drawn))


class ShiftChart:
    """EWMA and CUSUM of one quantity against its ``reference``. `add` takes one part after the other."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.ewma = 0.0
        """In standard deviations of the reference; `limit` is in the same unit."""
        self._above = self._below = 0.0
        self._slack = SLACK + _DOUBT / math.sqrt(reference.parts)

    @property
    def limit(self) -> float:
        """The EWMA's limit, to both sides."""
        return WIDTH * math.sqrt(WEIGHT / (2 - WEIGHT) + 1 / self.reference.parts)

    @property
    def cusum(self) -> float:
        """The larger of the two sums, in standard deviations, negative for the lower side; the limit is `DECISION`."""
        return self._above if self._above >= self._below else -self._below

    def add(self, value: float) -> None:
        """Take the next part's value, finite."""
        far = (value - self.reference.mean) / self.reference.spread
        far = min(max(far, -_OUTLIER), _OUTLIER)
        self.ewma += WEIGHT * (far - self.ewma)
        # The sums stop rising a little above the limit: what is over is seen to be over soon.
        self._above = min(max(0.0, self._above + far - self._slack), 2 * DECISION)
        self._below = min(max(0.0, self._below - far - self._slack), 2 * DECISION)

    @property
    def direction(self) -> Direction:
        """Whether and where to the quantity has moved."""
        if self.ewma > self.limit or self._above > DECISION:
            return 1
        if self.ewma < -self.limit or self._below > DECISION:
            return -1
        return 0

    @property
    def now(self) -> float:
        """Where the quantity is, by the EWMA, in its own unit."""
        return self.reference.mean + self.ewma * self.reference.spread
