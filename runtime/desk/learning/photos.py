"""The photos that an engineer takes at the page to teach a part with. They are in memory until they are taught."""

from __future__ import annotations

import threading
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from regad.calib.check import check_pictures

from ...errors import InputError
from ...formats.spec import InputSpec
from ...imaging.preprocess import preprocess
from ...imaging.presence import measure

__all__ = ["MOST", "Meter", "Photo", "Photos", "meter_of"]

MOST: Final = 16
"""Photos that can be taken."""
_STEP = 8
_ALIKE = 2.0
"""Mean grey values between two photos below which they are taken as one placing of one part: a photo of a part that was
placed anew differs by more (drawn parts 3.4 or more, noise of a still one 1.7 or less)."""
_WHITE, _BLACK = 250, 5

Roi = tuple[int, int, int, int]


class Photo(NamedTuple):
    """A photo: its number, the camera's picture uint8 RGB [H, W, 3], and the encoder's input of it [224, 224, 3]."""

    number: int
    frame: NDArray[np.uint8]
    input: NDArray[np.uint8]


class Meter(NamedTuple):
    """How a picture is exposed and focused, of its region: grey 0 to 255, and shares from 0 to 1.

    ``focus`` is detail divided by brightness: it is largest where the picture is sharpest.
    """

    brightness: float
    focus: float
    white: float
    black: float
    width: int
    height: int


class Photos:
    """The photos of one teaching; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._photos: list[Photo] = []
        self._number = 0
        self._roi: Roi | None = None

    def take(self, frame: NDArray[np.uint8], spec: InputSpec) -> Photo:
        """Keep a picture, cut out as ``spec`` says; those before it are cut out anew if its region is another one.

        Raises InputError for a region outside the picture, or too many photos.
        """
        made = preprocess(frame, spec)
        with self._lock:
            if len(self._photos) >= MOST:
                raise InputError(f"{MOST} photos are enough; remove some, or teach with them")
            if spec.roi != self._roi:
                again = [photo._replace(input=preprocess(photo.frame, spec)) for photo in self._photos]
                self._photos, self._roi = again, spec.roi
            self._number += 1
            photo = Photo(self._number, frame, made)
            self._photos.append(photo)
            return photo

    def all(self) -> list[Photo]:
        """Every photo, in the order in which they were taken."""
        with self._lock:
            return list(self._photos)

    @property
    def roi(self) -> Roi | None:
        """The region that the photos show, (x, y, width, height) in pixels of the camera's picture; None: all of it."""
        return self._roi

    def one(self, number: int) -> Photo:
        """A photo. Raises InputError for none of that number."""
        for photo in self.all():
            if photo.number == number:
                return photo
        raise InputError(f"there is no photo {number}")

    def remove(self, number: int | None = None) -> None:
        """Let a photo go, or all of them."""
        with self._lock:
            self._photos = [photo for photo in self._photos if number is not None and photo.number != number]

    def warnings(self) -> list[str]:
        """What is odd about them, a line each: `regad.calib.check`, and photos that are alike."""
        photos = self.all()
        if not photos:
            return []
        names = [f"photo {photo.number}" for photo in photos]
        found = check_pictures([photo.frame for photo in photos], [photo.input for photo in photos], names)
        for place, photo in enumerate(photos):
            like = next((one for one in photos[:place] if _distance(one.input, photo.input) < _ALIKE), None)
            if like is not None:
                found.append(
                    f"photo {photo.number} is almost photo {like.number}: take another good part, or place it anew"
                )
        return found


def meter_of(frame: NDArray[np.uint8], spec: InputSpec) -> Meter:
    """Measure a picture, uint8 RGB [H, W, 3], in the region of ``spec``. Raises InputError for one outside it."""
    made = preprocess(frame, spec)
    measures = measure(made)
    x, y, width, height = spec.roi or (0, 0, frame.shape[1], frame.shape[0])
    seen = frame[y : y + height : _STEP, x : x + width : _STEP]
    white, black = float((seen.max(axis=2) >= _WHITE).mean()), float((seen.max(axis=2) <= _BLACK).mean())
    focus = measures.detail / measures.brightness if measures.brightness > 0 else 0.0
    return Meter(measures.brightness, focus, white, black, frame.shape[1], frame.shape[0])


def _distance(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())
