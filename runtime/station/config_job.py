"""The tables ``[[job]]`` of ``station.toml``: the parts that the station judges, each by a pinned category."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from .config_types import Hours, Limit, Millis, Number, Sha256, Table, Title

__all__ = ["JobConfig", "JobSettings"]


class JobSettings(Table, frozen=True):
    """What a job that was added at the page has of its own, as a ``[[job]]`` would.

    None stands for the trigger's deadline, and for no challenge by hours.
    """

    deadline_ms: Millis | None = None
    challenge_every_h: Hours | None = None


class JobConfig(Table, frozen=True):
    """One kind of part: the number that the PLC sets, and the category file, pinned by its sha256.

    ``deadline_ms``, ``threshold`` and ``warn_threshold`` replace the trigger's and the category's own. With
    ``challenge_at_start`` the station is held when the job comes into force until a known good and a known bad part
    were shown and recognised; with ``challenge_every_h`` so again after so many hours.
    """

    number: Number
    name: Title
    category: Path
    sha256: Sha256
    deadline_ms: Millis | None = None
    threshold: Limit | None = None
    warn_threshold: Limit | None = None
    challenge_at_start: bool = False
    challenge_every_h: Hours | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and self.warn_threshold is not None and self.warn_threshold >= self.threshold:
            raise InputError(
                f"warn_threshold is {self.warn_threshold}; expected less than the threshold {self.threshold}"
            )

    @property
    def challenged(self) -> bool:
        """Whether a challenge is ever asked for."""
        return self.challenge_at_start or self.challenge_every_h is not None
