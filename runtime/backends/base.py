"""What every backend is: encode, prepare, score and infer, with one lifecycle, one order of work and one clock.

A backend fills in the methods that begin with an underscore; the public ones are written once, here.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError, InputError
from ..formats.encodings import Statistics, StatisticsGroups, grouped, levels_of
from ..formats.features import Features
from ..formats.scoring import Calibration, Scoring
from .lifecycle import Lifecycle

__all__ = ["Backend", "Encoded", "Inference", "Maps", "Precision", "StatisticsHandle", "Stopwatch", "require_own"]

Precision = Literal["f32", "bf16", "f16"]
"""What a device computes in where the graph says float32."""


class StatisticsHandle(Protocol):
    """Statistics of one category, made ready by ``backend`` (unpacked, uploaded). Shared by threads, never changed.

    Its memory is freed with the last reference to it.
    """

    @property
    def backend(self) -> Backend:
        """The one that made it, and takes it."""


class Maps(NamedTuple):
    """What scoring gives, on the host: anomaly maps float32 [B, 224, 224] and scores float32 [B]."""

    anomaly_map: NDArray[np.float32]
    anomaly_score: NDArray[np.float32]


class Inference(NamedTuple):
    """Outcome of a batch: maps float32 [B, 224, 224], scores float32 [B], thetas [B, 3, 2, 3]; stage times in ms."""

    anomaly_map: NDArray[np.float32]
    anomaly_score: NDArray[np.float32]
    theta: NDArray[np.float32]
    encode_ms: float
    score_ms: float


class Encoded(ABC):
    """A batch's features, wherever ``backend`` keeps them. Of use to that backend alone, by one thread at a time.

    ``ms`` are the milliseconds that encoding took, where a clock around the call would not tell; else None.
    """

    ms: float | None = None

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    @property
    @abstractmethod
    def theta(self) -> NDArray[np.float32]:
        """The STN transforms on the host, float32 [B, 3, 2, 3]; the caller's own."""

    @abstractmethod
    def features(self) -> Features:
        """The features on the host; the caller's own."""

    @abstractmethod
    def rows(self, start: int, stop: int) -> Encoded:
        """Return images ``start`` to ``stop - 1`` as a batch of their own, which other statistics can score.

        It is a view of this one's memory: of no use once this one is released, and its own release does nothing.
        """

    def release(self) -> None:  # noqa: B027  most have nothing to give back
        """Let the backend use the memory for its next batch; nothing may be asked of this one afterwards."""


class Stopwatch(Protocol):
    """Times the stages of one batch."""

    def mark(self) -> None:
        """Note that the work has come this far."""

    def laps(self) -> list[float]:
        """Milliseconds between the marks."""


class _HostStopwatch:
    def __init__(self) -> None:
        self._marks: list[float] = []

    def mark(self) -> None:
        self._marks.append(time.perf_counter())

    def laps(self) -> list[float]:
        return [(after - before) * 1e3 for before, after in zip(self._marks, self._marks[1:], strict=False)]


class _Passes(Encoded):
    """Several batches of the backend's size as one."""

    def __init__(self, backend: Backend, parts: Sequence[Encoded], counts: Sequence[int]) -> None:
        super().__init__(backend)
        self.parts = parts
        self._counts = counts

    @property
    def theta(self) -> NDArray[np.float32]:
        return np.concatenate([part.theta for part in self.parts])

    def features(self) -> Features:
        return _joined([part.features() for part in self.parts])

    def rows(self, start: int, stop: int) -> Encoded:
        found: list[tuple[Encoded, int]] = []
        for part, count in zip(self.parts, self._counts, strict=True):
            first, last = max(start, 0), min(stop, count)
            if first < last:
                found.append((part.rows(first, last), last - first))
            start, stop = start - count, stop - count
        return found[0][0] if len(found) == 1 else _Passes(self.backend, *zip(*found, strict=True))

    def release(self) -> None:
        for part in self.parts:
            part.release()


