"""Teach a part: k good images through the deployed backend to a category with its threshold."""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regad.runtime.backends.base import Backend
from regad.runtime.detector import Detector
from regad.runtime.errors import InputError
from regad.runtime.formats.category import Category, SupportImage, Threshold, tensors_of, tensors_sha256
from regad.runtime.formats.encodings import Encoding, StatisticsDtype
from regad.runtime.formats.features import Features
from regad.runtime.formats.scoring import Scoring
from regad.runtime.formats.spec import LEVELS, InputSpec
from regad.runtime.imaging.preprocess import preprocess
from regad.runtime.model import Model
from regad.runtime.scoring.reference import judge
from regad.runtime.text import Say, shown, unsaid

from .calibration import calibrate
from .check import check_pictures, check_scores, refuse
from .gaussian import fit_statistics, held_out_distances
from .limits import learn_limits
from .support import array_support, draw_support, list_images, read_good_images, refuse_copies
from .threshold import check_rate, check_rates, default_rate, held_out_scale, set_threshold
from .views import kept_views, support_views

__all__ = ["encode_views", "teach", "teach_folder"]

OnImage = Callable[[int, int], None]
_BATCH = 2


def encode_views(
    backend: Backend,
    images: Sequence[NDArray[Any]],
    spec: InputSpec,
    progress: OnImage | None = None,
    without: Collection[str] = (),
) -> Features:
    """Return the features of the 22 views of each image, in order: float32, first axis 22 * len(images).

    ``without`` names groups of views to leave out (`VIEW_GROUPS`), for ablations; there are fewer than 22 then.
    """
    kept = kept_views(without)
    shapes = [*((level.positions, level.channels) for level in LEVELS), (len(LEVELS), 2, 3)]
    whole = Features._make(np.empty((len(kept) * len(images), *shape), np.float32) for shape in shapes)
    for done, image in enumerate(images):
        views = support_views(preprocess(image, spec))[kept]
        for start in range(0, len(kept), _BATCH):
            batch = views[start : start + _BATCH]
            rows = slice(done * len(kept) + start, done * len(kept) + start + len(batch))
            for level, part in zip(whole, backend.features(batch), strict=True):
                level[rows] = part
        if progress is not None:
            progress(done + 1, len(images))
    return whole


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
) -> Category:
    """Fit the statistics and the threshold of a part from good images (uint8 RGB [H, W, 3] or grey [H, W]).

    What a frame that shows the part looks like is learnt from all of them, those for validation included.
    The statistics are stored as ``dtype``, by default what the model's scorer graphs take, and scored as ``scoring``
    says, by default the model's; a single image leaves the scale out, since nothing can be held out.
    The threshold comes from ``threshold`` if given, else from the scores of ``validation`` images, else by leaving one
    support image out at a time, so that about ``target_frr`` of good parts are rejected (None: `default_rate`).
    ``warn_threshold``, or ``warn_frr`` by the same rule, sets a second, lower limit that only warns.
    ``without`` names groups of support views to leave out (`VIEW_GROUPS`), for ablations.
    ``files`` and ``validation_files`` name the images. What is odd about the support images (`regad.calib.check`) is
    in the category's notes; ``strict`` refuses them instead. Raises InputError for that, for an unusable image, for two
    that are the same picture, or for too few of them (two, or one if the threshold does not have to come from them),
    and, before anything is encoded, for limits or rates that cannot be.
    """
    needed = 1 if len(validation) > 0 or threshold is not None else 2
    if target_frr is not None:
        check_rate(target_frr)
    manual = _by_hand(threshold, warn_threshold, warn_frr)
    if len(images) < needed:
        raise InputError(
            f"{len(images)} support image(s); at least {needed} are needed to fit the part and set its threshold: "
            "add photos of good parts (4 to 8 is a good number)"
        )
    backend = model.backend
    support = array_support(images) if files is None else files
    others = array_support(validation, "validation array") if validation_files is None else validation_files
    refuse_copies([*images, *validation], [file.name for file in (*support, *others)])
    scoring = scoring or model.info.scoring
    priors = model.info.prior if scoring == model.info.scoring else None  # it was learnt with that one
    prior = None if priors is None else priors.at(len(images))
    rate = default_rate(prior) if target_frr is None else target_frr
    check_rates(rate, warn_frr)
    inputs = [preprocess(image, spec) for image in images]
    notes = check_pictures(images, inputs, [file.name for file in support])
    refuse(notes, strict)
    features = encode_views(backend, images, spec, progress, without)
    statistics = fit_statistics(features, encoding, dtype or model.info.statistics_dtype, scoring.levels)
    scale, held_out = None, []
    if len(images) > 1:
        distances = held_out_distances(features, len(kept_views(without)), scoring.levels)
        scale = calibrate(distances, scoring)
        held_out = judge(distances, scoring, scale)[1].tolist()
    odd = check_scores(held_out, [file.name for file in support], scoring.score)
    refuse(odd, strict)
    if manual is not None:
        limit = manual
    elif len(validation) > 0:
        handle = backend.prepare(statistics, scoring, scale)
        scores = [float(backend.infer(preprocess(v, spec)[None], handle).anomaly_score[0]) for v in validation]
        limit = set_threshold(scores, "validation", rate, prior=prior, held_out=held_out, warn_frr=warn_frr)
    else:
        factor = held_out_scale(len(images)) if prior is None else 1.0  # a prior knows by how much they differ
        limit = set_threshold(held_out, "leave-one-out", rate, factor, prior=prior, warn_frr=warn_frr)
    if warn_threshold is not None:
        limit = limit.with_warn(warn_threshold)
    return Category(
        artifact=model.info.hash,
        statistics=statistics,
        threshold=limit,
        spec=spec,
        shot=len(images),
        support=support,
        software={"regad": version("regad"), "numpy": np.__version__, "backend": backend.name},
        device=f"{backend.device} {platform.machine()}",
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        data_sha256=tensors_sha256(tensors_of(statistics, scale)),
        limits=learn_limits((*inputs, *(preprocess(image, spec) for image in validation))),
        scoring=scoring,
        notes=(*notes, *odd),
        scale=scale,
    )


