"""Feature normalisation: how the length of a cell's feature vector enters the distance, declared, never guessed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from .spec import LEVELS

__all__ = ["FLOOR", "PLAIN", "FeatureNormalization"]

FLOOR = 1e-6
"""Added to every length, so that a cell without any feature is divided by something."""

Values = tuple[float, float, float]


@dataclass(frozen=True)
class FeatureNormalization:
    """Of each level f1, f2, f3 an exponent and a gain: a cell's vector f becomes gain * f / (|f| + 1e-6) ** exponent.

    |f| is the Euclidean length over the channels of that cell, of the aligned map that is scored. Exponent 0 keeps the
    length (RegAD), 1 keeps the direction alone, 0.5 stands between. The gain sets the scale against the 0.01 I of the
    covariance. It is computed in the encoder. Raises InputError for an exponent outside [0, 1] or a gain not above 0.
    """

    exponents: Values = (0.0, 0.0, 0.0)
    gains: Values = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if len(self.exponents) != len(LEVELS) or not all(0 <= value <= 1 for value in self.exponents):
            raise InputError(
                f"feature exponents are {self.exponents}; expected three numbers in [0, 1], for f1, f2 and f3"
            )
        if len(self.gains) != len(LEVELS) or not all(math.isfinite(value) and value > 0 for value in self.gains):
            raise InputError(f"feature gains are {self.gains}; expected three numbers above 0, for f1, f2 and f3")

    @property
    def levels(self) -> list[tuple[float, float]]:
        """Exponent and gain of f1, f2 and f3."""
        return list(zip(self.exponents, self.gains, strict=True))

    def __str__(self) -> str:
        """For people: ``f2 3 / length^0.5, f3 12.6491 / length^0.5``."""
        changed = [
            f"{level.name} {gain:g} / length^{exponent:g}"
            for level, (exponent, gain) in zip(LEVELS, self.levels, strict=True)
            if (exponent, gain) != (0, 1)
        ]
        return ", ".join(changed) or "as they come"

    def to_json(self) -> dict[str, Any]:
        """The normalisation as it stands in a checkpoint."""
        return {"exponents": list(self.exponents), "gains": list(self.gains)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FeatureNormalization:
        """Read it back. Raises InputError for anything that `to_json` would not have written."""
        try:
            return cls(_three(data["exponents"]), _three(data["gains"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the feature normalisation is incomplete or malformed ({error!r})") from error

    def table(self) -> list[dict[str, Any]]:
        """The feature table of ``manifest.json``: a row a level, with exponent and gain where they change anything."""
        rows: list[dict[str, Any]] = []
        for level, (exponent, gain) in zip(LEVELS, self.levels, strict=True):
            rows.append({"name": level.name, "grid": level.grid, "channels": level.channels})
            if (exponent, gain) != (0, 1):
                rows[-1] |= {"exponent": exponent, "gain": gain}
        return rows

    @classmethod
    def from_table(cls, rows: Sequence[Mapping[str, Any]]) -> FeatureNormalization:
        """Read a feature table. Raises InputError for rows that `table` would not have written."""
        try:
            exponents = [row.get("exponent", 0.0) for row in rows]
            gains = [row.get("gain", 1.0) for row in rows]
            found = cls(_three(exponents), _three(gains))
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(f"the feature table is malformed ({error!r})") from error
        if list(rows) != found.table():
            raise InputError("the feature table describes another encoder than this version reads")
        return found


PLAIN = FeatureNormalization()
"""RegAD's features, as they come."""


def _three(values: Sequence[Any]) -> Values:
    if any(isinstance(value, (bool, str)) for value in values):
        raise TypeError(f"{list(values)} are not three numbers")
    first, second, third = (float(value) for value in values)
    return first, second, third
