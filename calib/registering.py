"""Whether a part is registered: every support image is laid on the first, and teaching keeps what brings them nearer.

With ``auto`` it is registered if each support image matches the first one well and at one angle only, if their poses
agree (`regad.calib.detours`), and if that lowers the held-out distances by a margin. docs/registration.md has the
measurements behind the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from regad.runtime.backends.base import Backend
from regad.runtime.errors import InputError
from regad.runtime.formats.features import Features
from regad.runtime.formats.limits import Limit
from regad.runtime.formats.registration import Register, Registration, Tried
from regad.runtime.formats.scoring import Scoring
from regad.runtime.formats.spec import GRID, LEVELS, SIZE, InputSpec
from regad.runtime.imaging.filling import fill
from regad.runtime.imaging.registration import Registered, Template, make_template, register, shown

from .detours import agree, detours
from .gaussian import held_out_distances
from .views import FEW_REGISTERED, REGISTERED, STANDARD, ViewSet

__all__ = [
    "LEAST_LEAD",
    "LEAST_QUALITY",
    "MARGIN",
    "Chosen",
    "choose",
    "encode",
    "match_limits",
    "matches",
    "structure_of",
]

LEAST_QUALITY = 0.7
"""How well each support image must match the first for ``auto``."""
LEAST_LEAD = 0.03
"""By how much it must match better than at any other angle: a round part has none that is right."""
MARGIN = 0.4
"""By what share registration must lower the held-out distances."""
_LEAST_MATCH = 0.65  # of the worst taught match: below it the part is misplaced
_LEAST_SHOWN = 0.6  # of the share of the part that the taught frames show: below it, too

Images = Sequence[NDArray[np.uint8]]
_BATCH = 2


class Chosen(NamedTuple):
    """What the statistics are taught from: the inputs, uint8 RGB [224, 224, 3] each, and their views."""

    inputs: Images
    views: ViewSet = STANDARD
    registration: Registration | None = None
    tried: Tried | None = None


class _Laid(NamedTuple):
    """The support images laid on the first."""

    template: Template
    found: Sequence[Registered]
    inputs: Images


def encode(
    backend: Backend,
    inputs: Images,
    views: ViewSet,
    kept: Sequence[int],
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Return the features of the ``kept`` views of each input, in order, float32.

    The first axis is len(kept) * len(inputs); ``progress`` is called after each input.
    """
    shapes = [*((level.positions, level.channels) for level in LEVELS), (len(LEVELS), 2, 3)]
    whole = Features._make(np.empty((len(kept) * len(inputs), *shape), np.float32) for shape in shapes)
    for done, image in enumerate(inputs):
        made = views.make(image)[list(kept)]
        for start in range(0, len(kept), _BATCH):
            batch = made[start : start + _BATCH]
            rows = slice(done * len(kept) + start, done * len(kept) + start + len(batch))
            for level, part in zip(whole, backend.features(batch), strict=True):
                level[rows] = part
        if progress is not None:
            progress(done + 1, len(inputs))
    return whole


def choose(
    backend: Backend,
    images: Sequence[NDArray[Any]],
    inputs: Images,
    spec: InputSpec,
    scoring: Scoring,
    asked: Register,
    threads: int | None = None,
) -> Chosen:
    """Decide whether the part is registered. ``inputs`` are the ``images`` as the encoder sees them.

    A single image is not registered. Raises InputError if that is asked for.
    """
    if asked == "off" or (asked == "auto" and len(images) < 2):
        return Chosen(inputs)
    if len(images) < 2:
        raise InputError(
            "1 support image; registration needs 2, to measure how well a good part matches: add photos of good parts "
            "(4 to 8 is a good number), or leave out --register on"
        )
    laid = _lay(images, inputs, spec, threads)
    tried = Tried(asked, tuple(one.quality for one in laid.found[1:]), tuple(one.rival for one in laid.found[1:]))
    if asked == "auto" and not all(map(matches, tried.qualities, tried.rivals)):
        return Chosen(inputs, tried=tried)
    poses = [one.pose for one in laid.found[1:]]
    tried = tried._replace(detours=detours(images, spec, laid.template, poses, threads))
    if asked == "auto":
        if not agree(tried.detours):
            return Chosen(inputs, tried=tried)
        without, registered = (_held_out(backend, which, scoring) for which in (inputs, laid.inputs))
        tried = tried._replace(without=without, registered=registered)
        if not _is_nearer(tried):
            return Chosen(inputs, tried=tried)
    return Chosen(laid.inputs, REGISTERED, _registration(laid, inputs[0]), tried)


def _lay(images: Sequence[NDArray[Any]], inputs: Images, spec: InputSpec, threads: int | None) -> _Laid:
    template = make_template(images[0], spec)
    found = [register(image, spec, template, threads) for image in images]
    return _Laid(template, found, [fill(one.image, one.seen, inputs[0]) for one in found])


def matches(quality: float, rival: float) -> bool:
    """Whether an image matches the first one well, and much better than at any other angle."""
    return quality >= LEAST_QUALITY and quality - rival >= LEAST_LEAD


def _held_out(backend: Backend, inputs: Images, scoring: Scoring) -> float:
    """The mean of the held-out distances by a few views: they need no more to tell."""
    features = encode(backend, inputs, REGISTERED, FEW_REGISTERED)
    return float(held_out_distances(features, len(FEW_REGISTERED), scoring.groups[-1]).mean(dtype=np.float64))


def _is_nearer(tried: Tried) -> bool:
    assert tried.without is not None and tried.registered is not None
    return tried.registered <= (1 - MARGIN) * tried.without


def _registration(laid: _Laid, reference: NDArray[np.uint8]) -> Registration:
    structure = structure_of(reference)
    qualities = [one.quality for one in laid.found[1:]]
    shares = [shown(one.seen, structure) for one in laid.found]
    return Registration(laid.template, reference, structure, *match_limits(qualities, shares))


def match_limits(qualities: Sequence[float], shares: Sequence[float]) -> tuple[Limit, Limit]:
    """Return the limits on match and share below which a part is misplaced, from those of good parts."""
    return (
        Limit(_least(_LEAST_MATCH, qualities), None, (min(qualities), max(qualities))),
        Limit(_least(_LEAST_SHOWN, shares), None, (min(shares), max(shares))),
    )


def _least(share: float, values: Sequence[float]) -> float:
    """``share`` of the smallest value, or that value itself where it is below 0."""
    return min(share * min(values), min(values))


def structure_of(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return how much of an input's structure each position holds, float32 [56, 56], adding up to 1.

    It is the mean difference between neighbouring pixels, in grey, as far as it is above average: the ground has none.
    """
    grey = image.astype(np.float64).mean(axis=2)
    slope = np.hypot(*np.gradient(grey)).reshape(GRID, SIZE // GRID, GRID, SIZE // GRID).mean(axis=(1, 3))
    above = np.maximum(slope - slope.mean(), 0)
    even = np.full((GRID, GRID), 1 / GRID**2)
    return (above / above.sum() if above.sum() > 0 else even).astype(np.float32)
