"""The native library (``runtime/native``) from Python, through its C ABI.

For comparing it with the Python runtime, and for a Python application that wants its speed. The library is looked for
at an explicit path, then ``$REGAD_LIBRARY``, then where the loader looks.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from .backends.lifecycle import Closing, Lifecycle
from .errors import ArtifactError, CategoryError, DeviceError, InputError, RegadError
from .imaging.registration import Pose
from .result import Reason, Timings

__all__ = ["NativeDetector", "NativeResult", "SelfTestReport", "find_onnxruntime", "load_library"]

PixelFormat = Literal["RGB", "BGR", "RGBA", "BGRA", "GRAY"]
ScorerChoice = Literal["auto", "native", "graph"]
_Choice = TypeVar("_Choice")
_FORMATS: dict[PixelFormat, tuple[int, int]] = {
    "RGB": (0, 3),
    "BGR": (1, 3),
    "RGBA": (2, 4),
    "BGRA": (3, 4),
    "GRAY": (4, 1),
}
_SCORERS: dict[ScorerChoice, int] = {"auto": 0, "native": 1, "graph": 2}
_MAP = 224
_LARGEST_SIDE = 65535
_BUFFER_TOO_SMALL = 9
_SONAME = "libregad.so.0.1"
_BUILD = "build it: cmake -S runtime/native -B build/native && cmake --build build/native"

_ERRORS: dict[int, type[RegadError]] = {
    1: InputError,
    2: ArtifactError,
    3: CategoryError,
    4: InputError,
    5: DeviceError,
    6: CategoryError,
    8: ArtifactError,
}


class _Options(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("device", ctypes.c_char_p),
        ("threads", ctypes.c_int32),
        ("scorer", ctypes.c_int32),
        ("onnxruntime", ctypes.c_char_p),
        ("provider_options", ctypes.c_char_p),
        ("max_batch", ctypes.c_int32),
        ("concurrency", ctypes.c_int32),
    )


class _Image(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("stride", ctypes.c_int64),
        ("format", ctypes.c_int32),
    )


class _Result(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("threshold", ctypes.c_double),
        ("score", ctypes.c_float),
        ("anomalous", ctypes.c_int32),
        ("thetas", ctypes.c_float * 18),
        ("ms_preprocess", ctypes.c_float),
        ("ms_encode", ctypes.c_float),
        ("ms_score", ctypes.c_float),
        ("ms_total", ctypes.c_float),
        ("reason", ctypes.c_int32),
        ("detail", ctypes.c_char * 100),
        ("warn", ctypes.c_int32),
        ("registered", ctypes.c_int32),
        *((name, ctypes.c_float) for name in (*Pose._fields, "match")),
        ("to_map", ctypes.c_float * 6),
    )


class _Report(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("features_error", ctypes.c_float),
        ("theta_error", ctypes.c_float),
        ("map_error", ctypes.c_float),
        ("score_error", ctypes.c_float),
    )


class SelfTestReport(NamedTuple):
    """Largest differences from the golden results, relative to the largest golden value of each output."""

    features: float
    theta: float
    anomaly_map: float
    anomaly_score: float


class NativeResult(NamedTuple):
    """The verdict on one image: that of `regad.runtime.detector.Result`.

    ``match``: how well a registered part matches; ``to_map`` float32 [2, 3] takes a point of the image to the map, both
    in pixels from the upper left corner.
    """

    score: float
    threshold: float
    anomalous: bool
    anomaly_map: NDArray[np.float32]
    thetas: NDArray[np.float32]
    timings: Timings
    reason: Reason
    detail: str
    warn: bool
    pose: Pose | None
    match: float | None
    to_map: NDArray[np.float32]


def load_library(path: str | Path | None = None) -> ctypes.CDLL:
    """Open the native library. Raises DeviceError if it cannot be found or is of another version."""
    name = str(path or os.environ.get("REGAD_LIBRARY") or _SONAME)
    try:
        library = ctypes.CDLL(name)
        version = library.regad_version()
    except (OSError, ValueError, AttributeError) as error:  # absent; a NUL in its name; another library
        raise DeviceError(
            f"the native library cannot be opened ({error})", remedy=f"{_BUILD}, and name it in REGAD_LIBRARY"
        ) from error
    if version // 1000 != 1:
        raise DeviceError(f"{name} has version {version}; this binding is for version 0.1", remedy=_BUILD)
    library.regad_last_error.restype = ctypes.c_char_p
    library.regad_version_string.restype = ctypes.c_char_p
    library.regad_status_string.restype = ctypes.c_char_p
    library.regad_detector_destroy.restype = None
    library.regad_detector_destroy.argtypes = (ctypes.c_void_p,)
    library.regad_load_category.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    library.regad_set_threshold.argtypes = (ctypes.c_void_p, ctypes.c_double)
    library.regad_predict_batch.argtypes = (
        ctypes.c_void_p,
        ctypes.POINTER(_Image),
        ctypes.c_size_t,
        ctypes.POINTER(_Result),
        ctypes.c_void_p,
        ctypes.c_size_t,
    )
    library.regad_self_test.argtypes = (ctypes.c_void_p, ctypes.POINTER(_Report))
    library.regad_describe.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_size_t))
    return library


def find_onnxruntime() -> Path | None:
    """Path of the ONNX Runtime library inside the installed wheel, or None; nothing is imported."""
    found = importlib.util.find_spec("onnxruntime")
    folders = found.submodule_search_locations if found is not None else None
    for folder in folders or []:
        libraries = sorted((Path(folder) / "capi").glob("libonnxruntime.so*"))
        if libraries:
            return libraries[0]
    return None


class NativeDetector(Closing):
    """The C++ detector. `predict` may be called from several threads, also while a category is loaded.

    ``threads`` None: all cores. ``onnxruntime``: path of libonnxruntime.so; None takes ``$REGAD_ONNXRUNTIME``, then the
    wheel's. Raises ArtifactError, DeviceError, InputError. What is called after `close` raises DeviceError; a detector
    that is forgotten closes itself.
    """

    def __init__(
        self,
        artifact: str | Path,
        device: str = "cpu",
        threads: int | None = None,
        scorer: ScorerChoice = "auto",
        onnxruntime: str | Path | None = None,
        library: str | Path | None = None,
        max_batch: int = 8,
    ) -> None:
        """Open an artifact folder."""
        self._library = library_ = load_library(library)
        options = _Options()
        self._check(library_.regad_options_init(ctypes.byref(options), ctypes.c_size_t(ctypes.sizeof(options))))
        if onnxruntime is None and not os.environ.get("REGAD_ONNXRUNTIME"):
            onnxruntime = find_onnxruntime()
        options.device = _text("device", device)
        options.threads = _whole("threads", threads or 0, 0, 256)
        options.scorer = _choice("scorer", scorer, _SCORERS)
        options.onnxruntime = None if onnxruntime is None else _text("onnxruntime", onnxruntime)
        options.max_batch = _whole("max_batch", max_batch, 1, 64)
        self._handle = ctypes.c_void_p()
        create = library_.regad_detector_create
        self._check(create(_text("artifact", artifact), ctypes.byref(options), ctypes.byref(self._handle)))
        self._lifecycle = Lifecycle(partial(library_.regad_detector_destroy, self._handle))
        weakref.finalize(self, self._lifecycle.close)

    def close(self) -> None:
        """Wait for the calls under way, then destroy the detector. Closing twice does nothing."""
        self._lifecycle.close()

    def load_category(self, path: str | Path) -> None:
        """Put a category file in force. Raises CategoryError; the category before it then stays."""
        raw = _text("category", path)
        with self._lifecycle.working():
            self._check(self._library.regad_load_category(self._handle, raw))

    def set_threshold(self, value: float) -> None:
        """Replace the threshold. Raises InputError unless it is finite and above 0."""
        with self._lifecycle.working():
            self._check(self._library.regad_set_threshold(self._handle, value))

    def predict(self, image: NDArray[np.uint8], pixel_format: PixelFormat | None = None) -> NativeResult:
        """Judge one image: uint8 [H, W, C] in ``pixel_format``, or grey [H, W]; rows may be strided.

        ``pixel_format`` None: RGB, RGBA or grey by the number of channels. Raises InputError, CategoryError.
        """
        return self.predict_batch([image], pixel_format)[0]

    def predict_batch(
        self, images: Sequence[NDArray[np.uint8]], pixel_format: PixelFormat | None = None
    ) -> list[NativeResult]:
        """Judge several images; they may differ in size. See `predict`."""
        kept = tuple(images)  # the library reads their memory: they live until it is done
        views = (_Image * len(kept))(*(_view(image, pixel_format) for image in kept))
        results = (_Result * len(kept))(*(_Result(struct_size=ctypes.sizeof(_Result)) for _ in kept))
        maps = np.empty((len(kept), _MAP, _MAP), np.float32)
        judge = self._library.regad_predict_batch
        with self._lifecycle.working():
            self._check(judge(self._handle, views, len(kept), results, maps.ctypes.data, maps.size))
        return [_to_result(result, heat) for result, heat in zip(results, maps, strict=True)]

    def self_test(self) -> SelfTestReport:
        """Run the artifact's golden images. Raises ArtifactError if this machine does not reproduce them."""
        report = _Report(struct_size=ctypes.sizeof(_Report))
        with self._lifecycle.working():
            self._check(self._library.regad_self_test(self._handle, ctypes.byref(report)))
        return SelfTestReport(report.features_error, report.theta_error, report.map_error, report.score_error)

    def describe(self) -> dict[str, Any]:
        """What is loaded, as plain data."""
        length = ctypes.c_size_t(1 << 12)
        status = _BUFFER_TOO_SMALL
        with self._lifecycle.working():
            while status == _BUFFER_TOO_SMALL:  # `length` is then what it needs
                text = ctypes.create_string_buffer(length.value)
                status = self._library.regad_describe(self._handle, text, ctypes.byref(length))
            self._check(status)
        description: dict[str, Any] = json.loads(text.value)
        return description

    def _check(self, status: int) -> None:
        if status != 0:
            message = self._library.regad_last_error().decode(errors="replace")
            raise _ERRORS.get(status, RegadError)(message)


