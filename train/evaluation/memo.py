"""A backend that encodes every image once, for evaluation: rounds and shots see the same images again and again."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from regad.runtime.backends.base import Backend, Encoded, Inference, StatisticsHandle
from regad.runtime.backends.host import HostEncoded, HostScoring, HostStatistics
from regad.runtime.formats.encodings import StatisticsGroups
from regad.runtime.formats.features import Features
from regad.runtime.formats.scoring import Calibration, Scoring

__all__ = ["LIMIT_BYTES", "MemoBackend"]

LIMIT_BYTES = 3 << 29
"""1.5 GiB: features of about 1,100 images of 1.4 MB."""


class _Kept(NamedTuple):
    """Features of one image, first axis 1, and the milliseconds that encoding it took."""

    features: Features
    ms: float


class MemoBackend(HostScoring):
    """Another backend's features, kept by the images' bytes; the least recently used go first above ``limit`` bytes.

    Where the other backend scores on the host, so does this one, from the kept features, and reports as time of
    encoding what it took when it was done. A backend that scores on a device is asked itself, every time; only what it
    gives to the host is kept. The other backend is closed with this one.
    """

    def __init__(self, backend: Backend, limit: int = LIMIT_BYTES) -> None:
        super().__init__()
        self._backend = backend
        self.precision = backend.precision
        self._limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._bytes = 0

    @property
    def name(self) -> str:
        """That of the other backend."""
        return self._backend.name

    @property
    def device(self) -> str:
        """That of the other backend."""
        return self._backend.device

    def infer(self, images: NDArray[np.uint8], statistics: StatisticsHandle) -> Inference:
        """Encode and score uint8 RGB images [B, 224, 224, 3]."""
        if isinstance(statistics, HostStatistics):
            return super().infer(images, statistics)
        return self._backend.infer(images, statistics)

    def _encode(self, images: NDArray[np.uint8]) -> Encoded:
        return self._remembered(images)

    def _prepare(
        self, statistics: StatisticsGroups, scoring: Scoring, calibration: Calibration | None
    ) -> StatisticsHandle:
        made = self._backend.prepare(statistics, scoring, calibration)
        return HostStatistics(self, made.scorer) if isinstance(made, HostStatistics) else made

    def _release(self) -> None:
        self._kept.clear()
        self._bytes = 0
        self._backend.close()

    def _remembered(self, images: NDArray[np.uint8]) -> HostEncoded:
        with self._lock:
            kept = self._look_up(images)
        features = Features(*(np.concatenate(level) for level in zip(*(one.features for one in kept), strict=True)))
        return HostEncoded(self, features, ms=sum(one.ms for one in kept))

    def _look_up(self, images: NDArray[np.uint8]) -> list[_Kept]:
        keys = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
        found = {key: self._kept[key] for key in keys if key in self._kept}
        missing = {key: index for index, key in enumerate(keys) if key not in found}
        if missing:
            started = time.perf_counter()
            features = self._backend.features(images[list(missing.values())])
            ms = (time.perf_counter() - started) * 1e3 / len(missing)
            for row, key in enumerate(missing):
                one = _Kept(Features(*(level[row : row + 1].copy() for level in features)), ms)
                found[key] = self._kept[key] = one
                self._bytes += _size(one)
        for key in keys:
            self._kept.move_to_end(key)
        while self._bytes > self._limit:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= _size(oldest)
        return [found[key] for key in keys]


def _size(one: _Kept) -> int:
    return sum(level.nbytes for level in one.features)
