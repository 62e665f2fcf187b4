"""The compiled registration behind ctypes; `regad.runtime.imaging.registration` says what it finds."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..formats.spec import GRID, SIZE
from ..kernels import check, library, shared_pool, usable_cores

__all__ = ["CompiledTemplate", "FoundPart"]


class FoundPart(NamedTuple):
    """What the compiled registration returns.

    ``image``: uint8 RGB [224, 224, 3]; ``seen``: float32 [56, 56]; ``pose``: a, b, tx, ty; ``quality`` and ``rival``.
    """

    image: NDArray[np.uint8]
    seen: NDArray[np.float32]
    pose: tuple[float, float, float, float]
    quality: float
    rival: float


class CompiledTemplate:
    """A part's template, prepared for the compiled registration. Immutable, usable from several threads at once."""

    def __init__(
        self,
        grey: NDArray[np.float32],
        weights: tuple[float, float, float],
        region: tuple[float, float, float, float],
        extent: tuple[float, float],
        centre: tuple[float, float],
    ) -> None:
        """Take what `regad.runtime.imaging.registration.Template` describes. Raises DeviceError without the library."""
        self._library = library()
        geometry = np.array([*region, *extent, *centre], np.float64)
        mix, cells = np.array(weights, np.float32), np.ascontiguousarray(grey, np.float32)
        handle = ctypes.c_void_p()
        status = self._library.regad_embedded_template(
            shared_pool(usable_cores()), cells.ctypes.data, mix.ctypes.data, geometry.ctypes.data, ctypes.byref(handle)
        )
        check(status, "template of a part", "load fewer categories")
        self._handle = handle.value

    def __del__(self) -> None:
        """Free what the library holds."""
        if getattr(self, "_handle", None) is not None:
            self._library.regad_embedded_template_free(self._handle)

    def register(
        self,
        rgb: NDArray[np.uint8],
        box: tuple[int, int, int, int],
        spot: tuple[int, int, int, int],
        stretched: bool,
        threads: int | None = None,
    ) -> FoundPart:
        """Find the part in uint8 RGB [H, W, 3] and sample the input there.

        ``box``: the region of interest (left, top, right, bottom); ``spot``: where the template's lands in the input
        (left, top, width, height); ``threads`` None: all cores. Raises DeviceError when memory is short.
        """
        if rgb.strides[1:] != (3, 1):
            rgb = np.ascontiguousarray(rgb)
        corners, target, result = np.array(box, np.int32), np.array(spot, np.int32), np.empty(6, np.float64)
        image, seen = np.empty((SIZE, SIZE, 3), np.uint8), np.empty((GRID, GRID), np.float32)
        height, width, _ = rgb.shape
        status = self._library.regad_embedded_register(
            shared_pool(threads or usable_cores()),
            self._handle,
            rgb.ctypes.data,
            width,
            height,
            rgb.strides[0],
            corners.ctypes.data,
            target.ctypes.data,
            int(stretched),
            result.ctypes.data,
            image.ctypes.data,
            seen.ctypes.data,
        )
        check(status, "registration", "use smaller images")
        a, b, tx, ty, quality, rival = result.tolist()
        return FoundPart(image, seen, (a, b, tx, ty), quality, rival)