def _text(what: str, value: str | Path) -> bytes:
    """A path or an option as the C library takes it. Raises InputError for what no C string or file name can hold."""
    try:
        raw = os.fsencode(value)
    except UnicodeEncodeError:
        raw = b"\0"
    if b"\0" in raw:
        raise InputError(f"{what} is {str(value)!r}; expected a name without NUL and lone surrogates")
    return raw


def _whole(what: str, value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise InputError(f"{what} is {value}; expected {least} to {most}")
    return value


def _choice(what: str, value: str, table: Mapping[Any, _Choice]) -> _Choice:
    if value not in table:
        raise InputError(f"{what} is {value!r}; expected one of {', '.join(table)}")
    return table[value]


def _view(image: NDArray[np.uint8], pixel_format: PixelFormat | None) -> _Image:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim not in (2, 3) or image.size == 0:
        what = f"{image.dtype} of shape {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"image is {what}; expected uint8 [H, W] or [H, W, 3 or 4]")
    height, width, channels = *image.shape[:2], image.shape[2] if image.ndim == 3 else 1
    if pixel_format is None:
        pixel_format = {1: "GRAY", 3: "RGB", 4: "RGBA"}.get(channels)  # type: ignore[assignment]
        if pixel_format is None:
            raise InputError(f"image has {channels} channels; expected 1, 3 or 4")
    code, wanted = _choice("pixel_format", pixel_format, _FORMATS)
    if max(height, width) > _LARGEST_SIDE:
        raise InputError(f"image is {width}x{height} pixels; expected 1 to {_LARGEST_SIDE} a side")
    # The stride of a dimension of length 1 means nothing; rows that share memory (broadcast) are no rows of an image.
    steps = (width * channels, channels, 1)
    inner = zip(image.shape[1:], image.strides[1:], steps[1:], strict=False)
    packed = all(length == 1 or stride == step for length, stride, step in inner)
    if channels != wanted or not packed or (height > 1 and abs(image.strides[0]) < steps[0]):
        raise InputError(
            f"image of shape {list(image.shape)} is not {pixel_format} with interleaved pixels",
            remedy="convert it with numpy.ascontiguousarray",
        )
    return _Image(
        struct_size=ctypes.sizeof(_Image),
        data=image.ctypes.data,
        width=width,
        height=height,
        stride=image.strides[0] if height > 1 else 0,
        format=code,
    )


def _to_result(raw: _Result, anomaly_map: NDArray[np.float32]) -> NativeResult:
    timings = Timings(raw.ms_preprocess, raw.ms_encode, raw.ms_score, raw.ms_total)
    thetas = np.array(raw.thetas, np.float32).reshape(3, 2, 3)
    reason, detail = get_args(Reason)[raw.reason], raw.detail.decode()
    anomalous, warn = bool(raw.anomalous), bool(raw.warn)
    pose = Pose(raw.angle, raw.dx, raw.dy, raw.scale) if raw.registered else None
    match = raw.match if raw.registered else None
    to_map = np.array(raw.to_map, np.float32).reshape(2, 3)
    return NativeResult(
        raw.score, raw.threshold, anomalous, anomaly_map, thetas, timings, reason, detail, warn, pose, match, to_map
    )
