"""Test images as the encoder sees them, registered where the category is, and their maps laid back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from regad.runtime.formats.category import Category
from regad.runtime.imaging.arrival import misplacement
from regad.runtime.imaging.filling import fill
from regad.runtime.imaging.reading import read_picture
from regad.runtime.imaging.registration import Located, Template, lay_on_input, register, shown

__all__ = ["Frame", "Frames"]


class Frame(NamedTuple):
    """One test image.

    ``image``: the encoder's input, uint8 RGB [224, 224, 3]; ``misplaced``: the verdict is anomalous whatever the score;
    ``ms``: what registering took; ``located`` and ``shape`` say where the input lies in the image.
    """

    image: NDArray[np.uint8]
    misplaced: bool = False
    ms: float = 0.0
    located: Located | None = None
    shape: tuple[int, int] = (0, 0)


class Frames:
    """Prepares test images for a category, and brings its maps to the input that is not registered, where masks are."""

    def __init__(self, taught: Category) -> None:
        self._taught = taught
        part = taught.registration
        self._template = None if part is None else Template.of(part.template).prepared()

    def frame(self, path: Path, plain: NDArray[np.uint8]) -> Frame:
        """The image at ``path``, whose input without registration is ``plain``. Raises InputError."""
        part = self._taught.registration
        if part is None or self._template is None:
            return Frame(plain)
        picture, _, _ = read_picture(path)
        started = time.perf_counter()
        found = register(picture, self._taught.spec, self._template)
        image = fill(found.image, found.seen, part.reference)
        ms = (time.perf_counter() - started) * 1e3
        located = Located(found.pose, found.quality, self._template.box, self._template.centre)
        misplaced = bool(misplacement(found.quality, shown(found.seen, part.structure), part))
        return Frame(image, misplaced, ms, located, picture.shape[:2])

    def lay(self, anomaly_map: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
        """Return the map of a frame's input, float32 [224, 224], as the input that is not registered shows it."""
        if frame.located is None:
            return anomaly_map
        return lay_on_input(anomaly_map, self._taught.spec, frame.located, frame.shape)
