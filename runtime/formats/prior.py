"""What other kinds of parts teach about good scores: data in an artifact, by number of support images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import InputError

__all__ = ["Prior", "Priors"]


@dataclass(frozen=True)
class Prior:
    """How the logarithms of a part's good scores lie around those of its support images, each left out once.

    Their mean lies ``delta`` above, give or take ``tau`` (a standard deviation over kinds of parts); their own standard
    deviation is ``sigma``, an assumption that counts as ``weight`` scores. ``tau`` is known as from ``freedom`` + 1
    kinds of parts. Raises InputError for values that cannot be.
    """

    delta: float
    tau: float
    sigma: float
    weight: int = 8
    freedom: int = 30

    def __post_init__(self) -> None:
        spreads = (self.tau, self.sigma)
        if not math.isfinite(self.delta) or not all(math.isfinite(value) and value > 0 for value in spreads):
            raise InputError(
                f"a prior has delta {self.delta}, tau {self.tau}, sigma {self.sigma}; "
                "expected finite numbers, tau and sigma above 0"
            )
        if not all(isinstance(count, int) and 1 <= count <= 10_000 for count in (self.weight, self.freedom)):
            raise InputError(
                f"a prior has weight {self.weight!r} and freedom {self.freedom!r}; expected whole numbers of 1 to 10000"
            )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Prior:
        """Read one back, as `dataclasses.asdict` gives it. Raises InputError."""
        try:
            delta, tau, sigma = (float(data[name]) for name in ("delta", "tau", "sigma"))
            return cls(delta, tau, sigma, data["weight"], data["freedom"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"its prior is incomplete or malformed ({error!r})") from error


@dataclass(frozen=True)
class Priors:
    """Priors by number of support images, and in a sentence what they were learnt from. Raises InputError for none."""

    shots: Mapping[int, Prior]
    evidence: str = ""

    def __post_init__(self) -> None:
        if not self.shots or min(self.shots) < 1:
            raise InputError(f"priors are for {sorted(self.shots)} images; expected at least one number of 1 or more")

    def at(self, shot: int) -> Prior:
        """The prior for ``shot`` images: between two known numbers by interpolation in their logarithm, outside the
        nearest one.
        """
        known = sorted(self.shots)
        shot = min(max(shot, known[0]), known[-1])
        below = max(number for number in known if number <= shot)
        above = min(number for number in known if number >= shot)
        low, high = self.shots[below], self.shots[above]
        share = math.log(shot / below) / math.log(above / below) if below < above else 0.0

        def between(first: float, second: float) -> float:
            return first + share * (second - first)

        return Prior(
            between(low.delta, high.delta),
            between(low.tau, high.tau),
            between(low.sigma, high.sigma),
            low.weight,
            low.freedom,
        )

    def of_int8(self) -> Priors:
        """The same for an int8 encoder of the model that they were learnt of, with evidence that says so.

        int8 spreads the logarithm of a good score by a quarter of ``sigma`` at most and shifts it by a fifth of
        ``tau`` with uint8 activations, by half and by a third with symmetric ones (docs/dtypes.md).
        """
        return replace(self, evidence=f"{self.evidence}, learnt in fp32")

    def to_json(self) -> dict[str, Any]:
        """The priors as they stand in ``manifest.json``."""
        shots = {str(shot): vars(prior) for shot, prior in sorted(self.shots.items())}
        return {"shots": {shot: dict(values) for shot, values in shots.items()}, "evidence": self.evidence}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Priors:
        """Read them back. Raises InputError for what `to_json` does not write."""
        try:
            shots = {int(shot): Prior.from_json(values) for shot, values in data["shots"].items()}
            return cls(shots, str(data["evidence"]))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"its prior is incomplete or malformed ({error!r})") from error
