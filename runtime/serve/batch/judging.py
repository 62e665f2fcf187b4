"""One image file to its rows: the same for every path, here or on another machine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from ...backends.base import Precision
from ...detector import Detector
from ...formats.atomic import atomic_write
from ...imaging.overlay import render
from ...line.jsonlines import record
from ...line.loop import fatal_error, judge
from ...line.picture_file import encode
from ...line.pictures import safe_name
from ...line.verdict import Verdict
from ...sources.frame import Frame
from ...sources.stills import file_frames
from ...text import shown
from .inputs import Image

__all__ = ["Judge", "Row", "Task", "denied_row"]

Row = dict[str, Any]
"""The keys and values of a JSON line (`regad.runtime.line.jsonlines.record`)."""


@dataclass(frozen=True)
class Task:
    """How images are judged. ``overlays`` is a folder for pictures, or None; ``precision`` and ``force`` are as
    `regad.runtime.backends.table.open_backend` takes them.
    """

    model: Path
    category: Path
    device: str = "auto"
    threads: int | None = None
    threshold: float | None = None
    overlays: Path | None = None
    precision: Precision = "f32"
    force: bool = False


class Judge:
    """A detector that turns image files into rows. Raises ArtifactError, CategoryError, DeviceError."""

    def __init__(self, task: Task) -> None:
        self._overlays = task.overlays
        self._detector = Detector.load(
            task.model, device=task.device, threads=task.threads, precision=task.precision, force=task.force
        )
        category, backend = self._detector.load_category(task.category).hash, self._detector.backend
        self._judge = (self._detector.artifact.hash[:16], category, backend.device, backend.precision)
        if task.threshold is not None:
            self._detector.set_threshold(task.threshold)

    @property
    def device(self) -> str:
        """What it computes on."""
        return self._detector.device

    def rows(self, image: Image) -> list[Row]:
        """Judge every page of a file: a row each, in order, where ``frame`` is the page from 0.

        What cannot be read or judged is a row with an error. Raises what ends a run: the device has failed, a picture
        cannot be written. A picture takes the place of the one that was written for the same page before.
        """
        rows = []
        for frame in file_frames(image.path, image.name, {image.name}):
            verdict, fatal = judge(frame, self._detector.predict)
            if fatal is not None:
                raise fatal_error(fatal) from fatal
            self._draw(verdict)
            rows.append(record(verdict, *self._judge))
        return rows

    def _draw(self, verdict: Verdict) -> None:
        frame, result = verdict.frame, verdict.result
        if self._overlays is None or result is None or frame.image is None:
            return
        name = safe_name(frame.name)
        picture = render(frame.image, result, PurePath(name).with_suffix("").as_posix())
        atomic_write(self._overlays / name, encode(picture, PurePath(name).suffix), sync=False)

    def close(self) -> None:
        """Close the detector."""
        self._detector.close()


def denied_row(folder: Path, reason: str) -> Row:
    """The row of a folder that could not be read: the images in it are not judged."""
    message = f"{shown(folder)} cannot be read: {reason}; the images in it are not judged"
    return record(Verdict(Frame(shown(folder), 0, time.time(), None, error=message), error=message), "", "", "", "")
