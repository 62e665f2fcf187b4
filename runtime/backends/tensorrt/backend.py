"""The TensorRT backend: the artifact's own engines, with features and statistics kept on the GPU.

An image goes up, an anomaly map comes down; what lies between never leaves the card. One stream, one encoder context
and one context for each encoding of the statistics, behind a lock: threads take turns.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CategoryError, DeviceError
from ...formats.artifact import ENCODER, Artifact
from ...formats.encodings import StatisticsGroups, form_of, views_of
from ...formats.features import Features
from ...formats.scoring import Calibration, Scoring
from ...formats.spec import LEVELS, SIZE
from ...scoring.reference import graph_tensors
from ..base import Backend, Encoded, Maps, StatisticsHandle, require_own
from .cuda import Cuda, DeviceMemory, HostMemory
from .engine import Engine
from .engines import find_engine
from .library import load_tensorrt

__all__ = ["TrtBackend", "open_engines"]

_IMAGE: tuple[str, tuple[int, ...], np.dtype[Any]] = ("image", (SIZE, SIZE, 3), np.dtype(np.uint8))
"""Name, shape without the batch, and dtype."""
_FEATURES: Mapping[str, tuple[int, ...]] = {
    **{level.name: (level.positions, level.channels) for level in LEVELS},
    "theta": (3, 2, 3),
}
_RESULTS: Mapping[str, tuple[int, ...]] = {"anomaly_map": (SIZE, SIZE), "anomaly_score": ()}
_FLOAT: np.dtype[Any] = np.dtype(np.float32)


class _Statistics:
    """A category's statistics in GPU memory, by the names of the scorer graph."""

    def __init__(
        self,
        backend: Backend,
        levels: Sequence[str],
        graph: str,
        values: Mapping[str, tuple[DeviceMemory, tuple[int, ...]]],
    ) -> None:
        self.backend = backend
        self.levels = levels
        self.graph = graph
        self.values = values


class _Buffers:
    """Memory on the GPU and page-locked memory on the host for one batch, from its images to its maps."""

    def __init__(self, cuda: Cuda, batch: int) -> None:
        floats = [(name, shape, _FLOAT) for name, shape in {**_FEATURES, **_RESULTS}.items()]
        self.host: dict[str, HostMemory] = {}
        self.device: dict[str, DeviceMemory] = {}
        for name, shape, dtype in [_IMAGE, *floats]:
            self.host[name] = HostMemory(cuda, (batch, *shape), dtype)
            self.device[name] = DeviceMemory(cuda, self.host[name].array.nbytes)


class _DeviceEncoded(Encoded):
    """Features in GPU memory, in buffers of its own."""

    def __init__(self, backend: TrtBackend, buffers: _Buffers, count: int) -> None:
        super().__init__(backend)
        self.count = count
        self.fetched: NDArray[np.float32] | None = None
        self._maker = backend
        self._buffers: _Buffers | None = buffers

    @property
    def buffers(self) -> _Buffers:
        """The batch's own. Raises DeviceError once they were given back: they may be another batch's by now."""
        if self._buffers is None:
            raise DeviceError("the features were released; encode the images again")
        return self._buffers

    @property
    def theta(self) -> NDArray[np.float32]:
        if self.fetched is None:
            self.fetched = self._maker.fetch_features(self, ("theta",))[0]
        return self.fetched

    def features(self) -> Features:
        return Features(*self._maker.fetch_features(self, tuple(_FEATURES)))

    def rows(self, start: int, stop: int) -> Encoded:
        return _DeviceRows(self, start, stop)

    def release(self) -> None:
        buffers, self._buffers = self._buffers, None
        if buffers is not None:
            self._maker.give_back(buffers)


class _DeviceRows(Encoded):
    """Some of a batch's images, from ``first`` on, in the memory of the whole."""

    def __init__(self, whole: _DeviceEncoded, start: int, stop: int) -> None:
        super().__init__(whole.backend)
        self.whole = whole
        self.first = start
        self.count = stop - start

    @property
    def theta(self) -> NDArray[np.float32]:
        return self.whole.theta[self.first : self.first + self.count]

    def features(self) -> Features:
        return Features(*(level[self.first : self.first + self.count] for level in self.whole.features()))

    def rows(self, start: int, stop: int) -> Encoded:
        return _DeviceRows(self.whole, self.first + start, self.first + stop)


