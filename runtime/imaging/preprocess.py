"""From a source image to the encoder's input, and from the anomaly map back to the source image.

Training, teaching and running all call `preprocess`; the resampler is Pillow's, whose 8-bit arithmetic the
native library repeats bit for bit: its compiled form is used where this installation has it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .. import kernels
from ..errors import InputError
from ..formats.spec import SIZE, InputSpec, Resample

__all__ = ["as_rgb8", "from_map", "preprocess", "preprocess_mask"]

_RESAMPLE = {
    "box": Image.Resampling.BOX,
    "lanczos": Image.Resampling.LANCZOS,
    "bilinear": Image.Resampling.BILINEAR,
}
_SHARED_PIXELS = 1 << 19
"""From here on a region takes longer than it may take to wake the other cores."""
_WANTED = "expected uint8 or uint16 of shape [height, width] (grey) or [height, width, 3] (RGB)"


class Placement(NamedTuple):
    """Where a part of the source image (``box``: left, top, right, bottom) lands in the square input."""

    box: tuple[int, int, int, int]
    left: int
    top: int
    width: int
    height: int


def as_rgb8(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return ``image`` as uint8 RGB [H, W, 3]: grey is repeated, of uint16 the high byte is taken.

    Raises InputError for another shape or dtype; floats are refused because their range would be a guess.
    """
    if not isinstance(image, np.ndarray):
        raise InputError(f"image is a {type(image).__name__}; {_WANTED} as a NumPy array")
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    channels_fit = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not channels_fit or image.size == 0:
        raise InputError(f"image is {image.dtype} of shape {list(image.shape)}; {_WANTED}")
    if image.ndim == 2:
        return np.repeat(image[:, :, None], 3, axis=2)
    return image


def place(width: int, height: int, spec: InputSpec) -> Placement:
    """Return where a source image lands in the input. Raises InputError if the region of interest lies outside."""
    x, y, w, h = spec.roi or (0, 0, width, height)
    if x + w > width or y + h > height:
        raise InputError(
            f"the region of interest {x},{y},{w},{h} (x,y,width,height) does not fit the image of "
            f"{width}x{height} pixels; choose one inside it"
        )
    if spec.fit == "crop":
        side = min(w, h)
        x, y, w, h = x + (w - side) // 2, y + (h - side) // 2, side, side
    out_w = out_h = SIZE
    if spec.fit == "letterbox":
        longest = max(w, h)
        out_w = max(1, (2 * w * SIZE + longest) // (2 * longest))
        out_h = max(1, (2 * h * SIZE + longest) // (2 * longest))
    return Placement((x, y, x + w, y + h), (SIZE - out_w) // 2, (SIZE - out_h) // 2, out_w, out_h)


def resample_with_pillow(rgb: NDArray[np.uint8], spot: Placement, resample: Resample) -> NDArray[np.uint8]:
    """The reference of `kernels.resample`.

    Across, then down: Pillow 13 chooses the order by size, and the 8-bit rounding in between shows.
    """
    left, top, right, bottom = spot.box
    image, how = Image.fromarray(np.ascontiguousarray(rgb)), _RESAMPLE[resample]
    narrow = image.resize((spot.width, image.height), how, box=(left, 0, right, image.height))
    part = narrow.resize((spot.width, spot.height), how, box=(0, top, spot.width, bottom))
    square = np.zeros((SIZE, SIZE, 3), np.uint8)
    square[spot.top : spot.top + spot.height, spot.left : spot.left + spot.width] = np.asarray(part)
    return square


def preprocess(image: NDArray[Any], spec: InputSpec, threads: int | None = 1) -> NDArray[np.uint8]:
    """Return the encoder's input, uint8 RGB [224, 224, 3], for a source image as `as_rgb8` accepts it.

    ``threads`` (None: all cores) share the compiled form's work on a large region; no bit depends on them. Raises
    InputError for an unusable array or a region of interest outside the image.
    """
    rgb = as_rgb8(image)
    spot = place(rgb.shape[1], rgb.shape[0], spec)
    if kernels.available():
        left, top, right, bottom = spot.box
        shared = (right - left) * (bottom - top) >= _SHARED_PIXELS
        target = (spot.left, spot.top, spot.width, spot.height)
        return kernels.resample(rgb, spot.box, target, spec.resample, threads if shared else 1)
    return resample_with_pillow(rgb, spot, spec.resample)


def preprocess_mask(mask: NDArray[Any], spec: InputSpec) -> NDArray[np.bool_]:
    """Return a defect mask [H, W] (bool, or integers where non-zero is defect) as bool [224, 224], same geometry.

    Nearest-neighbour; outside the letterboxed image it is False.
    """
    spot = place(mask.shape[1], mask.shape[0], spec)
    part = Image.fromarray((mask != 0).astype(np.uint8) * 255).resize(
        (spot.width, spot.height), Image.Resampling.NEAREST, box=spot.box
    )
    square = np.zeros((SIZE, SIZE), np.bool_)
    square[spot.top : spot.top + spot.height, spot.left : spot.left + spot.width] = np.asarray(part) > 127
    return square


def from_map(anomaly_map: NDArray[np.float32], spec: InputSpec, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the anomaly map [224, 224] laid over a source image of ``shape`` (height, width), float32 [H, W].

    Bilinear; 0 where the encoder did not look (outside the region of interest or the crop).
    """
    spot = place(shape[1], shape[0], spec)
    seen = anomaly_map[spot.top : spot.top + spot.height, spot.left : spot.left + spot.width]
    left, top, right, bottom = spot.box
    part = Image.fromarray(np.ascontiguousarray(seen)).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    whole = np.zeros(shape, np.float32)
    whole[top:bottom, left:right] = np.asarray(part)
    return whole
