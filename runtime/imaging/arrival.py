"""From a frame to what is judged: the encoder's input, registered where the category says so, or why there is none."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..formats.limits import Limit, Limits
from ..formats.registration import Registration
from ..formats.spec import InputSpec
from .filling import fill
from .preprocess import preprocess
from .presence import absence, measure
from .registration import Located, Registered, Template, register, shown

__all__ = ["Arrival", "admit", "arrive", "misplacement"]


class Arrival(NamedTuple):
    """A frame before it is judged.

    ``image``: the encoder's input, uint8 RGB [224, 224, 3]; ``located``: where the part lies, None where it is not
    registered or not looked for. With a ``refusal`` it is not judged, for the reason ``detail``.
    """

    image: NDArray[np.uint8]
    located: Located | None = None
    refusal: Literal["misplaced", "no_part"] | None = None
    detail: str = ""


def admit(image: NDArray[np.uint8], limits: Limits) -> Arrival:
    """Return an encoder's input, uint8 RGB [224, 224, 3], refused if it shows no part."""
    detail = absence(measure(image), limits)
    return Arrival(image, refusal="no_part" if detail else None, detail=detail)


def arrive(
    image: NDArray[Any],
    spec: InputSpec,
    limits: Limits,
    registration: Registration | None = None,
    template: Template | None = None,
    threads: int | None = None,
) -> Arrival:
    """Prepare a frame (`as_rgb8` says which arrays).

    Whether it shows a part is asked of the frame as it is, before the part is looked for. ``template`` is that of the
    ``registration``, ready for the search; ``threads`` None: all cores. Raises InputError for an unusable array or a
    region of interest outside the image.
    """
    plain = admit(preprocess(image, spec), limits)
    if plain.refusal or registration is None or template is None:
        return plain
    found = register(image, spec, template, threads)
    located = Located(found.pose, found.quality, template.box, template.centre)
    detail = misplacement(found, registration)
    if detail:
        return Arrival(plain.image, located, "misplaced", detail)
    return Arrival(fill(found.image, found.seen, registration.reference), located)


def misplacement(found: Registered, registration: Registration) -> str:
    """Say which limit a match breaks, ``match 0.41, taught with 0.91 to 0.95``; "" if the part is where it can be."""
    measures: tuple[tuple[str, float, Limit], ...] = (
        ("match", found.quality, registration.quality),
        ("share in the frame", shown(found.seen, registration.structure), registration.shown),
    )
    for name, value, limit in measures:
        if value < limit.low:
            low, high = limit.taught
            return f"{name} {value:.3g}, taught with {low:.3g} to {high:.3g}"
    return ""
