"""A model without graphs: features are noise that each image seeds, and the batches that were encoded are counted."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from regad.runtime.backends.base import Encoded
from regad.runtime.backends.host import HostEncoded, HostScoring
from regad.runtime.errors import DeviceError
from regad.runtime.formats.category import Category, save_category, tensors_sha256
from regad.runtime.formats.encodings import ENCODINGS, Statistics
from regad.runtime.formats.features import Features
from regad.runtime.formats.spec import LEVELS
from regad.runtime.model import Model

from ..runtime.run_doubles import ARTIFACT, category


class Noise(HostScoring):
    """``most``: a larger batch is refused, as by a device whose memory is short."""

    name, device = "noise", "cpu"
    most = 100

    def __init__(self) -> None:
        super().__init__(1)
        self.batches: list[int] = []

    def _encode(self, images: NDArray[np.uint8]) -> Encoded:
        self.batches.append(len(images))
        if len(images) > self.most:
            raise DeviceError("noise ran out of memory", code="memory")
        levels = []
        for level in LEVELS:
            shape = (level.positions, level.channels)
            made = [np.random.default_rng(int(image.sum())).normal(size=shape) for image in images]
            levels.append(np.stack(made).astype(np.float32))
        return HostEncoded(self, Features(*levels, np.zeros((len(images), 3, 2, 3), np.float32)))

    def _release(self) -> None: ...


def model() -> Model:
    return Model(ARTIFACT, Noise(), 1)


def taught(seed: int, artifact: str = ARTIFACT.hash, rank: int = 1) -> Category:
    """A category of its own: means of noise, no views' spread; of 2.8 MB, or 34 MB with a ``rank`` of 21."""
    rng = np.random.default_rng(seed)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in ENCODINGS["gram"](rank).items()}
    for name in ("mean1", "mean2", "mean3"):
        tensors[name] = rng.normal(size=tensors[name].shape).astype(np.float32)
    made = Statistics("gram", rank, rank + 1, tensors)
    return dataclasses.replace(category(artifact=artifact), statistics=(made,), data_sha256=tensors_sha256(tensors))


def place(folder: Path, name: str, seed: int, artifact: str = ARTIFACT.hash) -> Category:
    """Write a category into a folder as regad-triton does."""
    made = taught(seed, artifact)
    save_category(made, folder / f"{name}.safetensors")
    return made
