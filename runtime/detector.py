"""The detector: a model and the part in force. What a line application embeds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backends.base import Backend, Precision
from .backends.lifecycle import Closing, closed_error
from .errors import CategoryError, InputError
from .formats.artifact import Artifact
from .formats.category import Category, Threshold, load_category, save_category
from .formats.registration import Register
from .formats.spec import SIZE, InputSpec
from .imaging.arrival import Arrival, Prepared, admit, admitted, prepare
from .judging import judge, ready
from .model import Model, Part, check_spec
from .result import Result, Timings

__all__ = ["Detector", "Result", "Timings"]

_REGISTERS = (
    "the category registers the part, which takes the camera's frames; an input alone cannot be judged by it: "
    "keep what prepare gives, and judge that by predict_prepared"
)


class Detector(Closing):
    """Judges images of one part. `predict` may be called from several threads, also while a category is loaded.

    `Detector.load` opens a model of its own and closes it; ``Detector(model)`` shares a model that others use too, and
    leaves it open. A part change, a threshold or `close` never touches a call under way: it ends as it began.
    What is called after `close` raises DeviceError, but for `describe` and the properties; closing twice does nothing.

    Example::

        detector = Detector.load("model.regad")
        detector.load_category("part.safetensors")
        result = detector.predict(frame)  # uint8 RGB [H, W, 3]
        if result.anomalous:
            reject()
    """

    def __init__(self, model: Model, spec: InputSpec | None = None, *, owns_model: bool = False) -> None:
        """Judge on ``model``; with ``owns_model`` `close` closes it too.

        ``spec`` replaces the model's preprocessing for teaching. Raises CategoryError if its mean or standard deviation
        are not the model's.
        """
        if spec is not None:
            check_spec(spec, model.info.spec)
        self.model = model
        self._teaching_spec = spec or model.info.spec
        self._owns_model = owns_model
        self._lock = threading.Lock()  # held for changes; a judging call reads the part once, without it
        self._part: Part | None = None
        self._closed = False

    @classmethod
    def load(
        cls,
        path: str | Path,
        device: str = "cpu",
        threads: int | None = None,
        spec: InputSpec | None = None,
        precision: Precision = "f32",
        force: bool = False,
    ) -> Detector:
        """Open an artifact folder on ``device`` (`regad.runtime.backends.table.DEVICE_CHOICES`).

        ``spec`` replaces the artifact's preprocessing for teaching (region of interest, fit, filter). ``precision`` and
        ``force``: see `regad.runtime.backends.table.open_backend`. Raises ArtifactError and DeviceError.
        """
        model = Model.load(path, device, threads, precision, force)
        try:
            return cls(model, spec, owns_model=True)
        except CategoryError:
            model.close()
            raise

    @property
    def backend(self) -> Backend:
        """The model's backend."""
        return self.model.backend

    @property
    def artifact(self) -> Artifact:
        """The model's artifact. Raises ArtifactError where there is none: the model is a checkpoint in training."""
        return self.model.artifact

    @property
    def device(self) -> str:
        """The device in use and the library behind it."""
        return self.model.device

    @property
    def spec(self) -> InputSpec:
        """The preprocessing in force: the category's once there is one, else that for teaching."""
        part = self._part
        return part.category.spec if part else self._teaching_spec

    @property
    def teaching_spec(self) -> InputSpec:
        """The preprocessing that a part is taught with: as given at the start, else the model's; never a part's."""
        return self._teaching_spec

    @property
    def category(self) -> Category | None:
        """The category in force, or None."""
        part = self._part
        return part.category if part else None

    def fit(
        self,
        images: Sequence[NDArray[Any]],
        target_frr: float | None = None,
        *,
        spec: InputSpec | None = None,
        registration: Register = "auto",
    ) -> Category:
        """Teach a part from k good images (uint8 RGB [H, W, 3] or grey [H, W], k >= 2) and use it from now on.

        About ``target_frr`` of good parts will be rejected, by default 0.05, or 0.01 if the model has no prior. It is
        taught with ``spec``, by default `teaching_spec`, whatever the part before it was taught with.
        ``registration`` ``auto``: parts that lie anywhere are laid on the first image where that helps. What is odd
        about the images is in the category's ``notes``. Raises InputError for fewer than two images, an unusable one,
        or two that are the same picture.
        """
        from regad.calib.teach import teach  # the one place where the runtime reaches up, and only when asked to

        with self._working():
            spec = spec or self._teaching_spec
            category = teach(self.model, images, spec, target_frr=target_frr, registration=registration)
            self._put_in_force(category)
        return category

    def use(self, category: Category) -> None:
        """Put a category in force. Raises CategoryError if it was taught on another artifact; the one before stays."""
        with self._working():
            self._put_in_force(category)

    def _put_in_force(self, category: Category) -> None:
        """`use` within a call under way: that ends as it began also where the detector was closed meanwhile."""
        part = self.model.part(category)
        with self._lock:
            if not self._closed:
                self._part = part

    def load_category(self, path: str | Path) -> Category:
        """Read a category file and put it in force. Raises CategoryError; the category before it then stays."""
        with self._working():
            category = load_category(path, self.model.info.hash)
            self._put_in_force(category)
        return category

    def save_category(self, path: str | Path) -> None:
        """Write the category in force to a file, atomically. Raises CategoryError if there is none, OutputError."""
        save_category(self._current().category, path)

    def set_threshold(self, value: float) -> None:
        """Replace the threshold of the part in force by one of your own.

        A warn limit stays if it is below. Raises InputError unless the value is finite and above 0. A part that another
        thread puts in force is never undone.
        """
        self._change(lambda threshold: threshold.by_hand(value))

    def set_warn_threshold(self, value: float | None) -> None:
        """Replace the warn limit of the part in force, or take it away (None).

        Raises InputError unless it is above 0 and below the threshold.
        """
        self._change(lambda threshold: threshold.with_warn(value))

    def _change(self, change: Callable[[Threshold], Threshold]) -> None:
        with self._lock:
            part = self._current()
            threshold = change(part.category.threshold)
            self._part = replace(part, category=replace(part.category, threshold=threshold))

    def predict(self, image: NDArray[Any]) -> Result:
        """Judge one image: uint8 RGB [H, W, 3] or grey [H, W]; of uint16 the high byte is taken.

        Raises InputError for another array and CategoryError if no category is in force.
        """
        return self.predict_batch([image])[0]

    def predict_batch(self, images: Sequence[NDArray[Any]]) -> list[Result]:
        """Judge several images in one pass; they may differ in size. See `predict`."""
        with self._working():
            part, start = self._current(), time.perf_counter()
            return self._judge(part, [ready(part, image) for image in images], start)

    def predict_inputs(self, inputs: NDArray[np.uint8]) -> list[Result]:
        """Judge what `preprocess` made, uint8 RGB [N, 224, 224, 3]: stored inputs, judged again.

        A single input gives, in every bit, what `predict` gave for its image on the same machine, backend and number
        of threads; in a batch the last digits differ. Raises InputError for another array and CategoryError if no
        category is in force, or one that registers the part: it is looked for in the camera's frame.
        """
        if not isinstance(inputs, np.ndarray) or inputs.dtype != np.uint8 or inputs.shape[1:] != (SIZE, SIZE, 3):
            found = f"{inputs.dtype} {list(inputs.shape)}" if isinstance(inputs, np.ndarray) else type(inputs).__name__
            raise InputError(f"inputs are {found}; expected uint8 [N, {SIZE}, {SIZE}, 3], as preprocess makes them")
        with self._working():
            part, start = self._current(), time.perf_counter()
            if part.category.registration is not None:
                raise CategoryError(_REGISTERS)
            return self._judge(part, [admit(image, part.category.limits) for image in inputs], start)

    def prepare(self, image: NDArray[Any]) -> Prepared:
        """Make a frame ready for the category in force (`predict` says which arrays), also one that shows no part.

        What comes of it can be kept, and judged now and later. Raises InputError and CategoryError as `predict`.
        """
        with self._working():
            part = self._current()
            category = part.category
            return prepare(image, category.spec, category.registration, part.template, self.model.threads)

    def predict_prepared(self, frames: Sequence[Prepared]) -> list[Result]:
        """Judge what `prepare` made with this category, or one of the same `Category.preparation`.

        A single one gives, in every bit, what `predict` gave for its frame on the same machine, backend and number of
        threads. Raises CategoryError if no category is in force, or for a frame that was registered where the category
        does not register, or the other way round.
        """
        with self._working():
            part, start = self._current(), time.perf_counter()
            category = part.category
            for frame in frames:
                if (frame.located is None) != (category.registration is None):
                    raise CategoryError(
                        "the frame was prepared for a category that registers the part, and the loaded one does not"
                        if category.registration is None
                        else "the frame was prepared without registration, and the loaded category registers the part",
                        remedy="prepare the frame again, with this category: prepare(image)",
                    )
            arrivals = [admitted(frame, category.limits, category.registration) for frame in frames]
            return self._judge(part, arrivals, start)

    def _judge(self, part: Part, arrivals: Sequence[Arrival], start: float) -> list[Result]:
        """The verdicts on frames made ready, any number of them; their work began at ``start``, seconds."""
        results = []
        for verdict in judge(self.model.backend, [(part, arrival) for arrival in arrivals], start):
            if isinstance(verdict, InputError):
                raise verdict
            results.append(verdict)
        return results

    def describe(self) -> dict[str, Any]:
        """What is loaded, as plain data: artifact, device, dtype, category, threshold. Answers after `close` too."""
        part, info = self._part, self.model.info
        category = part.category if part else None
        return {
            "artifact": {"path": str(info.path), "hash": info.hash, "dtype": info.dtype},
            "device": self.device,
            "input": (category.spec if category else self._teaching_spec).to_json(),
            "category": None
            if category is None
            else {
                "hash": category.hash,
                "shot": category.shot,
                "encoding": category.encoding,
                "threshold": category.threshold.value,
                "warn_threshold": category.threshold.warn,
                "note": category.threshold.note,
            },
        }

    def close(self) -> None:
        """Let go of the part, and of the model if it is this detector's own: see `Model.close`."""
        with self._lock:
            self._closed = True
            self._part = None
        if self._owns_model:
            self.model.close()

    @contextmanager
    def _working(self) -> Iterator[None]:
        """A call under way, which a `close` of the model waits for. Raises DeviceError after `close`."""
        with self.model.working():
            self._check_open()
            yield

    def _check_open(self) -> None:
        if self._closed:
            raise closed_error()

    def _current(self) -> Part:
        part = self._part
        if part is None:
            self._check_open()
            raise CategoryError("no category is loaded; call fit(images) or load_category(path) first")
        return part
