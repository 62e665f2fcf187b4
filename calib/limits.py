"""Limits on what a frame that shows the part looks like, learnt from good images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from regad.runtime.formats.limits import MEASURES, Limit
from regad.runtime.imaging.presence import Measures, measure

__all__ = ["MARGINS", "Margin", "learn_limits", "limits_of"]


class Margin(NamedTuple):
    """How far from the taught images a frame may lie: at least ``low`` times the smallest value, at most ``high`` times
    the largest one (None: no such limit).
    """

    low: float
    high: float | None


MARGINS = {
    "brightness": Margin(1 / 16, None),
    "contrast": Margin(1 / 8, None),
    "detail": Margin(1 / 5, 5.0),
    "structure": Margin(1 / 3, None),
}
"""The same for every part. No real image measured comes nearer than 0.08 (brightness), 0.14 (contrast), 0.26 and 3.0
(detail) and 0.50 (structure): docs/evaluation.md."""

_WHITE, _WHITE_MARGIN = 255.0, 1 / 8  # the distance from white that must remain, as a share of the taught one


def learn_limits(inputs: Iterable[NDArray[np.uint8]]) -> dict[str, Limit]:
    """Return the limits for a part from good images as the encoder sees them, uint8 RGB [224, 224, 3], one or more."""
    return limits_of(map(measure, inputs))


def limits_of(measured: Iterable[Measures]) -> dict[str, Limit]:
    """Return the limits for a part from what was measured of good images, one or more."""
    limits: dict[str, Limit] = {}
    for name, values in zip(MEASURES, zip(*measured, strict=True), strict=True):
        low, high = min(values), max(values)
        margin = MARGINS[name]
        most = None if margin.high is None else margin.high * high
        if name == "brightness":
            most = _WHITE - _WHITE_MARGIN * (_WHITE - high)
        limits[name] = Limit(margin.low * low, most, (low, high))
    return limits
