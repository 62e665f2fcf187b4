"""The measures of anomaly detection, of images and of pixels, from raw scores.

A higher score is more anomalous. A measure that the data does not allow (one class only, no mask) is None.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

__all__ = ["PRO_LIMIT", "ImageMeasures", "PixelMeasures", "PixelTruth", "auroc", "image_measures", "rate"]

PRO_LIMIT = 0.3
"""AUPRO integrates the per-region overlap up to this false-positive rate (Bergmann et al., IJCV 2021)."""
_TOUCHING = np.ones((3, 3))
"""Pixels that touch at a corner belong to one region, as in MVTec's and anomalib's evaluation."""


class ImageMeasures(NamedTuple):
    """Measures over images, each in [0, 1] or None."""

    auroc: float | None
    average_precision: float | None
    f1_max: float | None
    false_alarm_at_full_recall: float | None


class PixelMeasures(NamedTuple):
    """Measures over pixels, each in [0, 1] or None."""

    auroc: float | None
    aupro: float | None


def auroc(labels: NDArray[np.bool_], scores: NDArray[np.float32]) -> float | None:
    """Return the area under the ROC curve, or None when only one class is present."""
    if labels.all() or not labels.any():
        return None
    return float(roc_auc_score(labels, scores))


def image_measures(labels: NDArray[np.bool_], scores: NDArray[np.float32]) -> ImageMeasures:
    """Return the measures of images from ``labels`` bool [n] (True is defective) and ``scores`` float32 [n].

    ``f1_max`` is the best F1 over all thresholds; ``false_alarm_at_full_recall`` the fraction of good images that
    score at least as high as the lowest defective one.
    """
    if labels.all() or not labels.any():
        return ImageMeasures(None, None, None, None)
    precision, recall, _ = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(np.float64).tiny)
    return ImageMeasures(
        auroc=auroc(labels, scores),
        average_precision=float(average_precision_score(labels, scores)),
        f1_max=float(f1.max()),
        false_alarm_at_full_recall=rate(scores[~labels] >= np.min(scores[labels])),
    )


def rate(hits: NDArray[np.bool_]) -> float | None:
    """Return the fraction that is True, or None of nothing."""
    return float(np.mean(hits)) if len(hits) else None


class PixelTruth:
    """The true defects of a test set, with what the measures need of them worked out once.

    ``masks`` is bool [n, H, W], True where defective, good images included as all False.
    """

    def __init__(self, masks: NDArray[np.bool_]) -> None:
        self.masks = masks.reshape(-1)
        weights = np.zeros(masks.shape, np.float32)
        self.regions = 0
        for mask, weight in zip(masks, weights, strict=True):
            regions, count = label(mask, _TOUCHING)
            sizes = np.bincount(regions.reshape(-1))
            weight[mask] = 1 / sizes[regions[mask]]
            self.regions += count
        self._weights = weights.reshape(-1)

    def measures(self, maps: NDArray[np.float32], limit: float = PRO_LIMIT) -> PixelMeasures:
        """Return the measures of anomaly maps float32 [n, H, W], exactly: every distinct score is a threshold.

        AUPRO is the mean over regions of the fraction found, integrated over the false-positive rate (all pixels
        outside the masks) up to ``limit`` and divided by it. Takes one sort and about 40 bytes a pixel.
        """
        good = len(self.masks) - int(self.masks.sum())
        if not self.regions or not good:
            return PixelMeasures(None, None)
        scores = maps.reshape(-1)
        order = np.argsort(scores)[::-1]
        ranked = scores[order]
        last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
        found = np.cumsum(self.masks[order])[last]
        wrong = np.append(0.0, (last + 1 - found) / good)
        right = np.append(0.0, found / found[-1])
        overlap = np.append(0.0, np.cumsum(self._weights[order], dtype=np.float64)[last] / self.regions)
        return PixelMeasures(_area(wrong, right), _area_until(wrong, overlap, limit) / limit)


def _area(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Area under the polyline (x, y)."""
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1])) / 2)


def _area_until(x: NDArray[np.float64], y: NDArray[np.float64], limit: float) -> float:
    """Area under the polyline (x, y), x ascending from 0, from 0 to ``limit``."""
    inside = int(np.searchsorted(x, limit, side="right"))
    return _area(np.append(x[:inside], limit), np.append(y[:inside], np.interp(limit, x, y)))
