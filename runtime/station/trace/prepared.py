"""Frames as they were made ready when they were judged, from what the trace stored of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...formats.category import Category
from ...formats.registration import Registration
from ...formats.spec import InputSpec
from ...imaging.arrival import Prepared
from ...imaging.presence import Measures, measure
from ...imaging.registration import Located, Pose
from .reader import Row

__all__ = ["is_prepared_for", "prepared_of"]


def is_prepared_for(row: Row, category: Category, preparation: str, spec: InputSpec | None) -> bool:
    """Whether the stored input of a part is what a category would make of its frame: as it is cut out and laid.

    ``preparation`` is that of the category. Rows of before version 2 do not say; theirs never was registered, and
    ``spec``, that of the category which judged the part (None: not known), says how it was cut out.
    """
    if row["prepared"]:
        return bool(row["prepared"] == preparation)
    return category.registration is None and spec in (None, category.spec)


def prepared_of(row: Row, image: NDArray[np.uint8], registration: Registration | None) -> Prepared:
    """Return the frame of a part, whose input uint8 RGB [224, 224, 3] ``image`` is, as it was made ready.

    ``registration`` is of the template that it was laid on, None where it is not registered.

    Raises InputError for a row without the numbers that a registered part has.
    """
    if registration is None:
        return Prepared(image, measure(image))
    names = ("mean", "contrast", "sharp", "structure", "angle", "shift_x", "shift_y", "scale", "quality", "share")
    values = [row.get(name) for name in names]
    if not all(isinstance(value, (int, float)) for value in values):
        raise InputError(f"part {row['id']} has no pose, so a category that registers cannot judge it again")
    numbers = [float(value) for value in values]  # type: ignore[arg-type]
    template = registration.template
    located = Located(Pose(*numbers[4:8]), numbers[8], template.box, template.centre)
    return Prepared(image, Measures(*numbers[:2], *numbers[2:4]), located, numbers[9])
