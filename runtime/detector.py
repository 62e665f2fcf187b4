"""The detector: an artifact, a device and a category. What a line application embeds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backends.base import Backend, StatisticsHandle
from .backends.table import open_backend
from .errors import CategoryError, InputError
from .formats.artifact import Artifact
from .formats.category import Category, Threshold, load_category, save_category
from .formats.memory import trim
from .formats.spec import InputSpec
from .imaging.preprocess import preprocess

__all__ = ["Detector", "Result", "Timings"]


@dataclass(frozen=True)
class Timings:
    """Wall-clock milliseconds for one image; in a batch the batch's time divided by its length."""

    preprocess: float
    encode: float
    score: float
    total: float


@dataclass(frozen=True, eq=False)
class Result:
    """The verdict on one image.

    ``score`` is the raw maximum of ``anomaly_map`` (float32 [224, 224], Mahalanobis distances in the frame of the
    encoder's input); ``anomalous`` is ``score > threshold``. ``thetas`` float32 [3, 2, 3] are the STN transforms.
    """

    score: float
    threshold: float
    anomalous: bool
    anomaly_map: NDArray[np.float32]
    thetas: NDArray[np.float32]
    timings: Timings
    spec: InputSpec


@dataclass(frozen=True)
class _Loaded:
    """A category with its statistics on the device; swapped as one reference, so a running predict keeps its own."""

    category: Category
    statistics: StatisticsHandle


class Detector:
    """Judges images of one part. `predict` may be called from several threads, also while a category is loaded.

    Example::

        detector = Detector.load("model.regad")
        detector.load_category("part.safetensors")
        result = detector.predict(frame)  # uint8 RGB [H, W, 3]
        if result.anomalous:
            reject()
    """

    def __init__(self, artifact: Artifact, backend: Backend, spec: InputSpec | None = None) -> None:
        """Use `load`; this constructor is for a backend of one's own."""
        self.artifact = artifact
        self.backend = backend
        self._spec = spec or artifact.spec
        self._loaded: _Loaded | None = None

    @classmethod
    def load(
        cls,
        path: str | Path,
        device: str = "cpu",
        threads: int | None = None,
        spec: InputSpec | None = None,
    ) -> Detector:
        """Open an artifact folder on ``device`` (see `regad.runtime.backends.table.Device`).

        ``spec`` replaces the artifact's preprocessing for teaching (region of interest, fit, filter). Raises
        ArtifactError and DeviceError.
        """
        artifact = Artifact.open(path)
        if spec is not None:
            _check_spec(spec, artifact.spec)
        return cls(artifact, open_backend(artifact, device, threads), spec)

    def __enter__(self) -> Detector:
        """Return the detector; `close` is called at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the backend."""
        self.close()

    @property
    def device(self) -> str:
        """The device in use and the library behind it."""
        return f"{self.backend.device} ({self.backend.name})"

    @property
    def spec(self) -> InputSpec:
        """The preprocessing in force: the category's once there is one."""
        return self._loaded.category.spec if self._loaded else self._spec

    @property
    def category(self) -> Category | None:
        """The category in force, or None."""
        return self._loaded.category if self._loaded else None

    def fit(self, images: Sequence[NDArray[Any]], target_frr: float = 0.01) -> Category:
        """Teach a part from k good images (uint8 RGB [H, W, 3] or grey [H, W], k >= 2) and use it from now on.

        Raises InputError for fewer than two images or an unusable one.
        """
        from regad.calib.teach import teach  # the one place where the runtime reaches up, and only when asked to

        category = teach(self.backend, self.artifact, images, self._spec, target_frr=target_frr)
        self.use(category)
        return category

    def use(self, category: Category) -> None:
        """Put a category in force. Raises CategoryError if it was taught on another artifact."""
        if category.artifact != self.artifact.hash:
            raise CategoryError(
                f"the category was taught on artifact {category.artifact[:12]}, but this one is "
                f"{self.artifact.hash[:12]}; teach the part on this one"
            )
        _check_spec(category.spec, self.artifact.spec)
        self._loaded = _Loaded(category, self.backend.prepare(category.statistics))
        trim()

    def load_category(self, path: str | Path) -> Category:
        """Read a category file and put it in force. Raises CategoryError; the category before it then stays."""
        category = load_category(path, self.artifact.hash)
        self.use(category)
        return category

    def save_category(self, path: str | Path) -> None:
        """Write the category in force to a file, atomically. Raises CategoryError if there is none, OutputError."""
        save_category(self._current().category, path)

    def set_threshold(self, value: float) -> None:
        """Replace the threshold by one of your own. Raises InputError unless it is finite and above 0."""
        loaded = self._current()
        threshold = Threshold(float(value), "manual", note="set by hand")
        self._loaded = _Loaded(replace(loaded.category, threshold=threshold), loaded.statistics)

    def predict(self, image: NDArray[Any]) -> Result:
        """Judge one image: uint8 RGB [H, W, 3] or grey [H, W]; of uint16 the high byte is taken.

        Raises InputError for another array and CategoryError if no category is in force.
        """
        return self.predict_batch([image])[0]

    def predict_batch(self, images: Sequence[NDArray[Any]]) -> list[Result]:
        """Judge several images in one pass; they may differ in size. See `predict`."""
        loaded = self._current()
        if len(images) == 0:
            return []
        start = time.perf_counter()
        spec, threshold = loaded.category.spec, loaded.category.threshold.value
        batch = np.stack([preprocess(image, spec) for image in images])
        ready = time.perf_counter()
        done = self.backend.infer(batch, loaded.statistics)
        if not np.isfinite(done.anomaly_score).all():
            raise InputError("the anomaly score is not finite; the image is not judged: run regad-doctor --model")
        end = time.perf_counter()
        share = 1.0 / len(images)
        timings = Timings(
            (ready - start) * 1e3 * share,
            done.encode_ms * share,
            done.score_ms * share,
            (end - start) * 1e3 * share,
        )
        return [
            Result(float(score), threshold, bool(score > threshold), heat, theta, timings, spec)
            for score, heat, theta in zip(done.anomaly_score, done.anomaly_map, done.theta, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        """What is loaded, as plain data: artifact, device, dtype, category, threshold."""
        category = self.category
        return {
            "artifact": {"path": str(self.artifact.path), "hash": self.artifact.hash, "dtype": self.artifact.dtype},
            "device": self.device,
            "input": self.spec.to_json(),
            "category": None
            if category is None
            else {
                "hash": category.hash,
                "shot": category.shot,
                "encoding": category.statistics.encoding,
                "threshold": category.threshold.value,
                "note": category.threshold.note,
            },
        }

    def close(self) -> None:
        """Release the device. The detector cannot be used afterwards."""
        self._loaded = None
        self.backend.close()

    def _current(self) -> _Loaded:
        loaded = self._loaded
        if loaded is None:
            raise CategoryError("no category is loaded; call fit(images) or load_category(path) first")
        return loaded


def _check_spec(spec: InputSpec, artifact: InputSpec) -> None:
    if (spec.mean, spec.std) != (artifact.mean, artifact.std):
        raise CategoryError(
            f"the category's mean/std {spec.mean}/{spec.std} are not the artifact's {artifact.mean}/{artifact.std}; "
            "teach the part on this artifact: regad-calib"
        )
