"""The part of a run: from its category file, from the cache, or taught now."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from ..detector import Detector
from ..errors import InputError
from ..formats.category import Category, registration_text
from ..formats.places import cache_folder
from ..line.config import Teaching
from . import cache
from .console import counter, note, tell

__all__ = ["put_in_force"]


def put_in_force(
    detector: Detector, part: Teaching | Path, threshold: float | None, warn: float | None = None
) -> Category:
    """Put the part in force and say how; ``threshold`` and ``warn`` replace its own limits. Raises RegadError."""
    if isinstance(part, Path):
        detector.load_category(part)
        how = f"from {part}"
    else:
        how = _teach(detector, part, threshold)
    if threshold is not None:
        detector.set_threshold(threshold)
    if warn is not None:
        detector.set_warn_threshold(warn)
    category = detector.category
    assert category is not None
    tell(f"category   k = {category.shot} good images, {category.hash}, {how}")
    for text in category.notes:
        note(text)
    if category.tried is not None:
        tell(f"register   {registration_text(category)}")
    limit = category.threshold
    tell(f"threshold  {limit.value:.4g} ({limit.note})")
    if limit.warn is not None:
        tell(f"warn       {limit.warn:.4g} ({limit.warned})")
    return category


def _teach(detector: Detector, part: Teaching, threshold: float | None) -> str:
    """Recall what the photos taught before, or teach; returns how it went, for people.

    The photos are listed and drawn once, for the key and for the teaching. What was taught is kept only if they are
    still those of the key afterwards: one may be replaced meanwhile.
    """
    from regad.calib.folder import teach_folder
    from regad.calib.support import draw_support, list_images  # the runtime itself stands without the teaching code

    photos = draw_support(list_images(part.support, note), part.shot, part.seed)

    def key() -> str:
        rates = {"target_frr": part.target_frr, "warn_frr": part.warn_frr}
        return cache.cache_key(detector, photos, **rates, by_hand=threshold is not None, register=part.register)

    known = key() if part.cache else ""
    if part.cache and cache.recall(detector, known, note):
        return f"from the cache ({cache_folder()})"
    start = time.monotonic()
    teach_folder(
        detector,
        photos,
        target_frr=part.target_frr,
        warn_frr=part.warn_frr,
        threshold=threshold,
        registration=part.register,
        say=note,
        progress=counter("teaching   image"),
    )
    spent = time.monotonic() - start
    again = ""
    with suppress(InputError):  # a photo may be gone
        again = key() if part.cache else ""
    if again != known:
        note("the photos changed while the part was taught; it is not cached")
    elif part.cache:
        cache.remember(detector, known, note)
    return f"taught from {part.support} in {spent:.1f} s"
