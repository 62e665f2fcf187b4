"""Calibrating the score: each position is divided by what a held-out good part shows there.

With H_i(p) the held-out distances of support image i, h^2(p) the mean of H_i^2 over the images and n^2 its mean over
the positions, the scale is 1 / sqrt((h^2 + a n^2) / (1 + a)): a, the scoring's damping, limits it where good parts show
little. A score of 1 says "as far from the taught parts as the cells of a held-out good part". n, the norm, is kept
of every group.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from regad.runtime.errors import InputError
from regad.runtime.formats.scoring import Calibration, Scoring
from regad.runtime.scoring.reference import Distances

__all__ = ["calibrate"]

Array = NDArray[np.float32]


def calibrate(distances: Distances, scoring: Scoring) -> Calibration | None:
    """Return the calibration by held-out distances, one array a group, float32 [k, g, g]; None without a damping.

    Raises InputError if the support images do not differ: nothing can be divided by a held-out distance of 0.
    """
    if scoring.damping is None:
        return None
    shown = [np.square(group, dtype=np.float64).mean(axis=0) for group in distances]
    norms = np.sqrt([group.mean() for group in shown])
    a = scoring.damping
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scale = np.sqrt((1 + a) / (shown[-1] + a * norms[-1] ** 2)).astype(np.float32)
    calibration = Calibration(scale, norms.astype(np.float32))
    if not all(np.isfinite(values).all() and (values > 0).all() for values in calibration):
        raise InputError(
            "the support images do not differ, so nothing is known of how good parts vary: "
            "take photos of several parts, each placed anew"
        )
    return calibration
