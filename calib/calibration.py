"""Calibrating the map: each position is divided by what a held-out good part shows there.

With m_i [g, g] the held-out distances of support image i, h^2 the mean of m_i^2 over the images, smoothed, and n^2 its
mean over the positions, the scale is c sqrt(n^2 (1 + a) / (h^2 + a n^2)): a damps it where good parts show little. The
factor c makes the geometric mean of the held-out scores 1, so that a score of 1 says "as far from the taught parts as a
held-out good part".
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from regad.runtime.errors import InputError
from regad.runtime.formats.scoring import Calibration, Scoring
from regad.runtime.scoring.reference import judge

__all__ = ["calibrate", "gaussian_smooth", "relative_scale"]

Array = NDArray[np.float32]
_TRUNCATE = 4.0  # scipy's: the Gaussian ends so many standard deviations from its centre


def calibrate(distances: Array, scoring: Scoring) -> Array | None:
    """Return the scale, float32 [g, g], for held-out distances, float32 [k, g, g]; None if it is not calibrated.

    Raises InputError if the support images do not differ: nothing can be divided by a held-out distance of 0.
    """
    if scoring.calibration is None:
        return None
    scale = relative_scale(distances, scoring.calibration)
    _, scores = judge(distances, replace(scoring, map="raw"), scale)
    scale *= np.float32(np.exp(-np.log(scores.astype(np.float64)).mean()))
    return scale


def relative_scale(distances: Array, calibration: Calibration) -> Array:
    """Return the scale without its common factor, float32 [g, g], for held-out distances, float32 [k, g, g].

    Raises InputError where it is not finite: at positions where no held-out image shows a distance.
    """
    shown = gaussian_smooth(np.square(distances, dtype=np.float64).mean(axis=0), calibration.sigma)
    mean, a = shown.mean(), calibration.a
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scale: Array = np.sqrt(mean * (1 + a) / (shown + a * mean)).astype(np.float32)
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise InputError(
            "the support images do not differ, so nothing is known of how good parts vary: "
            "take photos of several parts, each placed anew"
        )
    return scale


def gaussian_smooth(values: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Return what scipy's ``gaussian_filter(values, sigma, mode="reflect")`` gives of a square grid; sigma in cells."""
    if sigma == 0:
        return values
    size = len(values)
    offsets = np.arange(-int(_TRUNCATE * sigma + 0.5), int(_TRUNCATE * sigma + 0.5) + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    source = (np.arange(size)[:, None] + offsets) % (2 * size)
    source = np.where(source >= size, 2 * size - 1 - source, source)
    blur = np.zeros((size, size))
    np.add.at(blur, (np.arange(size)[:, None], source), kernel)
    smooth: NDArray[np.float64] = blur @ values @ blur.T
    return smooth
