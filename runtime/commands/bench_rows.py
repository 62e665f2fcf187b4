"""What `regad-bench` measures: every row's floor or plain form runs in the same process, in turn with ours.

The plain forms are those of the released code: a loop over positions with dense inverse covariances.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends.lifecycle import Closing
from ..backends.table import open_backend
from ..detector import Detector
from ..formats.category import Category, save_category
from ..formats.encodings import cast_statistics
from ..formats.features import Features
from ..formats.spec import EPSILON, LEVELS, POSITIONS, SIZE, InputSpec
from ..imaging.preprocess import preprocess
from ..kernels import usable_cores
from ..scoring.compiled import host_scorer
from .timing import Row, medians

__all__ = ["ROWS", "BenchSetup", "camera_curve", "shot_curve"]

_CHANNELS = sum(level.channels for level in LEVELS)
_MEGABYTES = {2: 75.0, 4: 175.0, 8: 330.0}
_REFERENCE_SPEEDUP = {2: 40.0, 8: 10.0}
_PART = 8  # the plain forms run over one position in eight or sixty-four, and are scaled
_FIT_PART = 64
FULL_HD = (1920, 1080)


def drawn_image(width: int, height: int, seed: int) -> NDArray[np.uint8]:
    """A smooth coloured pattern with some noise, uint8 RGB [height, width, 3]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [np.sin(x * a / width + y * b / height + c) for a, b, c in rng.uniform(3, 20, (3, 3))]
    image = np.stack(waves, axis=2) * 90 + 128 + rng.normal(0, 6, (height, width, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


@dataclass
class BenchSetup(Closing):
    """The things that rows share: an artifact, how often to run, and one taught part for each number of shots."""

    model: Path
    shots: tuple[int, ...] = (2, 4, 8)
    runs: int = 15
    _taught: dict[int, Category] = field(default_factory=dict)

    @cached_property
    def detector(self) -> Detector:
        """The artifact on the CPU."""
        return Detector.load(self.model)

    @cached_property
    def features(self) -> Features:
        """The features of one image that no part was taught with."""
        return self.detector.backend.features(self.view(1000)[None])

    def view(self, seed: int) -> NDArray[np.uint8]:
        """A drawn image as the encoder takes it."""
        return preprocess(drawn_image(SIZE, SIZE, seed), InputSpec())

    def close(self) -> None:
        """Close the detector, if any row asked for it."""
        if "detector" in vars(self):
            self.detector.close()

    def category(self, shot: int) -> Category:
        """A part taught from ``shot`` drawn images."""
        if shot not in self._taught:
            self._taught[shot] = self.detector.fit([drawn_image(SIZE, SIZE, seed) for seed in range(shot)])
        return self._taught[shot]


def one_pass(tensors: Sequence[NDArray[Any]], threads: int = 2) -> Callable[[], object]:
    """One pass over memory in ``threads`` threads: the floor of everything that has to read it."""
    flat = [tensor.reshape(-1) for tensor in tensors]
    words = [values[: values.nbytes // 4 * 4 // values.itemsize].view(np.uint32) for values in flat]
    shares = [
        [part[len(part) * index // threads : len(part) * (index + 1) // threads] for part in words]
        for index in range(threads)
    ]

    def read(parts: list[NDArray[np.uint32]]) -> None:
        for part in parts:
            np.max(part, initial=0)

    def run() -> None:
        others = [threading.Thread(target=read, args=(parts,)) for parts in shares[1:]]
        for other in others:
            other.start()
        read(shares[0])
        for other in others:
            other.join()

    return run


def reference_loop() -> Callable[[], object]:
    """The released code's scoring on an eighth of the positions: a product with a cached dense inverse for each."""
    rng = np.random.default_rng(0)
    count = POSITIONS // _PART
    inverses = np.empty((count, _CHANNELS, _CHANNELS), np.float32)
    inverses[:] = np.eye(_CHANNELS, dtype=np.float32) + 1e-3 * rng.random((_CHANNELS, _CHANNELS), dtype=np.float32)
    deviations = rng.random((count, _CHANNELS), dtype=np.float32)
    return lambda: [float(np.sqrt(d @ (m @ d))) for d, m in zip(deviations, inverses, strict=True)]


def reference_fit(features: Features) -> Callable[[], object]:
    """The released code's fit on every 64th position: np.cov in float64, kept as float32, and its dense inverse."""
    positions = np.arange(0, POSITIONS, _FIT_PART)
    y, x = positions // 56, positions % 56
    rows2, rows3 = y // 2 * 28 + x // 2, y // 4 * 14 + x // 4
    views = np.concatenate([features.f1[:, positions], features.f2[:, rows2], features.f3[:, rows3]], axis=2)

    def run() -> None:
        for index in range(len(positions)):
            covariance = np.cov(views[:, index], rowvar=False) + EPSILON * np.eye(_CHANNELS)
            np.linalg.inv(covariance.astype(np.float32))

    return run


def scoring_rows(bench: BenchSetup) -> Iterator[Row]:
    """Scoring against one pass over its statistics, against its bytes, and against the released code's loop."""
    loop = reference_loop()
    for shot in bench.shots:
        for dtype in ("fp32", "fp16"):
            category = bench.category(shot)
            statistics = tuple(cast_statistics(group, dtype) for group in category.statistics)
            scorer = host_scorer(statistics, None, category.scoring, category.calibration)
            name = f"score k = {shot}, {category.encoding} {dtype}"
            tensors = [tensor for group in statistics for tensor in group.tensors.values()]
            read = one_pass(tensors)
            ours, floor = medians([lambda scorer=scorer: scorer.score(bench.features), read], bench.runs)  # type: ignore[misc]
            yield Row(f"{name}: one pass over its memory, 2 threads", ours, floor, target=1.5)
            size = sum(tensor.nbytes for tensor in tensors) / 1e6
            limit = _MEGABYTES.get(shot)
            if limit is not None:
                limit = limit if dtype == "fp32" else limit / 2
                yield Row(f"{name}: its bytes, and the limit", size, limit, "MB", 1.0)
            if dtype == "fp32":
                call = [lambda scorer=scorer: scorer.score(bench.features), loop]  # type: ignore[misc]
                ours, part = medians(call, max(3, bench.runs // 3))
                target = 1 / _REFERENCE_SPEEDUP[shot] if shot in _REFERENCE_SPEEDUP else None
                yield Row(f"{name}: reference loop, inverses cached (1/{_PART} run)", ours, part * _PART, target=target)


def encoder_rows(bench: BenchSetup) -> Iterator[Row]:
    """The encoder: one image against one of a batch, one thread against all."""
    backend = bench.detector.backend
    batch = np.stack([bench.view(seed) for seed in range(8)])
    one, eight = medians([lambda: backend.features(batch[:1]), lambda: backend.features(batch)], bench.runs)
    yield Row("encode: one image, and one of a batch of 8", one, eight / 8)
    with closing(open_backend(bench.detector.artifact, "cpu", 1)) as single:
        ours, alone = medians([lambda: backend.features(batch[:1]), lambda: single.features(batch[:1])], bench.runs)
    yield Row(f"encode: {usable_cores()} threads, and 1", ours, alone)


def frame_rows(bench: BenchSetup) -> Iterator[Row]:
    """A 1080p frame in memory to its verdict, and its preprocessing."""
    frame = drawn_image(*FULL_HD, 7)
    spec, lanczos = InputSpec(), InputSpec(resample="lanczos")
    box, slow = medians([lambda: preprocess(frame, spec), lambda: preprocess(frame, lanczos)], bench.runs)
    yield Row("preprocess 1080p, box: lanczos", box, slow)
    image = bench.view(1)[None]
    for shot in bench.shots:
        bench.detector.use(bench.category(shot))
        whole, encode = medians(
            [lambda: bench.detector.predict(frame), lambda: bench.detector.backend.features(image)], bench.runs
        )
        yield Row(f"1080p frame to verdict, k = {shot}, and encoding alone", whole, encode)


def throughput_rows(bench: BenchSetup) -> Iterator[Row]:
    """Milliseconds an image at full load: in batches, and from two streams, against one at a time."""
    bench.detector.use(bench.category(bench.shots[0]))
    frames = [drawn_image(*FULL_HD, seed) for seed in range(8)]
    predict = bench.detector.predict

    def streams(detector: Detector) -> None:
        workers = [
            threading.Thread(target=lambda part=part: [detector.predict(f) for f in part])
            for part in (frames[:4], frames[4:])
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    with Detector.load(bench.model, threads=1) as single:
        single.use(bench.category(bench.shots[0]))
        calls: list[Callable[[], object]] = [
            lambda: [predict(frame) for frame in frames],
            lambda: bench.detector.predict_batch(frames),
            lambda: streams(bench.detector),
            lambda: streams(single),
        ]
        alone, batch, two, two_single = medians(calls, max(3, bench.runs // 3))
    yield Row(f"batch of 8, k = {bench.shots[0]}, an image, and one at a time", batch / 8, alone / 8)
    yield Row(f"2 streams, k = {bench.shots[0]}, an image, and one at a time", two / 8, alone / 8)
    what = f"2 streams, one thread an inference, k = {bench.shots[0]}, an image, and one at a time"
    yield Row(what, two_single / 8, alone / 8)


def teach_rows(bench: BenchSetup) -> Iterator[Row]:
    """Teaching from 4 images: the fit against the released code's, all of it, and its memory."""
    from regad.calib.gaussian import fit_statistics
    from regad.calib.teach import encode_views, teach

    images = [drawn_image(SIZE, SIZE, seed) for seed in range(4)]
    model, backend = bench.detector.model, bench.detector.backend
    features = encode_views(backend, images)
    plain = reference_fit(features)
    calls: list[Callable[[], object]] = [
        lambda: teach(model, images, InputSpec()),
        lambda: encode_views(backend, images),
        lambda: fit_statistics(features),
        plain,
    ]
    whole, encode, ours, part = medians(calls, 3, warm=1)
    reference = part * _FIT_PART
    yield Row(f"fit, k = 4: reference fit, dense inverses (1/{_FIT_PART} run)", ours, reference, target=1 / 15)
    yield Row("teach, k = 4, threshold included: views encoded, then reference fit", whole, encode + reference)
    code = (
        "import sys; from regad.runtime.commands.bench_rows import drawn_image; "
        "from regad.runtime.commands.cold import resident_mb; "
        "from regad.runtime.detector import Detector; "
        "Detector.load(sys.argv[1]).fit([drawn_image(224, 224, seed) for seed in range(4)]); "
        "print(resident_mb('VmHWM'))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(bench.model)], capture_output=True, text=True, check=True)
    yield Row("teach, k = 4: peak memory of the process, and the limit", float(done.stdout), 1000.0, "MB", 1.0)


def cold_rows(bench: BenchSetup) -> Iterator[Row]:
    """Process start to first verdict on a 1080p frame, and the memory while running, k = 4."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.safetensors"
        save_category(bench.category(4), path)
        starts, sizes = zip(*(cold_start(bench.model, path) for _ in range(5)), strict=True)
    size = sum(tensor.nbytes for tensor in bench.category(4).tensors.values()) / 1e6
    yield Row("cold start to first verdict, k = 4, and the limit", median(starts), 1.5, "s", 1.0)
    yield Row("resident memory while running, k = 4, and its statistics alone", median(sizes), size, "MB")


def cold_start(model: Path, category: Path) -> tuple[float, float]:
    """Start ``commands/cold.py`` once: seconds to its first verdict, and resident megabytes after some more."""
    command = [sys.executable, "-m", "regad.runtime.commands.cold", str(model), str(category), *map(str, FULL_HD)]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        spent = time.perf_counter() - start
        if first.strip() != "verdict":
            raise RuntimeError(f"{' '.join(command)} ended without a verdict")
        return spent, float(process.stdout.readline())


ROWS: Mapping[str, Callable[[BenchSetup], Iterator[Row]]] = {
    "encoder": encoder_rows,
    "scoring": scoring_rows,
    "frame": frame_rows,
    "throughput": throughput_rows,
    "teach": teach_rows,
    "cold": cold_rows,
}
"""The groups of rows, by the name that ``--rows`` takes."""


def shot_curve(bench: BenchSetup) -> list[tuple[float, float]]:
    """Milliseconds of scoring one image for each number of shots."""
    points = []
    for shot in bench.shots:
        category = bench.category(shot)
        scorer = host_scorer(category.statistics, None, category.scoring, category.calibration)
        (spent,) = medians([lambda scorer=scorer: scorer.score(bench.features)], bench.runs)  # type: ignore[misc]
        points.append((float(shot), spent))
    return points


def camera_curve(bench: BenchSetup) -> list[tuple[float, float]]:
    """Milliseconds from frame to verdict against the frame's megapixels, k of the first shot."""
    bench.detector.use(bench.category(bench.shots[0]))
    points = []
    for width, height in ((640, 480), (1280, 720), FULL_HD, (2560, 1440), (3840, 2160)):
        frame = drawn_image(width, height, 3)
        (spent,) = medians([lambda frame=frame: bench.detector.predict(frame)], bench.runs)  # type: ignore[misc]
        points.append((width * height / 1e6, spent))
    return points
