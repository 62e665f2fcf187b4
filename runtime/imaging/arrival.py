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
from .presence import Measures, absence, measure
from .registration import Located, Template, register, shown

__all__ = ["Arrival", "Prepared", "admit", "admitted", "arrive", "misplacement", "prepare"]


class Prepared(NamedTuple):
    """A frame made ready to be judged, before any limit is asked of it: what has to be kept to judge it again.

    ``image``: the encoder's input, uint8 RGB [224, 224, 3]; ``measures``: of the frame as it is, before registration.
    Where it is registered ``located`` says where the part lies, and ``share`` how much of it the frame shows, 0 to 1.
    """

    image: NDArray[np.uint8]
    measures: Measures
    located: Located | None = None
    share: float | None = None


class Arrival(NamedTuple):
    """A frame before it is judged.

    ``image``: the encoder's input, uint8 RGB [224, 224, 3]; ``located``: where the part lies, None where it is not
    registered or not looked for. With a ``refusal`` it is not judged, for the reason ``detail``.
    """

    image: NDArray[np.uint8]
    located: Located | None = None
    refusal: Literal["misplaced", "no_part"] | None = None
    detail: str = ""


def prepare(
    image: NDArray[Any],
    spec: InputSpec,
    registration: Registration | None = None,
    template: Template | None = None,
    threads: int | None = None,
) -> Prepared:
    """Make a frame ready (`as_rgb8` says which arrays), also one that shows no part.

    ``template`` is that of the ``registration``, ready for the search; ``threads`` None: all cores. Raises InputError
    for an unusable array or a region of interest outside the image.
    """
    plain = preprocess(image, spec, threads)
    if registration is None or template is None:
        return Prepared(plain, measure(plain))
    return _laid(image, measure(plain), spec, registration, template, threads)


def _laid(
    image: NDArray[Any],
    measures: Measures,
    spec: InputSpec,
    registration: Registration,
    template: Template,
    threads: int | None,
) -> Prepared:
    found = register(image, spec, template, threads)
    located = Located(found.pose, found.quality, template.box, template.centre)
    laid = fill(found.image, found.seen, registration.reference)
    return Prepared(laid, measures, located, shown(found.seen, registration.structure))


def admitted(frame: Prepared, limits: Limits, registration: Registration | None = None) -> Arrival:
    """Hold a frame against a category's limits: refused if it shows no part, or shows it misplaced."""
    detail = absence(frame.measures, limits)
    if detail:
        return Arrival(frame.image, refusal="no_part", detail=detail)
    if registration is not None and frame.located is not None and frame.share is not None:
        detail = misplacement(frame.located.quality, frame.share, registration)
        if detail:
            return Arrival(frame.image, frame.located, "misplaced", detail)
    return Arrival(frame.image, frame.located)


def admit(image: NDArray[np.uint8], limits: Limits) -> Arrival:
    """Return an encoder's input, uint8 RGB [224, 224, 3], refused if it shows no part."""
    return admitted(Prepared(image, measure(image)), limits)


def arrive(
    image: NDArray[Any],
    spec: InputSpec,
    limits: Limits,
    registration: Registration | None = None,
    template: Template | None = None,
    threads: int | None = None,
) -> Arrival:
    """Prepare a frame and hold it against the limits: as `prepare` and `admitted` do.

    But whether it shows a part is asked of the frame as it is, before the part is looked for.
    """
    plain = preprocess(image, spec, threads)
    measures = measure(plain)
    if registration is None or template is None or absence(measures, limits):
        return admitted(Prepared(plain, measures), limits)
    return admitted(_laid(image, measures, spec, registration, template, threads), limits, registration)


def misplacement(quality: float, share: float, registration: Registration) -> str:
    """Say which limit a match breaks, ``match 0.41, taught with 0.91 to 0.95``; "" if the part is where it can be.

    ``share``: how much of the part's structure the frame shows.
    """
    measures: tuple[tuple[str, float, Limit], ...] = (
        ("match", quality, registration.quality),
        ("share in the frame", share, registration.shown),
    )
    for name, value, limit in measures:
        if value < limit.low:
            low, high = limit.taught
            return f"{name} {value:.3g}, taught with {low:.3g} to {high:.3g}"
    return ""
