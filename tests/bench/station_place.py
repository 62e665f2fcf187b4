"""What a station is measured on: a folder, an artifact, the drawn part, and a line that is ready."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from regad.runtime.backends.base import Backend, Encoded, Inference, Maps
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.encodings import Statistics
from regad.runtime.formats.scoring import Scoring
from regad.runtime.model import Model
from regad.runtime.station.codes import Status
from regad.runtime.station.config import Config, TriggerConfig
from regad.runtime.station.line import Line
from regad.runtime.station.scene import DrawnCamera, Scene
from regad.runtime.station.simulate import simulated_config, teach_drawn

PATIENCE = 60.0


class NoCost(Backend):
    """A backend that finds every part good and takes no time."""

    name = device = "none"

    def _prepare(self, statistics: Statistics, scoring: Scoring, scale: Any) -> object:
        return object()

    def _infer(self, images: Any, statistics: object) -> Inference:
        count = len(images)
        heat = np.zeros((count, 224, 224), np.float32)
        return Inference(heat, np.full(count, 1e-3, np.float32), np.zeros((count, 3, 2, 3), np.float32), 0.0, 0.0)

    def _encode(self, images: Any) -> Encoded:
        raise AssertionError("`_infer` answers without")

    def _score(self, encoded: Encoded, statistics: object) -> Maps:
        raise AssertionError("`_infer` answers without")

    def _release(self) -> None:
        pass


class Place:
    """A folder, an artifact, and the drawn part taught on it."""

    def __init__(self, folder: Path, model: Path, no_cost: bool, category: Path | None = None) -> None:
        self.folder, self.model, self.no_cost = folder, model, no_cost
        self.category = category or teach_drawn(model, folder, device="cpu", threads=1)
        self.scene = Scene(1)

    def open_model(self) -> Model:
        if self.no_cost:
            return Model(Artifact.open(self.model), NoCost())
        return Model.load(self.model, "cpu", 1)

    def config(self, kind: str, **tables: Any) -> Config:
        made = simulated_config(self.model, self.folder, self.category, device="cpu", threads=1)
        trigger = TriggerConfig(kind=kind, deadline_ms=60_000, hold_ms=60_000)  # type: ignore[arg-type]
        return msgspec.structs.replace(made, trigger=trigger, **tables)

    @contextmanager
    def line(self, kind: str = "command", **tables: Any) -> Iterator[Line]:
        made = Line(self.config(kind, **tables), source=lambda: DrawnCamera(self.scene), model=self.open_model)
        with made:
            made.start()
            end = time.monotonic() + PATIENCE
            wanted = Status.JOB_OK if kind == "modbus" else Status.READY  # a PLC enables first
            while wanted not in made.image.status:
                assert time.monotonic() < end, f"the line is not ready: {made.image}"
                time.sleep(0.01)
            yield made


def trigger(line: Line) -> dict[str, Any]:
    answer = line.requests.handle({"command": "trigger"})
    assert isinstance(answer, Future)
    return answer.result(PATIENCE)
