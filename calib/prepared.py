"""Teach a part from frames that were made ready for judging: what a trace keeps of good parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from regad.runtime.errors import InputError
from regad.runtime.formats.category import Category, SupportImage
from regad.runtime.formats.registration import Registration, Tried
from regad.runtime.formats.spec import SIZE, InputSpec
from regad.runtime.imaging.arrival import Prepared, admitted
from regad.runtime.imaging.presence import measure
from regad.runtime.model import Model

from .check import check_pictures, check_placed, refuse
from .fitting import OnImage, aim_of, check_number, fitted
from .limits import limits_of
from .registering import Chosen, match_limits
from .support import named
from .views import REGISTERED, STANDARD

__all__ = ["teach_inputs", "teach_prepared"]


def teach_inputs(
    model: Model,
    inputs: Sequence[NDArray[np.uint8]],
    spec: InputSpec,
    *,
    files: tuple[SupportImage, ...] | None = None,
    target_frr: float | None = None,
    warn_frr: float | None = None,
    validation: Sequence[NDArray[np.uint8]] = (),
    validation_files: tuple[SupportImage, ...] | None = None,
    threshold: float | None = None,
    warn_threshold: float | None = None,
    progress: OnImage | None = None,
    strict: bool = False,
) -> Category:
    """Teach a part from what `preprocess` made of good images with ``spec``: uint8 RGB [224, 224, 3] each.

    The category is the one that `teach` makes of the images without registration, tensor for tensor; what is odd about
    the images' own sizes cannot be known. Raises InputError as `teach` does.
    """
    for image in (*inputs, *validation):
        if image.dtype != np.uint8 or image.shape != (SIZE, SIZE, 3):
            raise InputError(f"an input is {image.dtype} {list(image.shape)}; expected uint8 [{SIZE}, {SIZE}, 3]")
    return teach_prepared(
        model,
        [Prepared(image, measure(image)) for image in inputs],
        spec,
        files=files,
        target_frr=target_frr,
        warn_frr=warn_frr,
        validation=[Prepared(image, measure(image)) for image in validation],
        validation_files=validation_files,
        threshold=threshold,
        warn_threshold=warn_threshold,
        progress=progress,
        strict=strict,
    )


def teach_prepared(
    model: Model,
    frames: Sequence[Prepared],
    spec: InputSpec,
    *,
    registration: Registration | None = None,
    tried: Tried | None = None,
    files: tuple[SupportImage, ...] | None = None,
    target_frr: float | None = None,
    warn_frr: float | None = None,
    validation: Sequence[Prepared] = (),
    validation_files: tuple[SupportImage, ...] | None = None,
    threshold: float | None = None,
    warn_threshold: float | None = None,
    progress: OnImage | None = None,
    strict: bool = False,
) -> Category:
    """Teach a part from frames that a category of ``spec`` and ``registration`` made ready (`Detector.prepare`).

    The new category keeps the template, so it judges what the one before has judged; statistics, threshold and every
    limit are learnt from these frames. ``tried`` says on what the registration rests. The rest is as for `teach`.
    Raises InputError as that does, and for frames that were registered where the part is not, or the other way round.
    """
    for frame in (*frames, *validation):
        if (frame.located is None) != (registration is None):
            raise InputError("some frames were registered and some not; teach from those of one category")
    inputs, extra = [frame.image for frame in frames], [frame.image for frame in validation]
    support, others = named(inputs, files, extra, validation_files)
    names = [file.name for file in support]
    aim = aim_of(model, None, len(frames), threshold, warn_threshold, target_frr, warn_frr)
    check_number(len(frames), 1 if len(validation) > 0 or threshold is not None else 2, aim.scoring)
    chosen = Chosen(inputs, STANDARD if registration is None else REGISTERED, _relearnt(registration, frames), tried)
    if chosen.registration is not None and aim.manual is None:
        for frame, file in zip(validation, others, strict=True):
            check_placed(admitted(frame, {}, chosen.registration), file.name)
    return fitted(
        model,
        aim,
        chosen,
        spec=spec,
        support=support,
        limits=limits_of(frame.measures for frame in (*frames, *validation)),
        notes=refuse(check_pictures(inputs, inputs, names), strict),
        further=extra if aim.manual is None else (),
        progress=progress,
        strict=strict,
    )


def _relearnt(registration: Registration | None, frames: Sequence[Prepared]) -> Registration | None:
    """The registration with the limits that these frames teach."""
    if registration is None:
        return None
    qualities = [frame.located.quality for frame in frames if frame.located is not None]
    shares = [frame.share for frame in frames if frame.share is not None]
    quality, shown = match_limits(qualities, shares)
    return replace(registration, quality=quality, shown=shown)
