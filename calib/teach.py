"""Teach a part: k good images through the deployed backend to a category with its threshold."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regad.runtime.backends.base import Backend
from regad.runtime.formats.category import Category, SupportImage
from regad.runtime.formats.encodings import Encoding, StatisticsDtype
from regad.runtime.formats.features import Features
from regad.runtime.formats.registration import Register
from regad.runtime.formats.scoring import Scoring
from regad.runtime.formats.spec import InputSpec
from regad.runtime.imaging.arrival import arrive
from regad.runtime.imaging.preprocess import preprocess
from regad.runtime.imaging.registration import Template
from regad.runtime.model import Model

from .check import check_matches, check_pictures, check_placed, refuse
from .fitting import OnImage, aim_of, check_number, fitted
from .limits import learn_limits
from .registering import Chosen, choose, encode
from .support import named
from .views import STANDARD, kept_views

__all__ = ["OnImage", "encode_views", "teach"]


def encode_views(
    backend: Backend,
    inputs: Sequence[NDArray[np.uint8]],
    progress: OnImage | None = None,
    without: Collection[str] = (),
) -> Features:
    """Return the features of the 22 views of each input, uint8 RGB [224, 224, 3]: float32, first axis 22 * len(inputs).

    ``without`` names groups of views to leave out (`VIEW_GROUPS`), for ablations; there are fewer than 22 then.
    """
    return encode(backend, inputs, STANDARD, kept_views(without), progress)


def teach(
    model: Model,
    images: Sequence[NDArray[Any]],
    spec: InputSpec,
    *,
    files: tuple[SupportImage, ...] | None = None,
    target_frr: float | None = None,
    warn_frr: float | None = None,
    validation: Sequence[NDArray[Any]] = (),
    validation_files: tuple[SupportImage, ...] | None = None,
    threshold: float | None = None,
    warn_threshold: float | None = None,
    encoding: Encoding | None = None,
    dtype: StatisticsDtype | None = None,
    progress: OnImage | None = None,
    without: Collection[str] = (),
    scoring: Scoring | None = None,
    strict: bool = False,
    registration: Register = "auto",
) -> Category:
    """Fit the statistics and the threshold of a part from good images (uint8 RGB [H, W, 3] or grey [H, W]).

    Statistics are stored as ``dtype`` and scored as ``scoring`` says, by default as the model wants them; ``encoding``
    is that of every group. The threshold is ``threshold``, else set from the scores of ``validation`` images, else by
    leaving one support image out at a time, so that about ``target_frr`` of good parts are rejected (None:
    `default_rate`). ``warn_threshold``, or ``warn_frr`` by the same rule, is a lower limit that only warns.
    ``registration``: whether the part is laid on the first support image (`regad.calib.registering`). ``without`` names
    groups of views to leave out (`VIEW_GROUPS`), for ablations. ``files`` and ``validation_files`` name the images.
    What is odd about the support images (`regad.calib.check`) is in the notes; ``strict`` refuses them. Raises
    InputError for that, for images that are unusable, the same or too few (two, or one if neither threshold nor
    calibration comes from them), and, before encoding, for limits that cannot be.
    """
    support, others = named(images, files, validation, validation_files)
    names = [file.name for file in support]
    aim = aim_of(model, scoring, len(images), threshold, warn_threshold, target_frr, warn_frr)
    check_number(len(images), 1 if len(validation) > 0 or threshold is not None else 2, aim.scoring)
    inputs = [preprocess(image, spec) for image in images]
    extra = [preprocess(image, spec) for image in validation]
    chosen = choose(model.backend, images, inputs, spec, aim.scoring, registration, model.threads)
    notes = refuse([*check_pictures(images, inputs, names), *check_matches(chosen.tried, names)], strict)
    return fitted(
        model,
        aim,
        chosen,
        spec=spec,
        support=support,
        limits=learn_limits((*inputs, *extra)),
        notes=notes,
        further=_lay_further(validation, extra, spec, chosen, others) if aim.manual is None else (),
        encoding=encoding,
        dtype=dtype,
        progress=progress,
        without=without,
        strict=strict,
    )


def _lay_further(
    images: Sequence[NDArray[Any]],
    inputs: Sequence[NDArray[np.uint8]],
    spec: InputSpec,
    chosen: Chosen,
    files: Sequence[SupportImage],
) -> Sequence[NDArray[np.uint8]]:
    """The validation images' inputs, registered where the part is. Raises InputError for one that is misplaced."""
    if chosen.registration is None:
        return inputs
    template, laid = Template.of(chosen.registration.template), []
    for image, file in zip(images, files, strict=True):
        arrival = arrive(image, spec, {}, chosen.registration, template)
        check_placed(arrival, file.name)
        laid.append(arrival.image)
    return laid
