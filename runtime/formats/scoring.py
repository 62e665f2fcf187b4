"""How distances become a map and a score: data that an artifact recommends and a category records.

With M [g, g] the distances, ``scale`` [g, g] the category's calibration (1 everywhere without one) and A the matrix of
`regad.runtime.scoring.reference.smoothing_matrix`, all in float32:

- ``max``, RegAD's own definition: the map is A M A^T and the score its largest value; there is no calibration;
- ``top``: the score is the mean of the ``cells`` largest values of M scale, summed in float64; the map is
  A (M map_gain) A^T, or A (M (scale map_gain)) A^T where it is ``calibrated``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .spec import ALL_LEVELS, GRID, Levels, used_levels

__all__ = ["Calibration", "Factors", "Score", "Scoring", "Shown"]

Score = Literal["max", "top"]
Shown = Literal["raw", "calibrated"]
Array = NDArray[np.float32]


class Factors(NamedTuple):
    """What a position's distance is multiplied by, for the score and for the map: float32 [g, g]."""

    score: Array
    map: Array


@dataclass(frozen=True)
class Calibration:
    """How teaching makes the scale from held-out distances; `regad.calib.calibration` has the equation.

    ``a`` damps it where good parts show little, ``sigma`` smooths what they show, in cells. Raises InputError.
    """

    a: float = 1.0
    sigma: float = 2.0

    def __post_init__(self) -> None:
        if not (0 <= self.a <= 1e6 and 0 <= self.sigma <= GRID):
            raise InputError(f"calibration is a {self.a}, sigma {self.sigma}; expected 0 to 1e6 and 0 to {GRID} cells")


@dataclass(frozen=True)
class Scoring:
    """The statistic, the levels it is taken from (one of `LEVEL_SETS`), and the map that is shown with it.

    The default is RegAD's. ``cells`` is how many positions ``top`` takes the mean of, 0 for ``max``; ``map_gain``
    brings the map to the score's unit; without a ``calibration`` there is no scale. Raises InputError for what does not
    belong together.
    """

    score: Score = "max"
    cells: int = 0
    levels: Levels = ALL_LEVELS
    calibration: Calibration | None = None
    map: Shown = "raw"
    map_gain: float = 1.0

    def __post_init__(self) -> None:
        if self.score not in get_args(Score):
            raise InputError(f"score is {self.score!r}; expected one of {', '.join(get_args(Score))}")
        if self.map not in get_args(Shown):
            raise InputError(f"map is {self.map!r}; expected one of {', '.join(get_args(Shown))}")
        if not 1e-6 <= self.map_gain <= 1e6:
            raise InputError(f"map_gain is {self.map_gain}; expected 1e-6 to 1e6")
        positions = self.grid * self.grid
        if self.score == "max" and not self._plain:
            raise InputError("score max is the largest value of the raw map: no cells, no calibration, map_gain 1")
        if self.map == "calibrated" and self.calibration is None:
            raise InputError("map is calibrated, but there is no calibration")
        if self.score == "top" and not 1 <= self.cells <= positions:
            raise InputError(f"cells is {self.cells}; expected 1 to {positions}, the positions of {self.levels[0]}")

    @property
    def _plain(self) -> bool:
        return (self.cells, self.calibration, self.map, self.map_gain) == (0, None, "raw", 1.0)

    @property
    def grid(self) -> int:
        """Side of the grid of positions that are scored: 56, 28 or 14."""
        return used_levels(self.levels)[0].grid

    def factors(self, scale: Array | None = None) -> Factors:
        """Return what distances are multiplied by, given a category's scale. Raises InputError: see `check_scale`."""
        self.check_scale(scale)
        ones: Array = np.ones((self.grid, self.grid), np.float32)
        score = ones if scale is None else np.ascontiguousarray(scale)
        shown = score if self.map == "calibrated" else ones
        return Factors(score, shown * np.float32(self.map_gain))

    def require_levels(self, levels: Levels) -> None:
        """Raise InputError unless statistics of ``levels`` are what is scored."""
        if levels != self.levels:
            raise InputError(f"the scoring is of {'+'.join(self.levels)}, the statistics of {'+'.join(levels)}")

    def check_scale(self, scale: NDArray[Any] | None) -> None:
        """Raise InputError unless ``scale`` is None or what this scoring uses: float32 [g, g], finite, above 0."""
        if scale is None:
            return
        if self.calibration is None:
            raise InputError("there is a scale, but the scoring is not calibrated")
        shape = (self.grid, self.grid)
        if scale.dtype != np.float32 or scale.shape != shape:
            raise InputError(f"scale is {scale.dtype} {list(scale.shape)}; expected float32 {list(shape)}")
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            raise InputError("scale holds values that are not finite and above 0")

    def to_json(self) -> dict[str, Any]:
        """The scoring as it stands in ``manifest.json`` and in a category's metadata."""
        return {**asdict(self), "levels": list(self.levels)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scoring:
        """Read the scoring back. Raises InputError for anything that `to_json` would not have written."""
        unknown = sorted(set(data) - {field.name for field in fields(cls)})
        if unknown:
            raise InputError(f"its scoring has {', '.join(unknown)}, which this version does not know; update regad")
        try:
            cells, gain, fitted = data["cells"], data["map_gain"], data["calibration"]
            numbers = [gain, fitted["a"], fitted["sigma"]] if fitted is not None else [gain]
            if type(cells) is not int or not all(type(number) in (int, float) for number in numbers):
                raise InputError(f"its scoring has {cells!r} cells and the numbers {numbers!r}; expected numbers")
            calibration = None if fitted is None else Calibration(float(fitted["a"]), float(fitted["sigma"]))
            return cls(data["score"], cells, tuple(data["levels"]), calibration, data["map"], float(gain))
        except (KeyError, TypeError, OverflowError) as error:
            raise InputError(f"its scoring is incomplete or malformed ({error!r})") from error
