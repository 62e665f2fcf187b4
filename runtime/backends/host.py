"""Encode anywhere, score on the host: the compiled scorer, or NumPy's where the installation has none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..formats.encodings import StatisticsGroups
from ..formats.features import Features
from ..formats.scoring import Calibration, Scoring
from ..scoring.compiled import CompiledScorer, HostScorer, host_scorer
from .base import Backend, Encoded, Maps, StatisticsHandle, require_own

__all__ = ["HostEncoded", "HostScoring", "HostStatistics", "scorer_name"]


class HostStatistics:
    """Statistics in host memory, within their scorer."""

    def __init__(self, backend: Backend, scorer: HostScorer) -> None:
        self.backend = backend
        self.scorer = scorer


class HostEncoded(Encoded):
    """Features in host memory.

    ``distances`` is scratch memory for the scorer. ``give_back`` takes the memory for the next batch; it is not called
    once the features were handed out.
    """

    def __init__(
        self,
        backend: Backend,
        host: Features,
        distances: NDArray[np.float32] | None = None,
        give_back: Callable[[], None] | None = None,
        ms: float | None = None,
    ) -> None:
        super().__init__(backend)
        self.host = host
        self.distances = distances
        self.ms = ms
        self._give_back = give_back

    @property
    def theta(self) -> NDArray[np.float32]:
        """The STN transforms, float32 [B, 3, 2, 3]."""
        return self.host.theta.copy()

    def features(self) -> Features:
        """The features themselves: no copy is made, so their memory is the caller's from now on."""
        self._give_back = None
        return self.host

    def rows(self, start: int, stop: int) -> HostEncoded:
        """A view of some images' features, which shares the scratch memory."""
        return HostEncoded(self.backend, Features(*(level[start:stop] for level in self.host)), self.distances)

    def release(self) -> None:
        """Give the memory back, unless it was handed out."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()


class HostScoring(Backend):
    """A backend whose features reach the host; ``threads`` are those of the scorer (None: all cores)."""

    def __init__(self, threads: int | None = None) -> None:
        super().__init__()
        self._threads = threads

    def _prepare(
        self, statistics: StatisticsGroups, scoring: Scoring, calibration: Calibration | None
    ) -> StatisticsHandle:
        return HostStatistics(self, host_scorer(statistics, self._threads, scoring, calibration))

    def _score(self, encoded: Encoded, statistics: StatisticsHandle) -> Maps:
        batch = require_own(encoded, HostEncoded, "the features", self)
        scorer = require_own(statistics, HostStatistics, "the statistics", self).scorer
        if isinstance(scorer, CompiledScorer):
            return Maps(*scorer.score(batch.host, batch.distances))
        return Maps(*scorer.score(batch.host))


def scorer_name() -> str:
    """The scorer that this installation uses on the host, for people to read, like ``avx2 scorer``."""
    return f"{kernels.kernels()} scorer" if kernels.available() else "NumPy scorer"