def _by_hand(threshold: float | None, warn_threshold: float | None, warn_frr: float | None) -> Threshold | None:
    """The threshold that is set by hand, if one is. Raises InputError for limits that do not go together."""
    if warn_frr is not None and (threshold is not None or warn_threshold is not None):
        raise InputError("a rate for the warn limit is given with a limit set by hand; give one of the two")
    if threshold is None:
        return None
    return Threshold(float(threshold), "manual", note="set by hand").with_warn(warn_threshold)


def teach_folder(
    detector: Detector,
    folder: str | Path | Sequence[Path],
    *,
    shot: int | None = None,
    seed: int = 0,
    target_frr: float | None = None,
    warn_frr: float | None = None,
    validation: str | Path | None = None,
    threshold: float | None = None,
    warn_threshold: float | None = None,
    encoding: Encoding | None = None,
    dtype: StatisticsDtype | None = None,
    spec: InputSpec | None = None,
    progress: OnImage | None = None,
    strict: bool = False,
    say: Say = unsaid,
) -> Category:
    """Teach a part from a folder of good images, or from the files that are given, and put it in force on ``detector``.

    ``shot`` images are drawn by ``seed``, or all are used. The part is taught with ``spec``, by default the detector's
    `teaching_spec`, whatever the part before it was taught with. ``validation`` is a folder of further good images for
    the threshold; it must not hold copies of the support images. ``say`` is told what is odd about the files, and
    what else is in the folders; see `teach` for the rest. Raises InputError.
    """
    photos = list_images(folder, say) if isinstance(folder, str | Path) else folder
    support = read_good_images(draw_support(photos, shot, seed), say)
    extra = None if validation is None else read_good_images(list_images(validation, say), say)
    category = teach(
        detector.model,
        support.images,
        spec or detector.teaching_spec,
        files=support.files,
        target_frr=target_frr,
        warn_frr=warn_frr,
        validation=extra.images if extra is not None else (),
        validation_files=None if extra is None else _in(validation, extra.files),
        threshold=threshold,
        warn_threshold=warn_threshold,
        encoding=encoding,
        dtype=dtype,
        progress=progress,
        strict=strict,
    )
    detector.use(category)
    return category


def _in(folder: str | Path | None, files: tuple[SupportImage, ...]) -> tuple[SupportImage, ...]:
    """The files under names that tell them from those of another folder."""
    return tuple(SupportImage(f"{shown(Path(folder or '') / file.name)}", file.sha256) for file in files)
