"""What the tests of regad-run run: the command on a folder of images, with a backend that judges by brightness."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from regad.runtime.backends.base import Encoded, Inference
from regad.runtime.backends.host import HostEncoded, HostScoring
from regad.runtime.detector import Detector
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.category import Category, SupportImage, Threshold
from regad.runtime.formats.category import tensors_sha256 as sha256_of
from regad.runtime.formats.encodings import ENCODINGS, Statistics
from regad.runtime.formats.features import Features
from regad.runtime.formats.scoring import Scoring
from regad.runtime.formats.spec import LEVELS, InputSpec
from regad.runtime.model import Model

ARTIFACT = Artifact(Path("model.regad"), {"scoring": Scoring().to_json()}, "a" * 64, InputSpec(), "fp32")
KEYS = [
    *("source", "frame", "time", "score", "threshold", "anomalous", "warn", "reject", "reason"),
    *("thetas", "ms", "artifact", "category", "device", "precision"),
]
NOT_JUDGED_KEYS = ["source", "frame", "time", "reject", "error"]


def category(
    support: tuple[SupportImage, ...] = (), spec: InputSpec | None = None, artifact: str = "a" * 64
) -> Category:
    tensors = {name: np.zeros(shape, np.float32) for name, shape in ENCODINGS["gram"](1).items()}
    return Category(
        artifact=artifact,
        statistics=(Statistics("gram", 1, 2, tensors),),
        threshold=Threshold(10.0, "leave-one-out", 0.01, (8.0, 9.0), "set from 2 good scores"),
        spec=spec or InputSpec(),
        shot=len(support) or 2,
        support=support,
        data_sha256=sha256_of(tensors),
    )


class FakeBackend:
    """Scores an image by its brightness: a tenth of the mean, so grey 100 lies exactly at the threshold."""

    name = "fake 1.0"
    device = "cpu"
    precision = "f32"

    def prepare(self, statistics: Statistics, scoring: object = None, calibration: object = None) -> object:
        return object()

    def infer(self, images: Any, statistics: object) -> Inference:
        score = images.mean(axis=(1, 2, 3)).astype(np.float32) / 10
        heat = np.broadcast_to(score[:, None, None], (len(images), 224, 224)).copy()
        return Inference(heat, score, np.zeros((len(images), 3, 2, 3), np.float32), 1.0, 2.0)

    def working(self) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self) -> None:
        pass


class Outcome(NamedTuple):
    """How a run ended."""

    code: int
    out: str
    err: str


class Bench:
    """A folder with a support set, the program to run, and what was taught."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.taught: list[dict[str, Any]] = []
        self.loads: list[dict[str, Any]] = []
        for number in range(3):
            self.image(f"support/{number}.png", 30 + number)

    def image(self, name: str, grey: int, size: tuple[int, int] = (40, 30)) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", size, grey).save(path)
        return path

    def load(
        self, path: Any, device: str = "cpu", threads: int | None = None, spec: Any = None, **options: Any
    ) -> Detector:
        self.loads.append({"path": path, "device": device, "threads": threads, "spec": spec, **options})
        return Detector(Model(ARTIFACT, FakeBackend()), spec, owns_model=True)  # type: ignore[arg-type]

    def teach(self, detector: Detector, folder: Any, **options: Any) -> Category:
        self.taught.append({"photos": folder, **options})
        support = tuple(SupportImage(path.name, "0" * 64) for path in folder)
        detector.use(category(support, detector.spec))
        assert detector.category is not None
        return detector.category


Run = Callable[..., Outcome]


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def failure(outcome: Outcome) -> str:
    """The one line of a failure."""
    assert outcome.code == 1
    (line,) = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert outcome.err.splitlines()[-1] == line
    return line


class Noise(HostScoring):
    """Encodes an image as noise of its own brightness; counts its batches."""

    name, device = "noise", "cpu"
    encoded = 0

    def _encode(self, images: NDArray[np.uint8]) -> Encoded:
        self.encoded += 1
        rng = np.random.default_rng(int(images.sum()))
        maps = [rng.normal(size=(len(images), level.positions, level.channels)) for level in LEVELS]
        return HostEncoded(
            self, Features(*(m.astype(np.float32) for m in maps), np.zeros((len(images), 3, 2, 3), np.float32))
        )

    def _release(self) -> None: ...
