"""The native library's kernels behind ctypes: loading them, the threads they share, and the resampler.

The library is built with the package where there is a C++ compiler; `available` says whether it is there. The scorer
that uses it is `regad.runtime.scoring.compiled`, the registration `regad.runtime.imaging.finder`.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import DeviceError
from .formats.spec import SIZE, Resample

__all__ = [
    "BUILD",
    "available",
    "check",
    "fill",
    "kernels",
    "library",
    "presence",
    "resample",
    "shared_pool",
    "usable_cores",
]

_CHECKOUT = Path(__file__).resolve().parents[1]
BUILD = (
    f"apt-get install g++, then: cd {_CHECKOUT} && python setup.py build_ext --inplace"
    if (_CHECKOUT / "setup.py").is_file()
    else "apt-get install g++, then in a checkout: pip install --force-reinstall --no-deps ."
)
"""What to do where the library is missing or of another version."""

_VERSION = 10
_OUT_OF_MEMORY = 1
_FILTERS = {"box": 0, "lanczos": 1, "bilinear": 2}


@cache
def _library() -> ctypes.CDLL | None:
    """The library beside this module, or None where it was not built. Raises DeviceError if it cannot be used."""
    found = sorted(Path(__file__).parent.glob("_kernels*.so"))
    if not found:
        return None
    try:
        loaded = ctypes.CDLL(str(found[0]))
        version = int(loaded.regad_embedded_version())
    except (OSError, AttributeError) as error:
        raise DeviceError(f"the compiled kernels {found[0]} cannot be loaded ({error})", remedy=BUILD) from error
    if version != _VERSION:
        text = f"the compiled kernels {found[0]} have version {version}, expected {_VERSION}"
        raise DeviceError(text, remedy=BUILD)
    loaded.regad_embedded_kernels.restype = ctypes.c_char_p
    loaded.regad_embedded_pool.argtypes = (ctypes.c_size_t, ctypes.c_void_p)
    loaded.regad_embedded_scorer_free.restype = None
    loaded.regad_embedded_scorer_free.argtypes = (ctypes.c_void_p,)
    loaded.regad_embedded_score.argtypes = (
        *(ctypes.c_void_p,) * 4,
        ctypes.c_size_t,
        *(ctypes.c_void_p,) * 3,
    )
    loaded.regad_embedded_resample.argtypes = (
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int32,
        ctypes.c_int32,
        ctypes.c_int64,
        ctypes.c_void_p,
        ctypes.c_int32,
        ctypes.c_void_p,
    )
    loaded.regad_embedded_presence.restype = None
    loaded.regad_embedded_presence.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    loaded.regad_embedded_template.argtypes = (ctypes.c_void_p,) * 5
    loaded.regad_embedded_template_free.restype = None
    loaded.regad_embedded_template_free.argtypes = (ctypes.c_void_p,)
    loaded.regad_embedded_fill.argtypes = (ctypes.c_void_p,) * 3
    loaded.regad_embedded_register.argtypes = (
        *(ctypes.c_void_p,) * 3,
        ctypes.c_int32,
        ctypes.c_int32,
        ctypes.c_int64,
        *(ctypes.c_void_p,) * 2,
        ctypes.c_int32,
        *(ctypes.c_void_p,) * 3,
    )
    return loaded


def available() -> bool:
    """Whether the library was built with this installation. Raises DeviceError if it is there but cannot be used."""
    return _library() is not None


def kernels() -> str:
    """The instruction set that the library uses on this processor, like ``avx2``. Raises DeviceError without it."""
    name: bytes = library().regad_embedded_kernels()
    return name.decode()


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def library() -> ctypes.CDLL:
    """The library, its functions declared. Raises DeviceError if it is missing or cannot be used."""
    found = _library()
    if found is None:
        raise DeviceError("the compiled kernels were not built with this installation", remedy=BUILD)
    return found


def check(status: int, what: str, less: str) -> None:
    """Raise DeviceError unless ``status``, which ``what`` of the library returned, is 0.

    ``less`` is what to do where memory is short.
    """
    if status == _OUT_OF_MEMORY:
        raise DeviceError(f"the compiled {what} ran out of memory", remedy=f"free some, or {less}", code="memory")
    if status != 0:
        raise DeviceError(f"the compiled {what} does not take what it was given (status {status})", remedy=BUILD)


@cache
def shared_pool(threads: int) -> int:
    """Threads that all scorers of a process share; they sleep between frames and end with the process.

    Raises DeviceError without the library, or if there cannot be so many.
    """
    pool = ctypes.c_void_p()
    if library().regad_embedded_pool(threads, ctypes.byref(pool)) != 0 or pool.value is None:
        raise DeviceError(f"{threads} threads cannot be started; use fewer with --threads")
    return pool.value


def resample(
    rgb: NDArray[np.uint8],
    box: tuple[int, int, int, int],
    target: tuple[int, int, int, int],
    filter_: Resample,
    threads: int | None = 1,
) -> NDArray[np.uint8]:
    """Return uint8 RGB [224, 224, 3]: ``box`` of ``rgb`` (uint8 [H, W, 3]) resampled into ``target``, 0 around it.

    ``box`` is (left, top, right, bottom) inside the image, ``target`` (left, top, width, height) inside the result.
    Byte for byte what Pillow makes of it, in any number of ``threads`` (None: all cores). Raises DeviceError without
    the library, or when memory is short.
    """
    if rgb.strides[1:] != (3, 1):
        rgb = np.ascontiguousarray(rgb)
    spot = np.array([*box, *target], np.int32)
    out = np.empty((SIZE, SIZE, 3), np.uint8)
    height, width, _ = rgb.shape
    status = library().regad_embedded_resample(
        shared_pool(threads or usable_cores()),
        rgb.ctypes.data,
        width,
        height,
        rgb.strides[0],
        spot.ctypes.data,
        _FILTERS[filter_],
        out.ctypes.data,
    )
    check(status, "resampler", "use smaller images")
    return out


def fill(image: NDArray[np.uint8], seen: NDArray[np.float32], reference: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return what `regad.runtime.imaging.filling` makes of a registered input, uint8 RGB [224, 224, 3].

    ``seen``: float32 [56, 56]. Raises DeviceError without the library, or when memory is short.
    """
    out, parts, known = image.copy(), np.ascontiguousarray(seen), np.ascontiguousarray(reference)
    check(library().regad_embedded_fill(known.ctypes.data, parts.ctypes.data, out.ctypes.data), "filling", "use less")
    return out


def presence(image: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    """Return what `regad.runtime.imaging.presence` measures of an encoder's input, uint8 RGB [224, 224, 3].

    Raises DeviceError without the library.
    """
    image = np.ascontiguousarray(image)
    measures = np.empty(4, np.float64)
    library().regad_embedded_presence(image.ctypes.data, measures.ctypes.data)
    brightness, contrast, detail, structure = measures.tolist()
    return brightness, contrast, detail, structure