class _CudaStopwatch:
    """Times what the GPU does, by events on the stream: the host goes ahead of it."""

    def __init__(self, cuda: Cuda, stream: int, events: list[Any]) -> None:
        self._cuda = cuda
        self._stream = stream
        self._events = iter(events)
        self._marks: list[Any] = []

    def mark(self) -> None:
        self._marks.append(next(self._events))
        self._cuda.record(self._marks[-1], self._stream)

    def laps(self) -> list[float]:
        self._cuda.synchronize(self._stream)
        return [self._cuda.milliseconds(*pair) for pair in zip(self._marks, self._marks[1:], strict=False)]


class TrtBackend(Backend):
    """See `regad.runtime.backends.base.Backend`.

    With ``cuda_graph`` passes over the same number of images with the same category are recorded and replayed: fewer
    calls from the CPU, the same numbers. Raises DeviceError if TensorRT, cuda-python, the GPU or an engine that fits is
    missing.
    """

    def __init__(self, artifact: Artifact, *, cuda_graph: bool = False) -> None:
        """Open the encoder's engine; scorers are opened when a category needs them."""
        super().__init__()
        self._artifact = artifact
        self._library = load_tensorrt()
        self._cuda = Cuda()
        self._gpu = self._cuda.gpu()
        self._lock = threading.RLock()  # buffers are also given back within a turn
        self._stream = self._cuda.stream()
        self._events = [self._cuda.event() for _ in range(3)]
        handles = [("cudaStreamDestroy", self._stream), *(("cudaEventDestroy", event) for event in self._events)]
        self._destroy = [weakref.finalize(self, self._cuda.release, name, handle) for name, handle in handles]
        features = dict.fromkeys(_FEATURES, _FLOAT)
        self._encoder: Engine | None = self._open(ENCODER, {_IMAGE[0]: _IMAGE[2], **features})
        self.max_batch = self._encoder.record.largest("image", 0)
        self._free = [_Buffers(self._cuda, self.max_batch)]
        self._scorers: dict[str, Engine] = {}
        self._replay = cuda_graph

    @property
    def name(self) -> str:
        """Library, version and GPU, for people to read."""
        return f"{self._library} on {self._gpu}"

    @property
    def device(self) -> str:
        """Always ``tensorrt``."""
        return "tensorrt"

    def _open(self, graph: str, wanted: Mapping[str, Any]) -> Engine:
        record = find_engine(self._artifact, graph, self._gpu, self._library)
        return Engine(self._library, self._artifact, record, wanted)

    def _prepare(
        self, statistics: StatisticsGroups, scoring: Scoring, calibration: Calibration | None
    ) -> StatisticsHandle:
        tensors = graph_tensors(statistics, self._artifact.statistics_dtype, scoring, calibration)
        graph = self._artifact.scorer_path(form_of(statistics)).name
        wanted = {name: value.dtype for name, value in tensors.items()}
        levels = sum(scoring.groups, ())
        scorer = self._scorer(graph, {**dict.fromkeys((*levels, *_RESULTS), _FLOAT), **wanted})
        views = [name for name in (views_of(group.levels) for group in statistics) if name in tensors]
        most = min((scorer.record.largest(name, 1) for name in views), default=statistics[0].rank)
        if statistics[0].rank > most:
            raise CategoryError(
                f"the category was taught from {statistics[0].views} views; the engine takes {most + 1}",
                remedy="teach fewer images, or build it with a higher --max-shot: regad-export --engine --artifact "
                f"{self._artifact.path}",
            )
        values = {}
        for name, value in tensors.items():
            memory = DeviceMemory(self._cuda, value.nbytes)
            self._cuda.upload(memory, np.ascontiguousarray(value), self._stream)
            self._cuda.synchronize(self._stream)
            values[name] = (memory, value.shape)
        return _Statistics(self, levels, graph, values)

    def _scorer(self, graph: str, wanted: Mapping[str, Any]) -> Engine:
        if graph not in self._scorers:
            self._scorers[graph] = self._open(graph, wanted)
        return self._scorers[graph]

    def _encode(self, images: NDArray[np.uint8]) -> Encoded:
        encoder, count = self._encoder, len(images)
        assert encoder is not None, "a turn ends before the backend is released"
        buffers = self._free.pop() if self._free else _Buffers(self._cuda, self.max_batch or count)
        staged = buffers.host["image"].array[:count]
        staged[:] = images
        self._cuda.upload(buffers.device["image"], staged, self._stream)

        def bind() -> None:
            encoder.bind("image", buffers.device["image"], (count, *_IMAGE[1]))
            for name in _FEATURES:
                encoder.bind(name, buffers.device[name])

        encoder.run((count, weakref.ref(buffers)), bind, self._cuda, self._stream, self._replay)
        return _DeviceEncoded(self, buffers, count)

    def _score(self, encoded: Encoded, statistics: StatisticsHandle) -> Maps:
        cut = encoded if isinstance(encoded, _DeviceRows) else None
        batch = require_own(encoded if cut is None else cut.whole, _DeviceEncoded, "the features", self)
        ready = require_own(statistics, _Statistics, "the statistics", self)
        scorer, buffers = self._scorers[ready.graph], batch.buffers
        first, count = (0, batch.count) if cut is None else (cut.first, cut.count)

        def bind() -> None:
            for name in ready.levels:
                image = math.prod(_FEATURES[name]) * _FLOAT.itemsize
                scorer.bind(name, buffers.device[name], (count, *_FEATURES[name]), first * image)
            for name, (memory, shape) in ready.values.items():
                scorer.bind(name, memory, shape)
            for name in _RESULTS:
                scorer.bind(name, buffers.device[name])

        key = (first, count, weakref.ref(buffers), weakref.ref(ready))
        scorer.run(key, bind, self._cuda, self._stream, self._replay)
        if cut is not None:
            return Maps(*self._fetch(buffers, tuple(_RESULTS), count))
        # theta comes with the maps: one wait for all three.
        maps, scores, batch.fetched = self._fetch(buffers, (*_RESULTS, "theta"), count)
        return Maps(maps, scores)

    def _fetch(self, buffers: _Buffers, names: tuple[str, ...], count: int) -> list[NDArray[np.float32]]:
        """Bring results to the host and copy them out of the buffers that a later batch will overwrite."""
        for name in names:
            self._cuda.download(buffers.host[name].array[:count], buffers.device[name], self._stream)
        self._cuda.synchronize(self._stream)
        return [buffers.host[name].array[:count].copy() for name in names]

    def fetch_features(self, encoded: _DeviceEncoded, names: tuple[str, ...]) -> list[NDArray[np.float32]]:
        """Bring some of a batch's features to the host, in a turn of its own."""
        with self._turn():
            return self._fetch(encoded.buffers, names, encoded.count)

    def give_back(self, buffers: _Buffers) -> None:
        """Take a batch's buffers for the next one; one set lies ready, since threads take turns."""
        with self._lock:
            if not self._free and not self._lifecycle.closed:
                self._free.append(buffers)

    def _stopwatch(self) -> _CudaStopwatch:
        return _CudaStopwatch(self._cuda, self._stream, self._events)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Only one thread at a time."""
        with super()._turn(), self._lock:
            self._cuda.use()
            yield

    def _release(self) -> None:
        """Release contexts, engines, events, the stream and device memory."""
        self._cuda.use()
        self._scorers.clear()
        self._encoder = None
        with self._lock:  # what is given back later is not kept
            self._free.clear()
        for destroy in self._destroy:
            destroy()


def open_engines(artifact: Artifact, threads: int | None = None) -> TrtBackend:
    """Open an artifact's engines. ``threads`` is of no use to a GPU that does all the work."""
    return TrtBackend(artifact)
