"""The compiled scorer: one pass over the statistics a frame. `scoring/reference.py` is its plain reference."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..errors import DeviceError
from ..formats.encodings import Statistics
from ..formats.features import Features
from ..formats.memory import padded
from ..formats.scoring import Scoring
from ..formats.spec import LEVELS, SIZE, Level, used_levels
from .reference import Scorer

__all__ = ["CompiledScorer", "HostScorer", "host_scorer"]

Array = NDArray[np.float32]


class CompiledScorer:
    """What `regad.runtime.scoring.reference.Scorer` does, compiled. Immutable, usable from several threads at once."""

    def __init__(
        self,
        statistics: Statistics,
        threads: int | None = None,
        scoring: Scoring | None = None,
        scale: Array | None = None,
    ) -> None:
        """Take the statistics as they are: no copy is made of tensors from `padded_empty`. ``threads`` None: all cores.

        ``scoring`` None is RegAD's. Raises DeviceError if the library or memory is missing; InputError for a scoring of
        other levels than the statistics', or a ``scale`` (float32 [g, g]) that it does not use.
        """
        self._library = kernels.library()
        scoring = scoring or Scoring(levels=statistics.levels)
        scoring.require_levels(statistics.levels)
        factors = scoring.factors(scale)
        self._grid = statistics.grid
        self._levels = used_levels(statistics.levels)
        self._tensors = {name: padded(tensor) for name, tensor in statistics.tensors.items()}
        count = len(self._tensors)
        tensors = list(self._tensors.values())
        handle = ctypes.c_void_p()
        status = self._library.regad_embedded_scorer(
            ctypes.c_void_p(kernels.shared_pool(threads or kernels.usable_cores())),
            statistics.encoding.encode(),
            ctypes.c_size_t(statistics.rank),
            ctypes.c_size_t(int(self._levels[0].name[1])),
            ctypes.c_size_t(count),
            (ctypes.c_char_p * count)(*(name.encode() for name in self._tensors)),
            (ctypes.c_void_p * count)(*(tensor.ctypes.data for tensor in tensors)),
            (ctypes.c_size_t * count)(*(tensor.size for tensor in tensors)),
            (ctypes.c_int32 * count)(*(tensor.dtype == np.float16 for tensor in tensors)),
            ctypes.c_size_t(scoring.cells),
            ctypes.c_void_p(factors.score.ctypes.data),
            ctypes.c_void_p(factors.map.ctypes.data),
            ctypes.byref(handle),
        )
        kernels.check(status, f"scorer of {statistics.encoding} statistics", "load fewer categories")
        self._handle = handle.value

    def __del__(self) -> None:
        """Free what the library holds; the statistics are the caller's."""
        if getattr(self, "_handle", None) is not None:
            self._library.regad_embedded_scorer_free(self._handle)

    def mahalanobis(self, features: Features) -> Array:
        """Return the distance of every position, float32 [B, g, g]."""
        distances = np.empty((len(features.f3), self._grid, self._grid), np.float32)
        self._run(features, distances, None, None)
        return distances

    def score(self, features: Features, distances: Array | None = None) -> tuple[Array, Array]:
        """Return the anomaly maps, float32 [B, 224, 224], and the anomaly scores, float32 [B].

        ``distances`` is scratch memory of at least B * g * g values that the caller keeps; None: allocated here.
        """
        batch = len(features.f3)
        if distances is None:
            distances = np.empty((batch, self._grid, self._grid), np.float32)
        maps = np.empty((batch, SIZE, SIZE), np.float32)
        scores = np.empty(batch, np.float32)
        self._run(features, distances, maps, scores)
        return maps, scores

    def _run(self, features: Features, distances: Array, maps: Array | None, scores: Array | None) -> None:
        batch = len(features.f3)
        used = {level: _checked(getattr(features, level.name), batch, level) for level in self._levels}
        assert distances.size >= batch * self._grid**2 and distances.flags.c_contiguous
        status = self._library.regad_embedded_score(
            self._handle,
            *(used[level].ctypes.data if level in used else None for level in LEVELS),
            batch,
            distances.ctypes.data,
            None if maps is None else maps.ctypes.data,
            None if scores is None else scores.ctypes.data,
        )
        kernels.check(status, "scorer", "judge fewer images at a time")


HostScorer = CompiledScorer | Scorer
"""What scores on the host."""


def host_scorer(
    statistics: Statistics, threads: int | None = None, scoring: Scoring | None = None, scale: Array | None = None
) -> HostScorer:
    """Return the scorer that this installation uses on the CPU: compiled where the library is there, else NumPy's."""
    if kernels.available():
        return CompiledScorer(statistics, threads, scoring, scale)
    return Scorer(statistics, scoring, scale)


def _checked(values: NDArray[Any], batch: int, level: Level) -> Array:
    """A level's features as the library reads them: float32, contiguous, of the encoder's shape."""
    expected = (batch, level.positions, level.channels)
    if values.shape != expected or values.dtype != np.float32:
        raise DeviceError(f"{level.name} is {values.dtype} {list(values.shape)}; expected float32 {list(expected)}")
    return np.ascontiguousarray(values)
