"""Evaluation through the deployed detector: teach k good images, judge the test folder, compare with the labels.

Scores are raw and the threshold is the one that teaching set; nothing is tuned or normalised on test images.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from regad.calib.teach import teach_folder
from regad.runtime.detector import Detector
from regad.runtime.errors import InputError
from regad.runtime.preprocess import preprocess_mask, read_image
from regad.runtime.spec import SIZE, InputSpec

from .data import TestItem, good_images, test_items

__all__ = ["Evaluation", "auroc", "evaluate", "read_mask"]


@dataclass(frozen=True)
class Evaluation:
    """One category taught once and tested. A measure that the data does not allow is None.

    ``false_reject`` is the fraction of good images above ``threshold``, ``escape`` that of defective images not above
    it. ``pixel_auroc`` counts good images and those defective ones that have a mask (``masked`` of them), at the
    encoder's 224 x 224. ``ms`` is the median time of a prediction.
    """

    category: str
    shot: int
    seed: int
    support: tuple[str, ...]
    good: int
    defective: int
    masked: int
    image_auroc: float | None
    pixel_auroc: float | None
    threshold: float
    false_reject: float | None
    escape: float | None
    ms: float


def auroc(labels: NDArray[np.bool_], scores: NDArray[np.float32]) -> float | None:
    """Return the area under the ROC curve, or None when only one class is present."""
    if labels.all() or not labels.any():
        return None
    return float(roc_auc_score(labels, scores))


def read_mask(path: Path, image_shape: tuple[int, ...], spec: InputSpec) -> NDArray[np.bool_]:
    """Read a defect mask as the encoder's input sees it, bool [224, 224]; not black is defect.

    Raises InputError when it cannot be read or its size is not the image's.
    """
    mask = read_image(path)
    if mask.shape[:2] != tuple(image_shape[:2]):
        sizes = [f"{shape[1]}x{shape[0]}" for shape in (mask.shape, image_shape)]
        raise InputError(f"mask {path} is {sizes[0]} pixels; its image is {sizes[1]}: expected the same size")
    return preprocess_mask(mask.max(axis=2), spec)


def evaluate(
    detector: Detector,
    root: Path,
    category: str,
    shot: int,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Teach ``shot`` images of ``root/category/train/good``, drawn by ``seed``, and judge ``root/category/test``.

    Raises InputError for missing folders, too few good images, and unreadable images or masks.
    """
    good_images(root, category)
    items = test_items(root / category)
    taught = teach_folder(detector, root / category / "train" / "good", shot=shot, seed=seed)
    labels = np.array([item.label for item in items], np.bool_)
    scores = np.zeros(len(items), np.float32)
    times: list[float] = []
    maps: list[NDArray[np.float32]] = []
    masks: list[NDArray[np.bool_]] = []
    for index, item in enumerate(items):
        image = read_image(item.path)
        result = detector.predict(image)
        scores[index] = result.score
        times.append(result.timings.total)
        if item.mask is not None or not item.label:
            maps.append(result.anomaly_map)
            masks.append(_truth(item, image.shape, result.spec))
        progress(index + 1, len(items))
    limit = taught.threshold.value
    return Evaluation(
        category=category,
        shot=shot,
        seed=seed,
        support=tuple(support.name for support in taught.support),
        good=int((~labels).sum()),
        defective=int(labels.sum()),
        masked=sum(item.mask is not None for item in items),
        image_auroc=auroc(labels, scores),
        pixel_auroc=auroc(np.concatenate(masks, axis=None), np.concatenate(maps, axis=None)) if masks else None,
        threshold=limit,
        false_reject=_fraction(scores[~labels] > limit),
        escape=_fraction(scores[labels] <= limit),
        ms=statistics.median(times),
    )


def _truth(item: TestItem, shape: tuple[int, ...], spec: InputSpec) -> NDArray[np.bool_]:
    return np.zeros((SIZE, SIZE), np.bool_) if item.mask is None else read_mask(item.mask, shape, spec)


def _fraction(hits: Sequence[bool] | NDArray[np.bool_]) -> float | None:
    return float(np.mean(hits)) if len(hits) else None
