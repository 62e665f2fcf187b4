"""Evaluation: teach k good images, judge the test folder, compare with the labels.

The detector may be a deployed artifact or a checkpoint in torch. Scores are raw and the threshold is the one that
teaching set; nothing is tuned or normalised on test images.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from regad.calib.support import draw_support, read_good_images
from regad.calib.teach import teach
from regad.runtime.detector import Detector
from regad.runtime.errors import InputError
from regad.runtime.formats.category import Category, SupportImage
from regad.runtime.formats.registration import Register
from regad.runtime.formats.spec import SIZE, InputSpec
from regad.runtime.imaging.preprocess import preprocess
from regad.runtime.imaging.reading import read_picture
from regad.runtime.text import Say, noted, shown, unsaid

from ..data.layouts import TestItem, good_images, test_items
from ..data.masks import read_mask
from .frames import Frames

if TYPE_CHECKING:
    from .metrics import PixelTruth

__all__ = ["Draw", "Evaluation", "TestSet", "Trial", "draw", "evaluate", "list_test", "load_test", "measured"]


@dataclass(frozen=True)
class Draw:
    """A support set to teach: ``support`` names the files relative to the data folder, with the hash of each.

    A hash is empty where the set was drawn and not yet read.
    """

    category: str
    shot: int
    seed: int
    support: tuple[SupportImage, ...]


@dataclass(frozen=True)
class Evaluation:
    """One category taught once and tested. A measure that the data does not allow is None.

    ``false_reject`` is the fraction of good images above ``threshold``, ``escape`` that of defective images not above
    it (None without a threshold); the other measures are those of `regad.train.evaluation.metrics`. Pixels count in
    good images and in those defective ones that have a mask (``masked`` of them), at the encoder's 224 x 224.
    ``scores`` are in the order of the test images; ``ms`` is the median of preprocessing, encoding and scoring one
    image (None where that was not measured). ``held_out`` are the scores of the support images, each judged by the
    others' statistics. ``registered``: the part was laid on the first support image.
    """

    category: str
    shot: int
    seed: int
    support: tuple[SupportImage, ...]
    good: int
    defective: int
    masked: int
    image_auroc: float | None
    average_precision: float | None
    f1_max: float | None
    false_alarm_at_full_recall: float | None
    pixel_auroc: float | None
    aupro: float | None
    threshold: float | None
    false_reject: float | None
    escape: float | None
    ms: float | None
    scores: tuple[float, ...]
    held_out: tuple[float, ...] = ()
    registered: bool = False


@dataclass(frozen=True, eq=False)
class TestSet:
    """A category's test images as the encoder sees them, uint8 [n, 224, 224, 3], and their truth.

    ``known`` are the indices of the images whose pixels are known, in the order of ``truth``.
    """

    root: Path
    category: str
    items: Sequence[TestItem]
    images: NDArray[np.uint8]
    labels: NDArray[np.bool_]
    known: Sequence[int]
    truth: PixelTruth
    preprocess_ms: float


@dataclass(frozen=True, eq=False)
class Trial:
    """An evaluation with what a report shows of it: maps float32 [n, 224, 224] and thetas [n, 3, 2, 3]."""

    evaluation: Evaluation
    taught: Category
    tests: TestSet
    maps: NDArray[np.float32]
    thetas: NDArray[np.float32]


def list_test(root: Path, category: str, say: Say = unsaid) -> list[TestItem]:
    """Return the test images of a category; ``say`` receives what is odd about its folders. Raises InputError."""
    good_images(root, category, say)
    return test_items(root / category, say)


def load_test(root: Path, category: str, spec: InputSpec, say: Say = unsaid) -> TestSet:
    """Read and preprocess the test images and masks of a category, once for all rounds.

    ``say`` receives what is odd about them. Raises InputError for missing folders and unreadable images or masks.
    """
    from .metrics import PixelTruth  # here and below, since scikit-learn takes a second to import

    items = list_test(root, category, say)
    notes: list[tuple[str, str]] = []
    images = np.empty((len(items), SIZE, SIZE, 3), np.uint8)
    known: list[int] = []
    masks: list[NDArray[np.bool_]] = []
    times: list[float] = []
    for index, item in enumerate(items):
        image, odd, _ = read_picture(item.path)
        notes += [(shown(item.path), note) for note in odd]
        started = time.perf_counter()
        images[index] = preprocess(image, spec)
        times.append((time.perf_counter() - started) * 1e3)
        if item.mask is not None or not item.label:
            known.append(index)
            blank = np.zeros((SIZE, SIZE), np.bool_)
            say_mask = partial(_note, notes, f"mask {shown(item.mask or '')}")
            masks.append(blank if item.mask is None else read_mask(item.mask, image.shape, spec, say_mask))
    for line in noted(notes):
        say(line)
    truth = PixelTruth(np.stack(masks) if masks else np.zeros((0, SIZE, SIZE), np.bool_))
    labels = np.array([item.label for item in items], np.bool_)
    return TestSet(root, category, items, images, labels, known, truth, statistics.median(times))


def _note(notes: list[tuple[str, str]], name: str, note: str) -> None:
    notes.append((name, note))


def draw(root: Path, category: str, shot: int, seed: int) -> Draw:
    """Draw ``shot`` good images of a category by ``seed``. Raises InputError if there are too few."""
    paths = draw_support(good_images(root, category), shot, seed)
    return Draw(category, shot, seed, tuple(SupportImage(path.relative_to(root).as_posix(), "") for path in paths))


def _teach(
    detector: Detector, root: Path, drawn: Draw, without: Collection[str], registration: Register
) -> tuple[Category, Draw]:
    """Teach the support set; returns it with the hashes of what was read, found to be those recorded if any were."""
    read = read_good_images([root / support.name for support in drawn.support])
    files = tuple(SupportImage(s.name, f.sha256) for s, f in zip(drawn.support, read.files, strict=True))
    for recorded, found in zip(drawn.support, files, strict=True):
        if recorded.sha256 not in ("", found.sha256):
            raise InputError(
                f"{shown(root / recorded.name)} is not the image of the recorded run (its sha256 is "
                f"{found.sha256[:12]}, not {recorded.sha256[:12]}); use the data set of that run, or draw anew without "
                "--support-from"
            )
    spec = detector.teaching_spec
    taught = teach(detector.model, read.images, spec, files=files, without=without, registration=registration)
    detector.use(taught)
    return taught, Draw(drawn.category, drawn.shot, drawn.seed, files)


def evaluate(
    detector: Detector,
    tests: TestSet,
    drawn: Draw,
    without: Collection[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
    registration: Register = "auto",
) -> Trial:
    """Teach the support set of ``drawn`` and judge the test images.

    ``without`` names groups of support views to leave out, for ablations; ``registration`` as in `teach`. The maps of a
    registered part are brought to the inputs that are not; a misplaced part scores higher than all that are scored.
    Raises InputError for support images that cannot be read or are not those recorded.
    """
    taught, drawn = _teach(detector, tests.root, drawn, without, registration)
    frames = Frames(taught)
    handle = detector.backend.prepare(taught.statistics, taught.scoring, taught.calibration)
    count = len(tests.items)
    maps = np.empty((count, SIZE, SIZE), np.float32)
    scores, times = np.empty(count, np.float32), np.empty(count)
    thetas, misplaced = np.empty((count, 3, 2, 3), np.float32), np.zeros(count, np.bool_)
    for index in range(count):
        frame = frames.frame(tests.items[index].path, tests.images[index])
        done = detector.backend.infer(frame.image[None], handle)
        maps[index] = frames.lay(done.anomaly_map[0], frame)
        scores[index], thetas[index], misplaced[index] = done.anomaly_score[0], done.theta[0], frame.misplaced
        times[index] = frame.ms + done.encode_ms + done.score_ms
        progress(index + 1, count)
    if not np.isfinite(scores).all():
        raise InputError(f"{tests.category}: an anomaly score is not finite; check the model with regad-doctor --model")
    scores[misplaced] = 2 * max(float(np.max(scores)), taught.threshold.value)
    ms = float(np.median(times)) + tests.preprocess_ms
    limit, registered = taught.threshold, taught.registration is not None
    held_out = limit.scores if limit.method == "leave-one-out" else ()
    evaluation = measured(tests, drawn, scores, maps, limit.value, ms)
    evaluation = replace(evaluation, held_out=held_out, registered=registered)
    return Trial(evaluation, taught, tests, maps, thetas)


def measured(
    tests: TestSet,
    drawn: Draw,
    scores: NDArray[np.float32],
    maps: NDArray[np.float32],
    threshold: float | None = None,
    ms: float | None = None,
) -> Evaluation:
    """Return the measures of anomaly scores [n] and maps float32 [n, 224, 224] of all test images, in their order.

    Without a ``threshold`` the rates at it are None; ``ms`` is passed on.
    """
    from .metrics import image_measures, rate

    image = image_measures(tests.labels, scores)
    pixel = tests.truth.measures(maps[list(tests.known)])
    return Evaluation(
        category=drawn.category,
        shot=drawn.shot,
        seed=drawn.seed,
        support=drawn.support,
        good=int((~tests.labels).sum()),
        defective=int(tests.labels.sum()),
        masked=sum(item.mask is not None for item in tests.items),
        image_auroc=image.auroc,
        average_precision=image.average_precision,
        f1_max=image.f1_max,
        false_alarm_at_full_recall=image.false_alarm_at_full_recall,
        pixel_auroc=pixel.auroc,
        aupro=pixel.aupro,
        threshold=threshold,
        false_reject=None if threshold is None else rate(scores[~tests.labels] > threshold),
        escape=None if threshold is None else rate(scores[tests.labels] <= threshold),
        ms=ms,
        scores=tuple(float(score) for score in scores),
    )
