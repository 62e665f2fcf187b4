"""The native library's kernels behind ctypes: the scorer, which reads the statistics once a frame, and the resampler.

The plain references are `regad.runtime.scoring.reference.Scorer` and Pillow; tests compare them. The library is
built with the package where there is a C++ compiler; `available` says whether it is there, and loads it.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DeviceError
from .formats.category import Statistics
from .formats.features import Features
from .formats.memory import padded
from .formats.spec import GRID, LEVELS, SIZE, Resample
from .scoring.reference import Scorer

__all__ = ["BUILD", "CompiledScorer", "HostScorer", "available", "host_scorer", "kernels", "resample", "usable_cores"]

BUILD = "apt-get install g++, then pip install --force-reinstall --no-deps regad from source"
"""What to do where the library is missing."""

_VERSION = 3
_FILTERS = {"box": 0, "lanczos": 1, "bilinear": 2}
Array = NDArray[np.float32]


@cache
def _library() -> ctypes.CDLL | None:
    """The library beside this module, or None where it was not built. Raises DeviceError if it cannot be used."""
    found = sorted(Path(__file__).parent.glob("_kernels*.so"))
    if not found:
        return None
    try:
        library = ctypes.CDLL(str(found[0]))
        version = int(library.regad_embedded_version())
    except (OSError, AttributeError) as error:
        raise DeviceError(f"the compiled scorer {found[0]} cannot be loaded ({error}); {BUILD}") from error
    if version != _VERSION:
        raise DeviceError(f"the compiled scorer {found[0]} has version {version}, expected {_VERSION}; {BUILD}")
    library.regad_embedded_kernels.restype = ctypes.c_char_p
    library.regad_embedded_pool.restype = ctypes.c_void_p
    library.regad_embedded_pool.argtypes = (ctypes.c_size_t,)
    library.regad_embedded_scorer.restype = ctypes.c_void_p
    library.regad_embedded_scorer_free.restype = None
    library.regad_embedded_scorer_free.argtypes = (ctypes.c_void_p,)
    library.regad_embedded_score.argtypes = (
        *(ctypes.c_void_p,) * 4,
        ctypes.c_size_t,
        *(ctypes.c_void_p,) * 3,
    )
    library.regad_embedded_resample.argtypes = (
        ctypes.c_void_p,
        ctypes.c_int32,
        ctypes.c_int32,
        ctypes.c_int64,
        ctypes.c_void_p,
        ctypes.c_int32,
        ctypes.c_void_p,
    )
    return library


def available() -> bool:
    """Whether the library was built with this installation. Raises DeviceError if it is there but cannot be used."""
    return _library() is not None


def kernels() -> str:
    """The instruction set that the library uses on this processor, like ``avx2``. Raises DeviceError without it."""
    name: bytes = _loaded().regad_embedded_kernels()
    return name.decode()


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def _loaded() -> ctypes.CDLL:
    library = _library()
    if library is None:
        raise DeviceError(f"the compiled scorer was not built with this installation; {BUILD}")
    return library


@cache
def _pool(threads: int) -> int:
    """Threads that all scorers of a process share; they sleep between frames and end with the process."""
    pool: int | None = _loaded().regad_embedded_pool(threads)
    if pool is None:
        raise DeviceError(f"{threads} threads cannot be started; use fewer with --threads")
    return pool


def resample(
    rgb: NDArray[np.uint8], box: tuple[int, int, int, int], target: tuple[int, int, int, int], filter_: Resample
) -> NDArray[np.uint8]:
    """Return uint8 RGB [224, 224, 3]: ``box`` of ``rgb`` (uint8 [H, W, 3]) resampled into ``target``, 0 around it.

    ``box`` is (left, top, right, bottom) inside the image, ``target`` (left, top, width, height) inside the result.
    Byte for byte what Pillow makes of it. Raises DeviceError without the library, or when memory is short.
    """
    if rgb.strides[1:] != (3, 1):
        rgb = np.ascontiguousarray(rgb)
    spot = np.array([*box, *target], np.int32)
    out = np.empty((SIZE, SIZE, 3), np.uint8)
    height, width, _ = rgb.shape
    status = _loaded().regad_embedded_resample(
        rgb.ctypes.data, width, height, rgb.strides[0], spot.ctypes.data, _FILTERS[filter_], out.ctypes.data
    )
    if status != 0:
        raise DeviceError("the compiled resampler ran out of memory; free some, or use smaller images")
    return out


class CompiledScorer:
    """What `regad.runtime.scoring.reference.Scorer` does, compiled. Immutable, usable from several threads at once."""

    def __init__(self, statistics: Statistics, threads: int | None = None) -> None:
        """Take the statistics as they are: no copy is made of tensors from `padded_empty`. ``threads`` None: all cores.

        Raises DeviceError if the library is missing.
        """
        self._library = _loaded()
        self.encoding = statistics.encoding
        self._tensors = {name: padded(tensor) for name, tensor in statistics.tensors.items()}
        count = len(self._tensors)
        tensors = list(self._tensors.values())
        self._handle: int | None = self._library.regad_embedded_scorer(
            ctypes.c_void_p(_pool(threads or usable_cores())),
            statistics.encoding.encode(),
            ctypes.c_size_t(statistics.rank),
            ctypes.c_size_t(count),
            (ctypes.c_char_p * count)(*(name.encode() for name in self._tensors)),
            (ctypes.c_void_p * count)(*(tensor.ctypes.data for tensor in tensors)),
            (ctypes.c_size_t * count)(*(tensor.size for tensor in tensors)),
            (ctypes.c_int32 * count)(*(tensor.dtype == np.float16 for tensor in tensors)),
        )
        if self._handle is None:
            raise DeviceError(f"the compiled scorer does not take {statistics.encoding} statistics; {BUILD}")

    def __del__(self) -> None:
        """Free what the library holds; the statistics are the caller's."""
        if getattr(self, "_handle", None) is not None:
            self._library.regad_embedded_scorer_free(self._handle)

    def mahalanobis(self, features: Features) -> Array:
        """Return the distance of every position, float32 [B, 56, 56]."""
        distances = np.empty((len(features.f1), GRID, GRID), np.float32)
        self._run(features, distances, None, None)
        return distances

    def score(self, features: Features, distances: Array | None = None) -> tuple[Array, Array]:
        """Return the anomaly maps, float32 [B, 224, 224], and their maxima, the anomaly scores, float32 [B].

        ``distances`` is scratch memory of at least B * 3136 values that the caller keeps; None: allocated here.
        """
        batch = len(features.f1)
        if distances is None:
            distances = np.empty((batch, GRID, GRID), np.float32)
        maps = np.empty((batch, SIZE, SIZE), np.float32)
        scores = np.empty(batch, np.float32)
        self._run(features, distances, maps, scores)
        return maps, scores

    def _run(self, features: Features, distances: Array, maps: Array | None, scores: Array | None) -> None:
        batch = len(features.f1)
        levels = [_checked(level, batch, number) for number, level in enumerate(features[:3])]
        assert distances.size >= batch * GRID * GRID and distances.flags.c_contiguous
        status = self._library.regad_embedded_score(
            self._handle,
            *(level.ctypes.data for level in levels),
            batch,
            distances.ctypes.data,
            None if maps is None else maps.ctypes.data,
            None if scores is None else scores.ctypes.data,
        )
        if status != 0:
            raise DeviceError("the compiled scorer ran out of memory; free some, or judge fewer images at a time")


HostScorer = CompiledScorer | Scorer
"""What scores on the host."""


def host_scorer(statistics: Statistics, threads: int | None = None) -> HostScorer:
    """Return the scorer that this installation uses on the CPU: compiled where the library is there, else NumPy's."""
    return CompiledScorer(statistics, threads) if available() else Scorer(statistics)


def _checked(values: NDArray[Any], batch: int, number: int) -> Array:
    """A level's features as the library reads them: float32, contiguous, of the encoder's shape."""
    level = LEVELS[number]
    expected = (batch, level.positions, level.channels)
    if values.shape != expected or values.dtype != np.float32:
        raise DeviceError(f"{level.name} is {values.dtype} {list(values.shape)}; expected float32 {list(expected)}")
    return np.ascontiguousarray(values)
