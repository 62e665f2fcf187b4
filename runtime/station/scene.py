"""A drawn part under a drawn camera: plates with four holes, some with a defect, none like another."""

from __future__ import annotations

import threading
import time
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..sources.frame import Frame, Source

__all__ = ["DEFECTS", "Defect", "DrawnCamera", "Scene"]

Defect = Literal["scratch", "missing hole", "stain"]
DEFECTS: tuple[Defect, ...] = get_args(Defect)
"""What can be wrong with a drawn part."""

_SIDE = 256
_HOLES = ((80, 80), (80, 176), (176, 80), (176, 176))
_NOISES = 16
_SHIFT = 2  # pixels by which a part may lie off


class Scene:
    """What lies under the camera. ``present`` puts a part there; `picture` photographs it, each time a little other.

    Everything follows from ``seed``.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._lock = threading.Lock()
        self._noises = [self._random.normal(0, 3, (_SIDE, _SIDE, 1)).astype(np.float32) for _ in range(_NOISES)]
        self._good = _plate(None, self._random)
        self._variants = {defect: [_plate(defect, self._random) for _ in range(8)] for defect in DEFECTS}
        self._part = self._good

    def present(self, defect: Defect | None) -> None:
        """Put the next part under the camera."""
        with self._lock:
            choice = int(self._random.integers(8))
            self._part = self._good if defect is None else self._variants[defect][choice]

    def picture(self) -> NDArray[np.uint8]:
        """Photograph what lies there: uint8 RGB [256, 256, 3]."""
        with self._lock:
            part, random = self._part, self._random
            y, x = random.integers(-_SHIFT, _SHIFT + 1, 2)
            roll, noise = int(random.integers(_SIDE)), self._noises[int(random.integers(_NOISES))]
            gain = float(random.uniform(0.98, 1.02))
        moved = np.roll(part, (int(y), int(x)), (0, 1)) * np.float32(gain) + np.roll(noise, roll, 0)
        photo: NDArray[np.uint8] = np.clip(moved, 0, 255).astype(np.uint8)
        return photo


def _plate(defect: Defect | None, random: np.random.Generator) -> NDArray[np.float32]:
    """A brushed plate on a dark ground, float32 RGB [256, 256, 3]."""
    y, x = np.mgrid[0:_SIDE, 0:_SIDE].astype(np.float32)
    brushed = 150 + 12 * np.sin(y / 2.3) + 0.08 * x
    plate = _smooth(96 - np.maximum(np.abs(x - 128), np.abs(y - 128)))
    grey = 40 + plate * (brushed - 40)
    holes = _HOLES[1:] if defect == "missing hole" else _HOLES
    for top, left in holes:
        inside = _smooth(16 - np.hypot(x - left, y - top))
        grey = grey * (1 - inside) + 25 * inside
    picture = grey[..., None] * np.array([1.0, 0.98, 0.94], np.float32)
    if defect == "scratch":
        angle, (cy, cx) = float(random.uniform(0, np.pi)), random.uniform(100, 156, 2)
        along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        line = _smooth(2.5 - np.abs(across)) * _smooth(45 - np.abs(along))
        picture = picture * (1 - line[..., None]) + 245 * line[..., None]
    elif defect == "stain":
        cy, cx = random.uniform(105, 151, 2)
        blot = _smooth((20 - np.hypot(x - cx, (y - cy) * 1.3)) / 4)[..., None]
        picture = picture * (1 - blot) + np.array([95, 50, 20], np.float32) * blot
    return np.ascontiguousarray(picture, np.float32)


def _smooth(distance: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 inside, 0 outside, with a soft edge of one pixel."""
    soft: NDArray[np.float32] = np.clip(distance + 0.5, 0, 1)
    return soft


class DrawnCamera(Source):
    """A camera that photographs a `Scene` whenever it is asked for a frame."""

    live = True

    def __init__(self, scene: Scene) -> None:
        super().__init__("drawn parts")
        self._scene = scene
        self._index = 0
        self._stopped = False

    def stop(self) -> None:
        """Give no more frames."""
        self._stopped = True

    def _start(self) -> None:
        """Nothing to read ahead."""

    def _read(self) -> None:
        """Not used: a frame is made when it is asked for."""

    def _next(self) -> Frame:
        if self._stopped:
            raise StopIteration
        taken = time.monotonic()
        self._index += 1
        return Frame(self.uri, self._index - 1, time.time(), self._scene.picture(), taken=taken)
