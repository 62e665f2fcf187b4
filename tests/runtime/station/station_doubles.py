"""What the tests of the line run: a station with a camera and a backend of their own, everything else real."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regad.runtime.backends.base import Inference
from regad.runtime.formats.category import save_category
from regad.runtime.formats.digest import sha256_of
from regad.runtime.model import Model
from regad.runtime.sources.frame import Frame, Source
from regad.runtime.station.config import (
    CameraConfig,
    CommandsConfig,
    Config,
    JobConfig,
    ModelConfig,
    StationConfig,
    TraceConfig,
    TriggerConfig,
)
from regad.runtime.station.image import ProcessImage
from regad.runtime.station.line import Line

from ..run_doubles import ARTIFACT, FakeBackend, category

GOOD, BAD, BLACK = 60, 150, 0
PATIENCE = 20.0  # seconds after which a test gives up


class Clock:
    """Nanoseconds that pass only when a test says so."""

    def __init__(self, now: int = 1_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def pass_ms(self, milliseconds: float) -> None:
        self.now += round(milliseconds * 1e6)


class TestCamera(Source):
    """A live camera that shows what `show` says: each frame a little other, unless it is ``frozen``."""

    __test__ = False
    live = True

    def __init__(self) -> None:
        super().__init__("test camera")
        self.grey = GOOD
        self.frozen = self.dead = False
        self.index = 0
        self._ended = threading.Event()

    def stop(self) -> None:
        self._ended.set()

    def _start(self) -> None: ...

    def _read(self) -> None: ...

    def _next(self) -> Frame:
        if self.dead:
            self._ended.wait()
        if self._ended.is_set():
            raise StopIteration
        self.index += 1
        image = np.full((40, 40, 3), self.grey, np.uint8)
        if not self.frozen and self.grey != BLACK:
            image[self.index // 40 % 40, self.index % 40] += 1
        return Frame(self.uri, self.index, time.time(), image)

    def reopened(self) -> TestCamera:
        """The same camera, opened again."""
        self._ended = threading.Event()
        return self


class Backend(FakeBackend):
    """Judges by brightness; may fail, or hold a judgement back until it is let go."""

    def __init__(self) -> None:
        self.broken = False
        self.held: threading.Event | None = None
        self.entered = threading.Event()
        self.opened = 0

    def infer(self, images: NDArray[np.uint8], statistics: object) -> Inference:
        self.entered.set()
        if self.held is not None:
            assert self.held.wait(PATIENCE)
        if self.broken:
            raise RuntimeError("the device fell off the bus")
        return super().infer(images, statistics)

    def hold(self) -> threading.Event:
        """Hold judgements back until the event is set."""
        self.held = threading.Event()
        return self.held

    def model(self) -> Model:
        """Open the model on it."""
        self.opened += 1
        return Model(ARTIFACT, self)  # type: ignore[arg-type]


class Station:
    """A line under test, with its camera and its backend. ``config``: that of an earlier one, which starts again."""

    def __init__(
        self,
        folder: Path,
        source: bool = True,
        config: Config | None = None,
        source_camera: TestCamera | None = None,
        **tables: Any,
    ) -> None:
        self.folder = folder
        self.camera, self.backend = source_camera or TestCamera(), Backend()
        self.said: list[str] = []
        self.config = config or self._written(folder, tables)
        opened = self.camera.reopened if source else None
        self.line = Line(self.config, source=opened, model=self.backend.model, say=self.said.append)
        self._changed = threading.Condition()
        self._put_out = self.line.registers.publish
        self.line.registers.publish = self._publish  # type: ignore[method-assign]

    def _written(self, folder: Path, tables: dict[str, Any]) -> Config:
        """Two jobs in a folder, and the tables that a test gives."""
        paths = [folder / name for name in ("one.safetensors", "two.safetensors")]
        for path in paths:
            save_category(replace(category(), created=path.stem), path)
        jobs = tuple(
            JobConfig(number=number, name=path.stem, category=path, sha256=sha256_of(path))
            for number, path in enumerate(paths, 1)
        )
        given: dict[str, Any] = {
            "station": StationConfig(mode="live", autostart=True, job=1),
            "camera": CameraConfig(source="camera:0", max_age_ms=500, reopen_ms=100),
            "trigger": TriggerConfig(deadline_ms=20_000, hold_ms=60_000),
            "trace": TraceConfig(folder=folder / "trace", min_free_gb=0.0),
            **tables,
        }
        return Config(
            model=ModelConfig(path=folder),
            jobs=jobs,
            commands=CommandsConfig(socket=folder / "line.sock"),
            **given,
        )

    def trigger(self, **fields: Any) -> dict[str, Any]:
        """Trigger by command and wait for the answer."""
        answer = self.line.requests.handle({"command": "trigger", **fields})
        assert not isinstance(answer, dict)
        return answer.result(PATIENCE)

    def part(self, grey: int = GOOD) -> str:
        """Put a part under the camera and return the verdict on it."""
        self.camera.grey = grey
        return str(self.trigger()["verdict"])

    def until(self, wanted: Callable[[ProcessImage], bool]) -> ProcessImage:
        """Wait until the outputs are as wanted: looked at each time that the line puts something out."""
        with self._changed:
            found = self._changed.wait_for(lambda: wanted(self.line.image), PATIENCE)
        assert found, f"the outputs stayed as {self.line.image}; said: {self.said}"
        return self.line.image

    def _publish(self, image: ProcessImage) -> None:
        self._put_out(image)
        with self._changed:
            self._changed.notify_all()


@contextmanager
def running(folder: Path, **tables: Any) -> Iterator[Station]:
    """A station that has started and is ready."""
    station = Station(folder, **tables)
    with station.line:
        station.line.start()
        yield station
