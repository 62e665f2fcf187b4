"""How the distances of a frame become its score: declared in artifacts and categories, never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import InputError
from .spec import LEVELS

__all__ = ["Scoring"]


@dataclass(frozen=True)
class Scoring:
    """The score of a frame; the defaults are RegAD's definition, which is all that this version computes.

    ``score`` max: the largest value of the smoothed map. ``levels``: the feature maps that the distance is taken over.
    ``calibrated``: whether the map is divided by what a held-out good part shows. Raises InputError for anything else.
    """

    score: str = "max"
    levels: tuple[str, ...] = tuple(level.name for level in LEVELS)
    calibrated: bool = False

    def __post_init__(self) -> None:
        known = tuple(level.name for level in LEVELS)
        if (self.score, self.levels, self.calibrated) != ("max", known, False):
            raise InputError(
                f"it scores by {self.score} of {', '.join(self.levels)}{', calibrated' if self.calibrated else ''}; "
                f"this version scores by max of {', '.join(known)}: update regad"
            )

    def to_json(self) -> dict[str, Any]:
        """The scoring as it stands in ``manifest.json`` and in a category's metadata."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scoring:
        """Read the scoring back. Raises InputError for what this version cannot compute."""
        try:
            fields = {**data, "levels": tuple(str(name) for name in data["levels"])}
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise InputError(f"its scoring is incomplete or malformed ({error})") from error
