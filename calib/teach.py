"""Teach a part: k good images through the deployed backend to a category with its threshold."""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from regad.runtime.backends.base import Backend
from regad.runtime.errors import InputError
from regad.runtime.formats.category import Category, SupportImage, Threshold, tensors_of, tensors_sha256
from regad.runtime.formats.encodings import Encoding, StatisticsDtype, StatisticsGroups
from regad.runtime.formats.features import Features
from regad.runtime.formats.prior import Prior
from regad.runtime.formats.registration import Register
from regad.runtime.formats.scoring import Calibration, Scoring
from regad.runtime.formats.spec import SIZE, InputSpec
from regad.runtime.imaging.arrival import arrive
from regad.runtime.imaging.preprocess import preprocess
from regad.runtime.imaging.registration import Template
from regad.runtime.model import Model
from regad.runtime.scoring.reference import judge

from .calibration import calibrate
from .check import check_matches, check_pictures, check_scores, refuse
from .gaussian import fit_statistics, held_out_distances
from .limits import learn_limits
from .registering import Chosen, choose, encode
from .support import array_support, refuse_copies
from .threshold import check_rates, default_rate, held_out_scale, set_threshold
from .views import STANDARD, kept_views

__all__ = ["OnImage", "encode_views", "teach", "teach_inputs"]

