"""How distances become a map and a score: data that an artifact recommends and a category records.

With M_g the distances of each group of levels, g the last group, ``scale`` the category's calibration of it (1
everywhere without one) and n_g the norms that are kept with the scale, all in float32:

- the score ``max``, RegAD's own, is the largest value of the map;
- ``top`` is the mean of the ``cells`` largest values of M_g scale, summed in float64;
- the map ``raw``, RegAD's own, is A M A^T, A upsampling from 56 and smoothing with a Gaussian of 4 pixels;
- ``product`` is B P B^T of P = gain sqrt(M_2 U(M_3)) / sqrt(n_2 n_3), U upsampling bilinearly from 14 to 28, B from 28
  and smoothing with a Gaussian of 2 pixels.

`regad.runtime.scoring.reference` makes the matrices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .spec import EDGE_GROUPS, GROUP_SETS, REGAD_GROUPS, Groups, Level, used_levels

__all__ = ["DEFAULT_SCORING", "SCORINGS", "Calibration", "Score", "Scoring", "Shown"]

Score = Literal["max", "top"]
Shown = Literal["raw", "product"]
Array = NDArray[np.float32]
_MAPS: Mapping[Shown, Groups] = {"raw": REGAD_GROUPS, "product": EDGE_GROUPS}
_KEYS = {"score", "cells", "levels", "calibration", "map", "map_gain"}


class Calibration(NamedTuple):
    """What held-out good parts show, float32: ``regad.calib.calibration`` has the equations.

    ``scale`` [g, g] is what the last group's distances are multiplied by for the score; ``norms``, one a group, are
    what distances are divided by for the map.
    """

    scale: Array
    norms: Array


@dataclass(frozen=True)
class Scoring:
    """The groups of levels that are scored, the statistic of the score, and the map that is shown with it.

    The default is RegAD's. ``cells`` is how many positions ``top`` takes the mean of, 0 for ``max``. ``damping`` is
    the a of the scale where scores are calibrated by held-out good parts, else None; ``map_gain`` is of the product.
    Raises InputError for what does not belong together.
    """

    score: Score = "max"
    cells: int = 0
    groups: Groups = REGAD_GROUPS
    damping: float | None = None
    map: Shown = "raw"
    map_gain: float = 1.0

    def __post_init__(self) -> None:
        if self.score not in get_args(Score):
            raise InputError(f"score is {self.score!r}; expected one of {', '.join(get_args(Score))}")
        if self.map not in get_args(Shown):
            raise InputError(f"map is {self.map!r}; expected one of {', '.join(get_args(Shown))}")
        if self.groups not in GROUP_SETS:
            choices = ", ".join(_words(groups) for groups in GROUP_SETS)
            raise InputError(f"groups are {self.groups!r}; expected one of {choices}")
        if self.damping is not None and not 0 <= self.damping <= 1e6:
            raise InputError(f"damping is {self.damping}; expected 0 to 1e6, or none")
        if self.groups != _MAPS[self.map]:
            raise InputError(f"map {self.map} is of {_words(_MAPS[self.map])}, not of {_words(self.groups)}")
        if not 1e-6 <= self.map_gain <= 1e6 or (self.map == "raw" and self.map_gain != 1):
            raise InputError(f"map_gain is {self.map_gain}; expected 1e-6 to 1e6, and 1 for the raw map")
        if self.map == "product" and (self.score == "max" or self.damping is None):
            raise InputError("map product is in units of held-out good parts: score top, with a damping")
        if self.score == "max" and (self.cells, self.damping) != (0, None):
            raise InputError("score max is the largest value of the raw map: no cells, no damping")
        if self.score == "top" and not 1 <= self.cells <= self.grid**2:
            raise InputError(f"cells is {self.cells}; expected 1 to {self.grid**2}, the positions of {self.last.name}")

    @property
    def last(self) -> Level:
        """The level on whose grid the score is taken: the finest one of the last group."""
        return used_levels(self.groups[-1])[0]

    @property
    def grid(self) -> int:
        """Side of the grid of positions that the score is taken from: 56, or 14 for f3 alone."""
        return self.last.grid

    def require_groups(self, groups: Groups) -> None:
        """Raise InputError unless statistics of ``groups`` are what is scored."""
        if groups != self.groups:
            raise InputError(f"the scoring is of {_words(self.groups)}, the statistics of {_words(groups)}")

    def check(self, calibration: Calibration | None) -> None:
        """Raise InputError unless the calibration is what this scoring uses: float32, shaped so, finite, above 0."""
        if (calibration is None) != (self.damping is None):
            found, wanted = ("no", "one") if calibration is None else ("a", "none")
            raise InputError(f"there is {found} calibration by held-out parts; the scoring has {wanted}")
        if calibration is None:
            return
        shapes = {"scale": (self.grid, self.grid), "norms": (len(self.groups),)}
        for name, values in calibration._asdict().items():
            if values.dtype != np.float32 or values.shape != shapes[name]:
                found = f"{values.dtype} {list(values.shape)}"
                raise InputError(f"{name} is {found}; expected float32 {list(shapes[name])}")
            if not (np.isfinite(values).all() and (values > 0).all()):
                raise InputError(f"{name} holds values that are not finite and above 0")

    def scale(self, calibration: Calibration | None) -> Array:
        """Return what the last group's distances are multiplied by for the score, float32 [g, g]."""
        if calibration is None:
            return np.ones((self.grid, self.grid), np.float32)
        return np.ascontiguousarray(calibration.scale)

    def map_factor(self, calibration: Calibration | None) -> np.float32:
        """Return what the product is multiplied by for the map: gain / sqrt(n_2 n_3), or 1 for the raw map."""
        if self.map == "raw" or calibration is None:
            return np.float32(1)
        return np.float32(self.map_gain / np.sqrt(calibration.norms.astype(np.float64).prod()))

    def to_json(self) -> dict[str, Any]:
        """The scoring as it stands in ``manifest.json`` and in a category's metadata."""
        levels = [list(group) for group in self.groups]
        return {
            "score": self.score,
            "cells": self.cells,
            "levels": levels[0] if len(levels) == 1 else levels,
            "calibration": None if self.damping is None else {"a": self.damping},
            "map": self.map,
            "map_gain": self.map_gain,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scoring:
        """Read the scoring back. Raises InputError for anything that `to_json` would not have written."""
        try:
            levels, calibration = data["levels"], data["calibration"]
            damping = None if calibration is None else _number(calibration["a"])
            unknown = sorted((set(data) - _KEYS) | (set(calibration or ()) - {"a"}))
            if unknown:
                raise InputError(
                    f"its scoring has {', '.join(unknown)}, which this version does not know; update regad"
                )
            if type(data["cells"]) is not int:
                raise InputError(f"its scoring has {data['cells']!r} cells; expected a whole number")
            groups = (levels,) if all(isinstance(name, str) for name in levels) else levels
            return cls(
                data["score"], data["cells"], tuple(map(tuple, groups)), damping, data["map"], _number(data["map_gain"])
            )
        except (KeyError, TypeError, OverflowError) as error:
            raise InputError(f"its scoring is incomplete or malformed ({error!r})") from error


SCORINGS: Mapping[str, Scoring] = {
    "regad": Scoring(),
    "edge": Scoring("top", 4, EDGE_GROUPS, 4.0, "product"),
}
"""The scorings with a name: RegAD's own, and the one that was chosen by measurement for few parts and little memory."""
DEFAULT_SCORING = "regad"
"""What `regad-export` takes where none is named."""


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def _words(groups: Groups) -> str:
    return " and ".join("+".join(levels) for levels in groups)
