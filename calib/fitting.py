"""From encoded views to a category: statistics, calibration and threshold, whatever the inputs came from."""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Sequence
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
from regad.runtime.formats.limits import Limits
from regad.runtime.formats.prior import Prior
from regad.runtime.formats.scoring import Calibration, Scoring
from regad.runtime.formats.spec import InputSpec
from regad.runtime.model import Model
from regad.runtime.scoring.reference import judge

from .calibration import calibrate
from .check import check_scores, refuse
from .gaussian import fit_statistics, held_out_distances
from .registering import Chosen, encode
from .threshold import check_rates, default_rate, held_out_scale, set_threshold

__all__ = ["Aim", "OnImage", "aim_of", "check_number", "fitted"]

OnImage = Callable[[int, int], None]
"""Is told of each support image that is encoded: how many are, and how many there are."""


def fitted(
    model: Model,
    aim: Aim,
    chosen: Chosen,
    *,
    spec: InputSpec,
    support: tuple[SupportImage, ...],
    limits: Limits,
    notes: Sequence[str],
    further: Sequence[NDArray[np.uint8]],
    encoding: Encoding | None = None,
    dtype: StatisticsDtype | None = None,
    progress: OnImage | None = None,
    without: Collection[str] = (),
    strict: bool = False,
) -> Category:
    """Fit the statistics and the threshold of a part from the ``chosen`` inputs.

    ``further``: inputs of good parts that the threshold is set from, if there are any. ``notes`` say what is odd about
    the support images; ``strict`` refuses what their held-out scores add. Raises InputError.
    """
    kept = chosen.views.kept(without)
    _check_views(len(kept), len(chosen.inputs))
    features = encode(model.backend, chosen.inputs, chosen.views, kept, progress)
    statistics = _fit(features, encoding, dtype or model.info.statistics_dtype, aim.scoring)
    calibration, held_out = _hold_out(features, len(kept), aim.scoring)
    names = [file.name for file in support]
    odd = refuse(check_scores(held_out, names, aim.scoring.score), strict)
    scores = _scores(model.backend, statistics, aim.scoring, calibration, further)
    return Category(
        **_origin(model),
        statistics=statistics,
        threshold=_limit(aim, held_out, scores),
        spec=spec,
        shot=len(chosen.inputs),
        support=support,
        data_sha256=tensors_sha256(tensors_of(statistics, calibration, chosen.registration)),
        limits=limits,
        scoring=aim.scoring,
        notes=(*notes, *odd),
        calibration=calibration,
        registration=chosen.registration,
        tried=chosen.tried,
    )


class Aim(NamedTuple):
    """How the threshold is to be set, checked; ``manual`` is the one that is set by hand."""

    scoring: Scoring
    prior: Prior | None
    rate: float
    warn_frr: float | None
    warn_threshold: float | None
    manual: Threshold | None


def aim_of(
    model: Model,
    scoring: Scoring | None,
    shot: int,
    threshold: float | None,
    warn_threshold: float | None,
    target_frr: float | None,
    warn_frr: float | None,
) -> Aim:
    """Check the limits and rates that are asked for, and fill in the model's. Raises InputError."""
    if warn_frr is not None and (threshold is not None or warn_threshold is not None):
        raise InputError(
            "warn_frr is set from photos, and a limit is set by hand; give one of the two (warn_threshold sets the "
            "lower limit by hand)"
        )
    manual = None
    if threshold is not None:
        manual = Threshold(float(threshold), "manual", note="set by hand").with_warn(warn_threshold)
    scoring = scoring or model.info.scoring
    # A prior was learnt with the model's scoring, and goes with held-out scores: of one image there are none.
    priors = model.info.prior if scoring == model.info.scoring and shot > 1 else None
    prior = None if priors is None else priors.at(shot)
    rate = default_rate(prior) if target_frr is None else target_frr
    check_rates(rate, warn_frr)
    return Aim(scoring, prior, rate, warn_frr, warn_threshold, manual)


def check_number(count: int, needed: int, scoring: Scoring) -> None:
    if count < needed:
        raise InputError(
            f"{count} support image(s); at least {needed} are needed to fit the part and set its threshold: "
            "add photos of good parts (4 to 8 is a good number)"
        )
    if count < 2 and scoring.damping is not None:
        raise InputError(
            "1 support image; this scoring compares each image with the others, so it needs 2: add photos of good "
            "parts (4 to 8 is a good number), or export the model again with --scoring regad"
        )


def _check_views(views: int, shot: int) -> None:
    """Raise InputError where a covariance would be that of a single view, of all images or of all but one."""
    least = views * max(shot - 1, 1)
    if least < 2:
        raise InputError(
            f"{views} view of each of {shot} support image(s) remains, and a part is fitted to 2 or more: leave out "
            "fewer groups of views, or add photos of good parts"
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


def _limit(aim: Aim, held_out: Sequence[float], scores: Sequence[float]) -> Threshold:
    """The threshold by hand, from the validation images' ``scores``, or from the support images' held-out ones."""
    if aim.manual is not None:
        return aim.manual
    if scores:
        limit = set_threshold(scores, "validation", aim.rate, prior=aim.prior, held_out=held_out, warn_frr=aim.warn_frr)
    else:
        factor = held_out_scale(len(held_out)) if aim.prior is None else 1.0  # a prior knows by how much they differ
        limit = set_threshold(held_out, "leave-one-out", aim.rate, factor, prior=aim.prior, warn_frr=aim.warn_frr)
    return limit if aim.warn_threshold is None else limit.with_warn(aim.warn_threshold)
