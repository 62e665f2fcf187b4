"""What a frame that shows the part looks like: limits on a few measures of the encoder's input, in a category."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError

__all__ = ["MEASURES", "Limit", "Limits", "limits_from_json", "limits_to_json"]

MEASURES = ("brightness", "contrast", "detail", "structure")
"""What can be limited, in the order in which it is checked; `regad.runtime.imaging.presence` defines each."""


@dataclass(frozen=True)
class Limit:
    """A frame whose measure lies below ``low`` or above ``high`` (None: no such limit) shows no part.

    ``taught`` is the smallest and the largest value among the images it was learnt from. Raises InputError for values
    that are not finite or not in order.
    """

    low: float
    high: float | None
    taught: tuple[float, float]

    def __post_init__(self) -> None:
        order = (self.low, *self.taught, *(() if self.high is None else (self.high,)))
        if len(self.taught) != 2 or not all(map(math.isfinite, order)) or list(order) != sorted(order):
            raise InputError(
                f"a limit is {self.low} to {self.high}, taught with {self.taught}; expected rising numbers"
            )


Limits = Mapping[str, Limit]
"""Limits by the name of their measure; a measure without one is not checked."""


def limits_to_json(limits: Limits) -> dict[str, Any]:
    """The limits as they stand in a category's metadata."""
    return {
        name: {"low": limit.low, "high": limit.high, "taught": list(limit.taught)} for name, limit in limits.items()
    }


def limits_from_json(data: Mapping[str, Any]) -> dict[str, Limit]:
    """Read limits back, in the order of `MEASURES`. Raises InputError for what `limits_to_json` does not write."""
    if not isinstance(data, Mapping):
        raise InputError("its limits are malformed: not an object")
    unknown = sorted(set(data) - set(MEASURES))
    if unknown:
        raise InputError(f"it limits {', '.join(unknown)}, which this version does not measure; update regad")
    try:
        return {name: _limit(data[name]) for name in MEASURES if name in data}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"its limits are incomplete or malformed ({error!r})") from error


def _limit(data: Mapping[str, Any]) -> Limit:
    low, high = data["taught"]
    most = data["high"]
    return Limit(float(data["low"]), None if most is None else float(most), (float(low), float(high)))