class Backend(ABC):
    """A model on a device. Every method may be called from several threads at once, `close` too.

    `close` waits for the calls that other threads have under way; a call that begins later raises DeviceError. More
    images than the device takes at once (``max_batch``) go in several passes. ``precision`` is what it computes in
    where the graph says float32.
    """

    max_batch: int | None = None
    precision: Precision = "f32"

    def __init__(self) -> None:
        self._lifecycle = Lifecycle(self._release)

    @property
    @abstractmethod
    def name(self) -> str:
        """Library, version and what it runs on, for people to read."""

    @property
    @abstractmethod
    def device(self) -> str:
        """The device that was opened, by its name in the table of devices."""

    def encode(self, images: NDArray[np.uint8]) -> Encoded:
        """Encode uint8 RGB images [B, 224, 224, 3]; the features stay on the device.

        Raises DeviceError, InputError for no images; so do `features` and `infer`.
        """
        with self._turn():
            passes = self._passes(images)
            parts = [self._encode(part) for part in passes]
        return parts[0] if len(parts) == 1 else _Passes(self, parts, [len(part) for part in passes])

    def features(self, images: NDArray[np.uint8]) -> Features:
        """Return the features of uint8 RGB images [B, 224, 224, 3] on the host. Raises DeviceError."""
        parts = []
        with self.working():  # the device is others' between the passes, but stays
            for part in self._passes(images):
                encoded = self.encode(part)
                parts.append(encoded.features())
                encoded.release()
        return _joined(parts)

    def prepare(
        self,
        statistics: Statistics | StatisticsGroups,
        scoring: Scoring | None = None,
        calibration: Calibration | None = None,
    ) -> StatisticsHandle:
        """Make a category's statistics ready, once, to be scored as ``scoring`` says (None: as RegAD does).

        ``calibration`` is the category's, or None. A handle may outlive its part: a call that uses it goes on with it.
        Raises DeviceError, CategoryError if the device cannot take them, InputError for a scoring of other groups than
        the statistics' or a calibration that it does not use.
        """
        groups = grouped(statistics)
        scoring = scoring or Scoring()
        scoring.require_groups(levels_of(groups))
        scoring.check(calibration)
        with self._turn():
            return self._prepare(groups, scoring, calibration)

    def score(self, encoded: Encoded, statistics: StatisticsHandle) -> Maps:
        """Score what this backend encoded against statistics that it prepared. Raises DeviceError."""
        with self._turn():
            if not isinstance(encoded, _Passes):
                return self._score(encoded, statistics)
            maps, scores = zip(*(self._score(part, statistics) for part in encoded.parts), strict=True)
        return Maps(np.concatenate(maps), np.concatenate(scores))

    def infer(self, images: NDArray[np.uint8], statistics: StatisticsHandle) -> Inference:
        """Encode and score uint8 RGB images [B, 224, 224, 3] in one turn on the device. Raises DeviceError."""
        with self._turn():
            done = [self._infer(part, statistics) for part in self._passes(images)]
        if len(done) == 1:
            return done[0]
        maps, scores, thetas, encode_ms, score_ms = zip(*done, strict=True)
        return Inference(
            np.concatenate(maps), np.concatenate(scores), np.concatenate(thetas), sum(encode_ms), sum(score_ms)
        )

    def _infer(self, images: NDArray[np.uint8], statistics: StatisticsHandle) -> Inference:
        watch = self._stopwatch()
        watch.mark()
        encoded = self._encode(images)
        watch.mark()
        maps, scores = self._score(encoded, statistics)
        theta = encoded.theta
        watch.mark()
        encode_ms, score_ms = watch.laps()
        if encoded.ms is not None:
            encode_ms = encoded.ms
        encoded.release()
        return Inference(maps, scores, theta, encode_ms, score_ms)

    def working(self) -> AbstractContextManager[None]:
        """Several calls as one: `close` waits for the end of the block. Raises DeviceError after `close`."""
        return self._lifecycle.working()

    def close(self) -> None:
        """Release the device's memory, once; waits for calls under way in other threads."""
        self._lifecycle.close()

    def _passes(self, images: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        if len(images) == 0:
            raise InputError("the batch holds no images; expected one or more")
        size = self.max_batch or len(images)
        return [images[start : start + size] for start in range(0, len(images), size)]

    def _turn(self) -> AbstractContextManager[None]:
        """What is around every call: the lifecycle; backends add locks, and turn their library's errors into ours."""
        return self.working()

    def _stopwatch(self) -> Stopwatch:
        """A clock for one batch; the host's, unless the device works on while the host goes ahead."""
        return _HostStopwatch()

    @abstractmethod
    def _encode(self, images: NDArray[np.uint8]) -> Encoded:
        """`encode` at most ``max_batch`` images, within a turn."""

    @abstractmethod
    def _prepare(
        self, statistics: StatisticsGroups, scoring: Scoring, calibration: Calibration | None
    ) -> StatisticsHandle:
        """`prepare`, within a turn."""

    @abstractmethod
    def _score(self, encoded: Encoded, statistics: StatisticsHandle) -> Maps:
        """`score` what one `_encode` returned, within a turn."""

    @abstractmethod
    def _release(self) -> None:
        """Drop everything that holds memory; called once, when no call is at work."""


_Made = TypeVar("_Made", bound=StatisticsHandle | Encoded)


def require_own(made: object, kind: type[_Made], what: str, backend: Backend) -> _Made:
    """Return ``made``, which ``backend`` made as a ``kind``. Raises DeviceError, naming ``what``, if another did."""
    if isinstance(made, kind) and made.backend is backend:
        return made
    raise DeviceError(f"{what} come from another backend than {backend.name}; use each with the one that made it")


def _joined(parts: Sequence[Features]) -> Features:
    if len(parts) == 1:
        return parts[0]
    return Features(*(np.concatenate(level) for level in zip(*parts, strict=True)))
