"""Look at support images before a part is taught with them: what is odd about one, and what to do about it.

Each finding is one line that names the image. The limits are wide, so that a line is worth reading: see `FACTORS` and
`UNLIKE` for how often they name an ordinary image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regad.runtime.errors import InputError
from regad.runtime.formats.registration import Tried
from regad.runtime.formats.scoring import Score
from regad.runtime.imaging.arrival import Arrival
from regad.runtime.imaging.presence import measure

from .registering import LEAST_QUALITY, matches
from .threshold import near_copies

__all__ = ["ASIDE", "FACTORS", "UNLIKE", "check_matches", "check_pictures", "check_placed", "check_scores", "refuse"]

FACTORS = {"sharpness": 2.5, "brightness": 2.5, "contrast": 3.0}
"""How many times below the median of the others an image may be, and above it where there are three or more. Of 1000
drawn sets each at k = 3, 4, 8 these name an image in at most 0.4, 0.1 and 0.7 %. Sharpness is detail / contrast."""
UNLIKE = 2.0
"""How many times the median of the others an image's held-out score may be, where the score is a mean over
positions: it names an image in 1 to 2 % of 101 ordinary sets each at k = 4 and 8. RegAD's own score, the largest value
of a map, varies more from one good image to the next (up to 3.8 times), and is not asked."""
ASIDE = 0.2
"""How much worse than the median of the others an image may match the first one, where the others do so well that the
part could be registered."""

_REMEDIES = {
    "sharpness": ("less sharp", "sharper", "set the focus, hold the camera and the part still, and take it again"),
    "brightness": ("darker", "brighter", "take all photos under the light of the line"),
    "contrast": ("flatter", "richer in contrast", "take all photos under the light of the line, on its ground"),
}


def check_pictures(
    images: Sequence[NDArray[Any]], inputs: Sequence[NDArray[np.uint8]], names: Sequence[str]
) -> list[str]:
    """Say which images differ from the others in size, sharpness or light, a line each.

    ``images`` are [H, W, 3] or [H, W] as they were taken, ``inputs`` the same as the encoder sees them: uint8 RGB
    [224, 224, 3].
    """
    found = list(_odd_sizes(images, names))
    measures = [measure(image) for image in inputs]
    qualities = {
        "sharpness": [one.detail / one.contrast if one.contrast > 0 else 0.0 for one in measures],
        "brightness": [one.brightness for one in measures],
        "contrast": [one.contrast for one in measures],
    }
    for index, name in enumerate(names):
        for quality, values in qualities.items():
            ratio = _ratio(values, index)
            if ratio < 1 / FACTORS[quality] or (ratio > FACTORS[quality] and len(names) > 2):
                less, more, remedy = _REMEDIES[quality]
                how = less if ratio < 1 else more
                found.append(f"{name} is {how} than the other photos ({quality} {ratio:.2g} of theirs): {remedy}")
                break  # one cause shows in several of them
    return found


def check_scores(scores: Sequence[float], names: Sequence[str], score: Score = "top") -> list[str]:
    """Say which images are nearly copies of another one, or unlike all others, by their held-out scores (any number).

    ``score`` is the statistic that they are; see `UNLIKE`. Of two images neither is odd.
    """
    if len(scores) < 3:
        return []
    copies = set(near_copies(scores))
    found = [
        f"{names[index]} is nearly a copy of another photo (left out, it scores {_ratio(scores, index):.2g} of the "
        "others), which shows nothing new: take a photo of another good part instead"
        for index in sorted(copies)
    ]
    own = [index for index in range(len(scores)) if index not in copies]
    for place, index in enumerate(own):
        ratio = _ratio([scores[other] for other in own], place)
        if score == "top" and len(own) > 2 and ratio > UNLIKE:
            found.append(
                f"{names[index]} is unlike the other photos (left out, it scores {ratio:.2g} times the others): "
                "take it out if the part is not good or lies differently; else add photos of more such parts"
            )
    return found


def check_matches(tried: Tried | None, names: Sequence[str]) -> list[str]:
    """Say which image matches the first one much worse than the others do; ``tried`` None: nobody has looked.

    Where registration was asked for with ``on``, also that some match it so badly that their pose is a guess.
    """
    if tried is None:
        return []
    found = []
    badly = [quality for quality in tried.qualities if quality < LEAST_QUALITY]
    if tried.asked == "on" and badly:
        found.append(
            f"{len(badly)} of {len(tried.qualities)} photos match {names[0]} at {min(badly):.2g} to {max(badly):.2g}, "
            f"below {LEAST_QUALITY:g}: their pose is a guess; use --register auto, or a region with the part alone"
        )
    if len(tried.qualities) < 3:
        return found
    for index, quality in enumerate(tried.qualities):
        others = [pair for place, pair in enumerate(zip(tried.qualities, tried.rivals, strict=True)) if place != index]
        usual = median(other for other, _ in others)
        if quality < usual - ASIDE and all(matches(*pair) for pair in others):
            found.append(
                f"{names[index + 1]} does not match {names[0]} as the other photos do ({quality:.2g}, theirs "
                f"{usual:.2g}): take it out if it shows another part, or not all of it; else add such photos"
            )
    return found


def check_placed(arrival: Arrival, name: str) -> None:
    """Raise InputError for a validation image that a registered category would not score."""
    if arrival.refusal:
        raise InputError(
            f"in the validation image {name} the part is misplaced, or it is another part ({arrival.detail}): "
            "remove the image, or add photos of such parts to the support images"
        )


def refuse(notes: Sequence[str], strict: bool) -> tuple[str, ...]:
    """Return the notes. Raises InputError with them if there are any and ``strict`` is asked for."""
    if strict and notes:
        raise InputError(f"--strict refuses the support images: {'; '.join(notes)}")
    return tuple(notes)


def _odd_sizes(images: Sequence[NDArray[Any]], names: Sequence[str]) -> Iterator[str]:
    """The images of another size than most have; parts that are cut out, each in its own size, have no such size."""
    sizes = [(image.shape[1], image.shape[0]) for image in images]
    usual, count = Counter(sizes).most_common(1)[0]
    for name, size in zip(names, sizes, strict=True) if count > len(sizes) / 2 else ():
        if size != usual:
            yield (
                f"{name} is {size[0]}x{size[1]} pixels, most photos are {usual[0]}x{usual[1]}: "
                "take all with the same camera, resolution and crop"
            )


def _ratio(values: Sequence[float], index: int) -> float:
    """One value divided by the median of the others; 1 where there is nothing to compare with."""
    others = [value for place, value in enumerate(values) if place != index]
    usual = median(others) if others else 0.0
    return values[index] / usual if usual > 0 else 1.0
