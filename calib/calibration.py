"""Calibrating score and map: both are in units of a held-out good part.

With H_i(p) the held-out distances of support image i, h^2(p) the mean of H_i^2 over the images and n^2 its mean over
the positions, the scale is c / sqrt((h^2 + a n^2) / (1 + a)): a, the scoring's damping, limits it where good parts show
little. The factor c makes the geometric mean of the held-out scores 1, so that a score of 1 says "as far from the
taught parts as a held-out good part". The norms, for the map, are each group's n, times what makes the geometric mean
of the held-out maps' largest values 1, before the scoring's gain. Near copies are left out of both means.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from regad.runtime.errors import InputError
from regad.runtime.formats.scoring import Calibration, Scoring
from regad.runtime.scoring.reference import Distances, judge

from .threshold import near_copies

__all__ = ["calibrate"]


def calibrate(distances: Distances, scoring: Scoring) -> Calibration | None:
    """Return the calibration by held-out distances, one array a group, float32 [k, g, g]; None without a damping.

    Raises InputError if the support images do not differ: nothing can be divided by a held-out distance of 0.
    """
    if scoring.damping is None:
        return None
    shown = [np.square(group, dtype=np.float64).mean(axis=0) for group in distances]
    norms, a = np.sqrt([group.mean() for group in shown]), scoring.damping
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scale = np.sqrt((1 + a) / (shown[-1] + a * norms[-1] ** 2))
    relative = _require_positive(scale, norms)
    maps, scores = judge(distances, scoring, relative)
    copies = near_copies(scores.tolist())
    unit = _geometric_mean(np.delete(scores, copies))
    peak = _geometric_mean(np.delete(maps.max(axis=(1, 2)), copies)) if scoring.map == "product" else 1.0
    return _require_positive(scale / unit, norms * peak / scoring.map_gain)


def _require_positive(scale: NDArray[np.float64], norms: NDArray[np.float64]) -> Calibration:
    calibration = Calibration(scale.astype(np.float32), norms.astype(np.float32))
    if not all(np.isfinite(values).all() and (values > 0).all() for values in calibration):
        raise InputError(
            "the support images do not differ, so they do not show how good parts differ: "
            "take photos of several parts, and place each one again"
        )
    return calibration


def _geometric_mean(values: NDArray[np.float32]) -> float:
    return float(np.exp(np.log(values.astype(np.float64)).mean()))
