"""A trace to learn from: parts of job 1 with scores, labels, challenges, and a category that judges by brightness."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regad.runtime.errors import InputError
from regad.runtime.formats.category import Category, SupportImage, save_category, tensors_sha256
from regad.runtime.formats.encodings import ENCODINGS, Statistics
from regad.runtime.model import Model
from regad.runtime.station.codes import VerdictCode
from regad.runtime.station.config import CameraConfig, CommandsConfig, Config, JobConfig, ModelConfig, TraceConfig
from regad.runtime.station.job_spec import sha256_of
from regad.runtime.station.trace.entries import Challenge, Label, LabelValue, PartName
from regad.runtime.station.trace.files import array_sha256
from regad.runtime.station.trace.inspection import Inspection
from regad.runtime.station.trace.writer import Trace

from ..run_doubles import ARTIFACT, FakeBackend, category
from ..station.trace.parts import ROOMY

JOB = 1


def grey(value: int) -> NDArray[np.uint8]:
    """An input of the encoder: `FakeBackend` scores it a tenth of ``value``; the threshold is 10."""
    image = np.full((224, 224, 3), value, np.uint8)
    image[::7, ::5] ^= 1
    return image


def open_model() -> Model:
    return Model(ARTIFACT, FakeBackend())  # type: ignore[arg-type]


class Recorded:
    """A trace that is being written; `part` adds one, `label` and `challenge` speak of it."""

    def __init__(self, folder: Path, taught: Category | None = None) -> None:
        self.folder = folder
        self.path = folder / "one.safetensors"
        self.trace = Trace(folder / "trace", ROOMY)
        self.boot = self.trace.open()
        self.seq = 0
        self.use(taught or category())

    def use(self, taught: Category, path: Path | None = None) -> str:
        """Put a category in force, and return its hash."""
        save_category(taught, path or self.path)
        self.category = taught
        self.trace.category(JOB, taught, path or self.path, sha256_of(path or self.path))
        return taught.hash

    def part(self, value: int, label: LabelValue | None = None, **changes: Any) -> int:
        """Record a part of that brightness, as it would be judged; return its id."""
        self.seq += 1
        score, limit = value / 10, self.category.threshold.value
        verdict = VerdictCode.PASS if score <= limit else VerdictCode.REJECT
        facts: dict[str, Any] = {
            **{"boot": self.boot.id, "seq": self.seq, "mono_ns": self.seq * 10**9, "wall": 1.8e9 + self.seq},
            **{"clock_ok": True, "trigger": "command", "verdict": verdict, "output": verdict, "job": JOB},
            **{"category": self.category.hash, "score": score, "threshold": limit, "input": grey(value)},
            **{"mean": float(value), "sharp": value / 20},
        }
        self.trace.add(Inspection(**(facts | changes)))
        if label is not None:
            self.label(self.seq, label)
        return self.seq

    def label(self, part: int, value: LabelValue) -> None:
        self.trace.note(Label(by="ann", at=1.8e9, part=PartName(seq=part), value=value))

    def challenge(self, part: int, expected: VerdictCode, ok: bool) -> None:
        named = PartName(seq=part)
        self.trace.note(Challenge(by="ann", at=1.8e9, job=JOB, expected=int(expected), ok=ok, part=named))

    def done(self) -> Path:
        """Wait until everything is on the disk, pictures too; return the trace's folder."""
        if self.seq:
            assert self.trace.flushed(self.seq, 20.0)
        self.trace.close()
        return self.folder / "trace"


def another(**changes: Any) -> Category:
    """A category of other statistics: its scores are not those of `category`."""
    tensors = {name: np.ones(shape, np.float32) for name, shape in ENCODINGS["gram"](1).items()}
    statistics = (Statistics("gram", 1, 2, tensors),)
    return replace(category(), statistics=statistics, data_sha256=tensors_sha256(tensors), **changes)


def supported(images: list[NDArray[np.uint8]], **changes: Any) -> Category:
    """A category that names these inputs as taught."""
    support = tuple(SupportImage(f"photo {number}", array_sha256(image)) for number, image in enumerate(images))
    return replace(category(support), **changes)


def config_of(recorded: Recorded) -> Config:
    folder = recorded.folder
    job = JobConfig(number=JOB, name="one", category=recorded.path, sha256=sha256_of(recorded.path))
    return Config(
        model=ModelConfig(path=folder / "model.regad"),
        camera=CameraConfig(source="camera:0"),
        jobs=(job,),
        commands=CommandsConfig(socket=folder / "s"),
        trace=TraceConfig(folder=folder / "trace"),
    )


class Link:
    """The line's answers; what was asked is kept."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.refuses = ""

    def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        if self.refuses:
            raise InputError(self.refuses)
        self.asked.append((command, fields))
        return {}
