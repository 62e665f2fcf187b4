"""The images that a part was taught with, as the encoder saw them: from the trace, or from the desk's own folder."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...formats.atomic import atomic_write
from ...formats.spec import SIZE
from ...imaging.reading import read_picture
from ...line.picture_file import encode
from ...station.trace.files import array_sha256
from .records import LearningTrace, Version

__all__ = ["Nearest", "TaughtImages"]

_GOODS = 30  # good parts to look for the nearest one where no taught image is known
_STEP = 4  # every such pixel is compared


class Nearest(NamedTuple):
    """The image to hold a part against: uint8 RGB [224, 224, 3], what it is, and how far away (mean grey values)."""

    image: NDArray[np.uint8]
    taught: bool
    name: str
    distance: float


class TaughtImages:
    """Inputs by the sha256 that a category names them by. ``folder`` is the desk's own, for photos of the page."""

    def __init__(self, folder: Path, trace: LearningTrace) -> None:
        self._folder = folder / "taught"
        self._trace = trace

    def keep(self, image: NDArray[np.uint8]) -> str:
        """Store an input, uint8 RGB [224, 224, 3], and return its sha256. Raises OutputError."""
        sha256 = array_sha256(image)
        atomic_write(self._folder / f"{sha256}.png", encode(image, ".png"))
        return sha256

    def find(self, sha256: str) -> NDArray[np.uint8] | None:
        """Return the input of that sha256; None where nobody has it. Raises InputError for one that was damaged."""
        path = self._folder / f"{sha256}.png"
        if path.is_file():
            image = read_picture(path).image
            if image.shape != (SIZE, SIZE, 3) or array_sha256(image) != sha256:
                raise InputError(f"{path} was changed after it was written; it is not used")
            return image
        part = self._trace.input_of(sha256)
        return None if part is None else self._trace.input(part)

    def of(self, version: Version) -> tuple[list[NDArray[np.uint8]], int]:
        """Return those images of a version that are known, and how many are not."""
        found = [self.find(sha256) for _, sha256 in version.support]
        known = [image for image in found if image is not None]
        return known, len(found) - len(known)

    def nearest(self, inspection: int) -> Nearest | None:
        """Return the taught image that is most like a part, pixel by pixel; else the most alike of the last good parts.

        None where the part's input is not stored, or there is nothing to compare it with.
        """
        part = self._trace.part(inspection)
        image = self._trace.input(inspection)
        if image is None or part.job is None:
            return None
        others: list[tuple[NDArray[np.uint8], bool, str]] = []
        if part.version is not None:
            known, _ = self.of(self._trace.version(part.job, part.version))
            others = [(one, True, str(number)) for number, one in enumerate(known, 1)]
        if not others:
            for good in self._trace.goods(part.job, _GOODS, stored=True):
                found = None if good.id == inspection else self._trace.input(good.id)
                if found is not None:
                    others.append((found, False, str(good.id)))
        near = [(_distance(image, one), place) for place, (one, _, _) in enumerate(others)]
        if not near:
            return None
        distance, place = min(near)
        return Nearest(*others[place], distance)


def _distance(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    difference = one[::_STEP, ::_STEP].astype(np.int16) - other[::_STEP, ::_STEP]
    return float(np.abs(difference).mean())
