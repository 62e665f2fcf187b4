"""Drift of a job: do scores, light, focus and the rate of rejects stay where they were, and if not, what moved?"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from regad.calib.distributions import binomial_tail

from .control_charts import LEARNT, Direction, Reference, ShiftChart

__all__ = ["QUANTITIES", "Cause", "Drift", "Finding", "Measured", "Point", "Quantity", "RejectRate"]

Quantity = Literal["score", "brightness", "sharpness"]
QUANTITIES: Final[tuple[Quantity, ...]] = ("score", "brightness", "sharpness")
"""What is charted. ``score``: the logarithm of good parts' scores. ``sharpness``: detail divided by brightness."""
Cause = Literal["light", "focus", "parts"]

WINDOW: Final = 100
"""Parts over which rejects are counted."""
UNLIKELY: Final = 1e-6
"""How unlikely a count of rejects must be, at the usual rate, to be a finding: so no more often than once in so many
parts by chance, if the usual rate is what it is taken for."""
USUAL_RATE: Final = 0.05
"""The share of rejects that is taken as usual where fewer were seen."""
_KEPT = 600  # points of each chart for the page
_RECENT = 20  # parts whose mean says where a quantity is now
_ENOUGH = 20  # scores of validation parts that can say what is usual

_MOVED: dict[Direction, str] = {1: "rose", -1: "fell", 0: ""}
_WHY: dict[Cause, tuple[str, str]] = {
    "light": (
        "the light or the exposure has changed",
        "look at lamps, stray light, exposure and gain, and clean the lens",
    ),
    "focus": (
        "the picture has become blurred",
        "look at the focus ring, the lens (dirt, condensation) and the distance to the part",
    ),
    "parts": (
        "the parts have changed while the pictures have not: another lot, material or tool",
        "look at the newest rejects; if these parts are good, label them and open a proposal",
    ),
}


class Measured(NamedTuple):
    """What is known of one part, as the trace has it; None where it was not measured.

    ``good``: it passed or is labelled good, and is not labelled a defect; ``passed``: the verdict let it pass.
    """

    inspection: int
    score: float | None
    brightness: float | None
    detail: float | None
    good: bool
    passed: bool

    def value(self, quantity: Quantity) -> float | None:
        """The charted value; None where the part has none."""
        if quantity == "score":
            return math.log(self.score) if self.good and self.score is not None and self.score > 0 else None
        if quantity == "brightness" or self.brightness is None or self.detail is None:
            return self.brightness
        return self.detail / self.brightness if self.brightness > 0 else None


class Point(NamedTuple):
    """A point of a chart: the part, its value, the EWMA in the quantity's unit (None while what is usual is learnt)."""

    inspection: int
    value: float
    ewma: float | None


@dataclass(frozen=True)
class Finding:
    """Something that moved: ``since`` is the part at which it was seen, ``cause`` the likely one."""

    cause: Cause
    since: int
    text: str
    remedy: str


class RejectRate:
    """Rejects among the last `WINDOW` parts, held against the usual rate by the binomial distribution."""

    def __init__(self) -> None:
        self._last: deque[bool] = deque(maxlen=WINDOW)
        self._seen = self._rejects = 0
        self._odd: dict[int, bool] = {}
        self.usual = USUAL_RATE

    @property
    def now(self) -> float:
        """The share of rejects among the last parts; 0 before the first."""
        return sum(self._last) / len(self._last) if self._last else 0.0

    def add(self, passed: bool) -> None:
        """Take the next part."""
        if self._seen < LEARNT:
            self._seen += 1
            self._rejects += not passed
            if self._seen == LEARNT:
                self.usual = max(USUAL_RATE, (self._rejects + 1) / (LEARNT + 2))
        self._last.append(not passed)

    @property
    def odd(self) -> bool:
        """Whether so many rejects are more than chance gives; not before what is usual was seen."""
        if self._seen < LEARNT:
            return False
        count = sum(self._last)
        if count not in self._odd:
            self._odd[count] = binomial_tail(count, WINDOW, self.usual) < UNLIKELY
        return self._odd[count]


