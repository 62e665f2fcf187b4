"""``regad-bench --pick``: which device, precision and artifact to use here, and what each costs in equal verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..backends.base import Precision
from ..backends.table import AUTO, DEVICES, find_device
from ..detector import Detector
from ..errors import DeviceError, InputError, RegadError
from ..formats.artifact import Artifact
from ..formats.spec import SIZE, Dtype
from ..imaging.reading import read_picture
from ..text import Say, shown, unsaid
from .bench_rows import FULL_HD, drawn_image
from .timing import medians

__all__ = [
    "Candidate",
    "Measured",
    "Subject",
    "as_json",
    "drawn_subject",
    "measure",
    "photo_subject",
    "pick_table",
    "picks",
]

_SHOT = 4
_IMAGES = 100
_NOISE = 0.97  # a time within this of the plain device's is no reason to leave it

Image = NDArray[np.uint8]


class Subject(NamedTuple):
    """What is taught and judged, uint8 RGB [H, W, 3] each; ``frame`` is timed, ``what`` says what the images are."""

    what: str
    support: Sequence[Image]
    images: Sequence[Image]
    frame: Image


@dataclass(frozen=True)
class Candidate:
    """One way to run: an artifact on a device in a precision."""

    model: Path
    dtype: Dtype
    device: str
    precision: Precision

    def __str__(self) -> str:
        """The options that ask for it."""
        precision = "" if self.precision == "f32" else f" --precision {self.precision}"
        return f"--device {self.device}{precision} --model {shown(self.model)} ({self.dtype})"


@dataclass(frozen=True)
class Measured:
    """A candidate with its median ``ms`` a frame, and how its verdicts and scores compare with the reference's."""

    candidate: Candidate
    ms: float
    equal: int
    images: int
    score_change: float

    @property
    def agreement(self) -> float:
        """The share of equal verdicts."""
        return self.equal / self.images


def drawn_subject(count: int = _IMAGES) -> Subject:
    """A drawn part: 4 good ones, and ``count`` with defects from none to plain, so that many are near the threshold."""
    base = drawn_image(SIZE, SIZE, 0).astype(np.float32)
    support = [_varied(base, number, 0.0) for number in range(_SHOT)]
    strengths = np.linspace(0, 40, count)
    images = [_varied(base, _SHOT + number, float(strength)) for number, strength in enumerate(strengths)]
    return Subject(f"{count} drawn images", support, images, drawn_image(*FULL_HD, 0))


def _varied(base: NDArray[np.float32], number: int, defect: float) -> Image:
    """The part in other light, a little aside, with noise; ``defect`` is by how much a spot is brighter."""
    rng = np.random.default_rng(number)
    image = np.roll(base, rng.integers(-2, 3, 2), (0, 1)) * rng.uniform(0.97, 1.03)
    y, x = np.mgrid[:SIZE, :SIZE]
    top, left = rng.integers(40, SIZE - 40, 2)
    image[(y - top) ** 2 + (x - left) ** 2 < 12**2] += defect
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def photo_subject(support: Path, images: Path, say: Say = unsaid) -> Subject:
    """The photos of two folders: 2 or more good ones to teach, any to judge. Raises InputError."""
    from regad.calib.support import list_images

    good, judged = (list_images(folder, say) for folder in (support, images))
    if len(good) < 2:
        raise InputError(f"{shown(support)} has 1 image; --pick teaches from 2 or more: add photos of good parts")
    taught, rest = ([read_picture(path).image for path in paths] for paths in (good, judged))
    return Subject(f"{len(rest)} images of {shown(images)}", taught, rest, rest[0])


