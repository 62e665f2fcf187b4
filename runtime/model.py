"""A model on a device, and parts made ready on it: what detectors share and what they swap."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .backends.base import Backend, Precision, StatisticsHandle
from .backends.lifecycle import Closing
from .backends.table import open_backend
from .errors import ArtifactError, CategoryError
from .formats.artifact import Artifact
from .formats.category import Category
from .formats.encodings import StatisticsDtype
from .formats.memory import trim
from .formats.prior import Priors
from .formats.scoring import Scoring
from .formats.spec import Dtype, InputSpec
from .imaging.registration import Template

__all__ = ["Model", "ModelInfo", "Part", "check_spec"]


class ModelInfo(Protocol):
    """What is known of a model besides its graphs: an `Artifact` is one, a checkpoint in training has another."""

    @property
    def path(self) -> Path:
        """Where it was read from."""

    @property
    def hash(self) -> str:
        """The identity that ties a category to it."""

    @property
    def spec(self) -> InputSpec:
        """The preprocessing it was made for."""

    @property
    def dtype(self) -> Dtype:
        """What its encoder computes in."""

    @property
    def statistics_dtype(self) -> StatisticsDtype:
        """What its scorers take the statistics as."""

    @property
    def scoring(self) -> Scoring:
        """How parts that are taught on it are scored."""

    @property
    def prior(self) -> Priors | None:
        """What other kinds of parts teach about good scores; None where nothing is known."""


@dataclass(frozen=True, eq=False)
class Part:
    """A category made ready on a model. It belongs to that model; its memory is freed with the last reference.

    A call that judges holds its own reference: another part can take its place meanwhile. ``template`` is ready for the
    search, where the category registers its part.
    """

    model: Model
    category: Category
    statistics: StatisticsHandle
    template: Template | None = None


class Model(Closing):
    """A model opened on a device. It owns the backend: `close` releases the device, whoever still holds the model.

    Any number of detectors, threads and parts may share it. Closing waits for calls under way in other threads; what is
    called later raises DeviceError.
    """

    def __init__(self, info: ModelInfo, backend: Backend, threads: int | None = None) -> None:
        """Take over a backend of one's own; `load` opens one of the table's.

        ``threads`` are those that find a registered part (None: all cores).
        """
        self.info = info
        self.backend = backend
        self.threads = threads

    @classmethod
    def load(
        cls,
        path: str | Path,
        device: str = "cpu",
        threads: int | None = None,
        precision: Precision = "f32",
        force: bool = False,
    ) -> Model:
        """Open an artifact folder on ``device`` (`regad.runtime.backends.table.DEVICE_CHOICES`).

        ``precision`` and ``force``: see `regad.runtime.backends.table.open_backend`. Raises ArtifactError, DeviceError.
        """
        artifact = Artifact.open(path)
        return cls(artifact, open_backend(artifact, device, threads, precision, force), threads)

    @property
    def artifact(self) -> Artifact:
        """The artifact. Raises ArtifactError where the model was opened from something else."""
        if not isinstance(self.info, Artifact):
            raise ArtifactError(f"{self.info.path} is not an artifact folder", remedy="export it: regad-export")
        return self.info

    @property
    def device(self) -> str:
        """The device in use and the library behind it, for people to read."""
        return f"{self.backend.device} ({self.backend.name})"

    def part(self, category: Category) -> Part:
        """Make a category ready. Raises CategoryError if it was taught on another model, DeviceError."""
        if category.artifact != self.info.hash:
            raise CategoryError(
                f"the category was taught on artifact {category.artifact[:12]}, but this one is {self.info.hash[:12]}",
                remedy="teach the part with this artifact: regad-calib",
            )
        check_spec(category.spec, self.info.spec)
        registration = category.registration
        template = None if registration is None else Template.of(registration.template).prepared()
        statistics = self.backend.prepare(category.statistics, category.scoring, category.calibration)
        part = Part(self, category, statistics, template)
        trim()
        return part

    def close(self) -> None:
        """Release the device. Closing twice does nothing."""
        self.backend.close()

    def working(self) -> AbstractContextManager[None]:
        """Several calls as one: `close` waits for the end of the block. Raises DeviceError after `close`."""
        return self.backend.working()


def check_spec(spec: InputSpec, model: InputSpec) -> None:
    """Raise CategoryError unless ``spec`` has the model's mean and standard deviation, which are in its graph."""
    if (spec.mean, spec.std) != (model.mean, model.std):
        raise CategoryError(
            f"mean/std {spec.mean}/{spec.std} are not the model's {model.mean}/{model.std}",
            remedy="use the model's; if the part was taught with others, teach it again: regad-calib",
        )