class Drift:
    """The charts of one job and category version. `add` takes its parts in their order.

    What is usual is learnt of the first `LEARNT` parts that have a value; of scores, from ``validation`` (scores of
    good parts that set the threshold) where they are enough.
    """

    def __init__(self, validation: Sequence[float] = ()) -> None:
        self._learning: dict[Quantity, list[float]] = {name: [] for name in QUANTITIES}
        self._charts: dict[Quantity, ShiftChart] = {}
        self._points: dict[Quantity, deque[Point]] = {name: deque(maxlen=_KEPT) for name in QUANTITIES}
        self._since: dict[str, int] = {}
        self.rejects = RejectRate()
        self.parts = 0
        if len(validation) >= _ENOUGH:
            logs = [math.log(score) for score in validation if score > 0]
            self._charts["score"] = ShiftChart(Reference.of(logs))

    def add(self, part: Measured) -> None:
        """Take the next part."""
        self.parts += 1
        for name in QUANTITIES:
            value = part.value(name)
            if value is not None and math.isfinite(value):
                self._add(name, part.inspection, value)
        self.rejects.add(part.passed)
        self._mark("rejects", self.rejects.odd, part.inspection)

    def _add(self, name: Quantity, inspection: int, value: float) -> None:
        chart = self._charts.get(name)
        if chart is None:
            learning = self._learning[name]
            learning.append(value)
            self._points[name].append(Point(inspection, value, None))
            if len(learning) == LEARNT:
                self._charts[name] = ShiftChart(Reference.of(learning))
            return
        chart.add(value)
        self._points[name].append(Point(inspection, value, chart.now))
        self._mark(name, chart.direction != 0, inspection)

    def _mark(self, name: str, moved: bool, inspection: int) -> None:
        if not moved:
            self._since.pop(name, None)
        else:
            self._since.setdefault(name, inspection)

    def chart(self, name: Quantity) -> ShiftChart | None:
        """The chart of a quantity; None while what is usual is being learnt."""
        return self._charts.get(name)

    def learnt(self, name: Quantity) -> int:
        """How many parts have shown what is usual, of `LEARNT`."""
        return LEARNT if name in self._charts else len(self._learning[name])

    def points(self, name: Quantity) -> list[Point]:
        """The newest points of a quantity's chart, the oldest first."""
        return list(self._points[name])

    @property
    def moved(self) -> bool:
        """Whether there is a finding."""
        return bool(self._since)

    def finding(self) -> Finding | None:
        """Say what moved and why, the likeliest cause first: light shows in everything, focus in sharpness and scores.

        None while nothing has moved.
        """
        if not self._since:
            return None
        blurred = self._moved("sharpness") < 0
        cause: Cause = "light" if self._moved("brightness") else "focus" if blurred else "parts"
        said = [self._said(name) for name in QUANTITIES if self._moved(name)]
        if "rejects" in self._since:
            said.append(f"{self.rejects.now:.0%} of the last {WINDOW} parts did not pass, usual is {self._usual()}")
        why, remedy = _WHY[cause]
        return Finding(cause, min(self._since.values()), f"{'; '.join(said)}: {why}", remedy)

    def _usual(self) -> str:
        return f"up to {self.rejects.usual:.0%}"

    def _moved(self, name: Quantity) -> Direction:
        chart = self._charts.get(name)
        return 0 if chart is None else chart.direction

    def _said(self, name: Quantity) -> str:
        chart = self._charts[name]
        before = chart.reference.mean
        now = statistics.fmean(point.value for point in self.points(name)[-_RECENT:])
        if name == "score":
            return f"scores of good parts {_MOVED[chart.direction]} to {math.exp(now - before):.0%} of what they were"
        return f"{name} {_MOVED[chart.direction]} from {before:.3g} to {now:.3g}"