def measure(
    models: Sequence[Path], subject: Subject, runs: int, threads: int | None = None, left_out: Say = unsaid
) -> list[Measured]:
    """Measure every device that is here with every artifact, in turn; the first of the result is the reference.

    That is the first artifact on the CPU in f32. ``left_out`` receives what could not be measured, and why. Each
    candidate is taught by itself, as on a device. Raises ArtifactError, DeviceError if the reference cannot run.
    """
    with ExitStack() as stack:
        held: list[tuple[Candidate, Detector]] = []
        judged: list[list[tuple[float, bool]]] = []
        for candidate in _candidates(models):
            try:
                detector = Detector.load(candidate.model, candidate.device, threads, precision=candidate.precision)
                stack.callback(detector.close)
                detector.fit(list(subject.support))
                verdicts = [(result.score, result.anomalous) for result in map(detector.predict, subject.images)]
            except RegadError as error:
                if not held:
                    raise
                left_out(f"{candidate}: {error.message}")
                continue
            held.append((candidate, detector))
            judged.append(verdicts)
        calls: list[Callable[[], object]] = [
            lambda detector=detector: detector.predict(subject.frame)  # type: ignore[misc]
            for _, detector in held
        ]
        times = medians(calls, runs)
    return [
        _compared(candidate, ms, verdicts, judged[0])
        for (candidate, _), ms, verdicts in zip(held, times, judged, strict=True)
    ]


def _candidates(models: Sequence[Path]) -> Iterator[Candidate]:
    """The plain CPU first, then every device that is here, with every artifact and in every precision."""
    rows = sorted(DEVICES, key=lambda row: not row.required)
    for model in models:
        dtype = Artifact.open(model, verify=False).dtype
        for row in rows:
            if row.required or _present(row.is_present):
                for precision in row.precisions:
                    yield Candidate(model, dtype, row.name, precision)


def _present(look: Callable[[], bool]) -> bool:
    try:
        return look()
    except DeviceError:
        return False


def _compared(
    candidate: Candidate, ms: float, got: Sequence[tuple[float, bool]], wanted: Sequence[tuple[float, bool]]
) -> Measured:
    changes = [abs(a / b - 1) for (a, _), (b, _) in zip(got, wanted, strict=True) if np.isfinite([a, b]).all() and b]
    equal = sum(a == b for (_, a), (_, b) in zip(got, wanted, strict=True))
    return Measured(candidate, ms, equal, len(wanted), max(changes, default=0.0))


def picks(measured: Sequence[Measured], min_agreement: float) -> dict[str, Measured]:
    """Choose: ``exact`` is the fastest in float32, ``fastest`` that of any with ``min_agreement`` equal verdicts.

    The reference stays where the gain is within the noise of the measurement.
    """
    first = measured[0]

    def best(those: Sequence[Measured]) -> Measured:
        found = min(those, key=lambda one: one.ms)
        return found if found.ms < _NOISE * first.ms else first

    same = [
        one
        for one in measured
        if (one.candidate.model, one.candidate.precision) == (first.candidate.model, "f32") and one.agreement == 1
    ]
    return {"exact": best(same), "fastest": best([one for one in measured if one.agreement >= min_agreement])}


def pick_table(measured: Sequence[Measured], subject: Subject, min_agreement: float) -> str:
    """Lay the measurement out, and below it what to use and what that costs."""
    first = measured[0]
    width = max(len(str(one.candidate)) for one in measured)
    lines = [f"{'':<{width}}{'ms':>9}{'ratio':>8}{'equal verdicts':>17}{'score change':>14}"]
    for one in measured:
        share = f"{one.equal}/{one.images}"
        lines.append(
            f"{one.candidate!s:<{width}}{one.ms:9.2f}{one.ms / first.ms:8.2f}{share:>17}{one.score_change:14.1e}"
        )
    lines.append(f"frame to verdict; verdicts on {subject.what}, against the first row, each taught by itself")
    for name, one in picks(measured, min_agreement).items():
        differ = f"{one.images - one.equal} of {one.images} verdicts differ"
        lines.append(f"{name:<9} {one.candidate}: {one.ms / first.ms:.2f} of the time, {differ}")
    lines.append(f"{'auto':<9} takes {find_device(AUTO).name}, and never trades verdicts for speed")
    return "\n".join(lines)


def as_json(measured: Sequence[Measured], min_agreement: float) -> dict[str, Any]:
    """The measurement as plain data."""

    def plain(one: Measured) -> dict[str, Any]:
        candidate = {**asdict(one.candidate), "model": str(one.candidate.model)}
        return {**candidate, "ms": round(one.ms, 3), "agreement": one.agreement, "score_change": one.score_change}

    chosen = {name: plain(one) for name, one in picks(measured, min_agreement).items()}
    return {"measured": [plain(one) for one in measured], **chosen}