OnImage = Callable[[int, int], None]


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
    support = array_support(images) if files is None else files
    others = array_support(validation, "validation array") if validation_files is None else validation_files
    names = [file.name for file in support]
    refuse_copies([*images, *validation], [*names, *(file.name for file in others)])
    aim = _aim(model, scoring, len(images), threshold, warn_threshold, target_frr, warn_frr)
    _check_number(len(images), 1 if len(validation) > 0 or threshold is not None else 2, aim.scoring)
    inputs = [preprocess(image, spec) for image in images]
    extra = [preprocess(image, spec) for image in validation]
    chosen = choose(model.backend, images, inputs, spec, aim.scoring, registration, model.threads)
    notes = refuse([*check_pictures(images, inputs, names), *check_matches(chosen.tried, names)], strict)
    kept = chosen.views.kept(without)
    features = encode(model.backend, chosen.inputs, chosen.views, kept, progress)
    statistics = _fit(features, encoding, dtype or model.info.statistics_dtype, aim.scoring)
    calibration, held_out = _hold_out(features, len(kept), aim.scoring)
    notes += refuse(check_scores(held_out, names, aim.scoring.score), strict)
    further = _lay_further(validation, extra, spec, chosen, others) if aim.manual is None else []
    scores = _scores(model.backend, statistics, aim.scoring, calibration, further)
    return Category(
        **_origin(model),
        statistics=statistics,
        threshold=_limit(aim, held_out, scores),
        spec=spec,
        shot=len(images),
        support=support,
        data_sha256=tensors_sha256(tensors_of(statistics, calibration, chosen.registration)),
        limits=learn_limits((*inputs, *extra)),
        scoring=aim.scoring,
        notes=notes,
        calibration=calibration,
        registration=chosen.registration,
        tried=chosen.tried,
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
        if arrival.refusal:
            raise InputError(
                f"the validation image {file.name} shows the part misplaced, or another one ({arrival.detail}): "
                "take it out, or add photos of such parts to the support images"
            )
        laid.append(arrival.image)
    return laid


class _Aim(NamedTuple):
    """How the threshold is to be set, checked; ``manual`` is the one that is set by hand."""

    scoring: Scoring
    prior: Prior | None
    rate: float
    warn_frr: float | None
    warn_threshold: float | None
    manual: Threshold | None


def _aim(
    model: Model,
    scoring: Scoring | None,
    shot: int,
    threshold: float | None,
    warn_threshold: float | None,
    target_frr: float | None,
    warn_frr: float | None,
) -> _Aim:
    """Check the limits and rates that are asked for, and fill in the model's. Raises InputError."""
    if warn_frr is not None and (threshold is not None or warn_threshold is not None):
        raise InputError("a rate for the warn limit is given with a limit set by hand; give one of the two")
    manual = None
    if threshold is not None:
        manual = Threshold(float(threshold), "manual", note="set by hand").with_warn(warn_threshold)
    scoring = scoring or model.info.scoring
    # A prior was learnt with the model's scoring, and goes with held-out scores: of one image there are none.
    priors = model.info.prior if scoring == model.info.scoring and shot > 1 else None
    prior = None if priors is None else priors.at(shot)
    rate = default_rate(prior) if target_frr is None else target_frr
    check_rates(rate, warn_frr)
    return _Aim(scoring, prior, rate, warn_frr, warn_threshold, manual)


def _check_number(count: int, needed: int, scoring: Scoring) -> None:
    if count < needed:
        raise InputError(
            f"{count} support image(s); at least {needed} are needed to fit the part and set its threshold: "
            "add photos of good parts (4 to 8 is a good number)"
        )
    if count < 2 and scoring.damping is not None:
        raise InputError(
            "1 support image; scores are in units of held-out good parts here, which takes 2: add photos of good parts "
            "(4 to 8 is a good number), or export the model again with --scoring regad"
        )


def _hold_out(features: Features, views: int, scoring: Scoring) -> tuple[Calibration | None, list[float]]:
    """The calibration, and each support image's score by the statistics of the others; nothing of a single image."""
    if len(features.f1) == views:
        return None, []
    distances = tuple(held_out_distances(features, views, levels) for levels in scoring.groups)
    calibration = calibrate(distances, scoring)
    return calibration, judge(distances, scoring, calibration)[1].tolist()


def _scores(
    backend: Backend,
    statistics: StatisticsGroups,
    scoring: Scoring,
    calibration: Calibration | None,
    inputs: Sequence[NDArray[np.uint8]],
) -> list[float]:
    """The scores of further images' inputs; nothing is made ready for none."""
    if not inputs:
        return []
    handle = backend.prepare(statistics, scoring, calibration)
    return [float(backend.infer(one[None], handle).anomaly_score[0]) for one in inputs]


def _fit(features: Features, encoding: Encoding | None, dtype: StatisticsDtype, scoring: Scoring) -> StatisticsGroups:
    return tuple(fit_statistics(features, encoding, dtype, levels) for levels in scoring.groups)


def _origin(model: Model) -> dict[str, Any]:
    """Where a category comes from: the fields of `Category` that the model, the machine and the time fill in."""
    return {
        "artifact": model.info.hash,
        "software": {"regad": version("regad"), "numpy": np.__version__, "backend": model.backend.name},
        "device": f"{model.backend.device} {platform.machine()}",
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _limit(aim: _Aim, held_out: Sequence[float], scores: Sequence[float]) -> Threshold:
    """The threshold by hand, from the validation images' ``scores``, or from the support images' held-out ones."""
    if aim.manual is not None:
        return aim.manual
    if scores:
        limit = set_threshold(scores, "validation", aim.rate, prior=aim.prior, held_out=held_out, warn_frr=aim.warn_frr)
    else:
        factor = held_out_scale(len(held_out)) if aim.prior is None else 1.0  # a prior knows by how much they differ
        limit = set_threshold(held_out, "leave-one-out", aim.rate, factor, prior=aim.prior, warn_frr=aim.warn_frr)
    return limit if aim.warn_threshold is None else limit.with_warn(aim.warn_threshold)


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
    category = teach(
        model,
        inputs,
        InputSpec(mean=spec.mean, std=spec.std),  # an image of the input's size is taken as it is
        files=files,
        target_frr=target_frr,
        warn_frr=warn_frr,
        validation=validation,
        validation_files=validation_files,
        threshold=threshold,
        warn_threshold=warn_threshold,
        progress=progress,
        strict=strict,
        registration="off",
    )
    return replace(category, spec=spec)
