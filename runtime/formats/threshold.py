"""The decision limit on the anomaly score, as a category records it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from ..errors import InputError
from .prior import Prior

__all__ = ["Method", "Threshold"]

Method = Literal["leave-one-out", "validation", "manual"]


@dataclass(frozen=True)
class Threshold:
    """The decision limit on the anomaly score, and the evidence behind it.

    ``scores`` are the held-out normal scores it was set from; ``note`` says in a sentence how far to trust it. Where a
    ``prior`` of other parts had a say, ``held_out`` are the scores of the support images, each left out once. A good
    part whose score is above ``warn`` (None: no such limit) is worth a look: it is a warning, not an anomaly;
    ``warn_frr`` is the share of good parts that it aims at. Raises InputError for limits that are not 0 < warn < value.
    """

    value: float
    method: Method
    target_frr: float | None = None
    scores: tuple[float, ...] = ()
    note: str = ""
    prior: Prior | None = None
    held_out: tuple[float, ...] = ()
    warn: float | None = None
    warn_frr: float | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or self.value <= 0:
            raise InputError(f"threshold is {self.value}; expected a finite value above 0")
        if self.warn is not None and not 0 < self.warn < self.value:
            raise InputError(
                f"the warn limit is {self.warn:g} and the threshold {self.value:g}; "
                "expected a warn limit above 0 and below the threshold"
            )
        if self.method not in get_args(Method):
            raise InputError(f"threshold method is {self.method!r}; expected one of {', '.join(get_args(Method))}")

    @property
    def warned(self) -> str:
        """Where the warn limit comes from, for people."""
        return "set by hand" if self.warn_frr is None else f"by the same rule for a rate of {self.warn_frr:g}"

    def by_hand(self, value: float) -> Threshold:
        """One set by hand in its place; the warn limit stays where it is below it."""
        warn = self.warn if self.warn is not None and self.warn < value else None
        kept = self.warn_frr if warn is not None else None
        return Threshold(float(value), "manual", note="set by hand", warn=warn, warn_frr=kept)

    def with_warn(self, warn: float | None) -> Threshold:
        """The same with another warn limit, or none. Raises InputError unless it is above 0 and below the value."""
        return replace(self, warn=None if warn is None else float(warn), warn_frr=None)

    def to_json(self) -> dict[str, Any]:
        """The threshold as it stands in a category's metadata."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Threshold:
        """Read it back; keys that are not known are passed over.

        Raises InputError, or TypeError and ValueError for what `to_json` does not write.
        """
        known = {one.name: data[one.name] for one in fields(cls) if data.get(one.name) is not None}
        readers: dict[str, Callable[[Any], Any]] = {"prior": Prior.from_json, "target_frr": float, "warn_frr": float}
        readers |= dict.fromkeys(("scores", "held_out"), lambda scores: tuple(map(float, scores)))
        return cls(**{name: readers[name](value) if name in readers else value for name, value in known.items()})
