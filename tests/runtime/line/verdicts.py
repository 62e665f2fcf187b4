"""Verdicts to write: judged, and not."""

from __future__ import annotations

from typing import Any

import numpy as np

from regad.runtime.detector import Result, Timings
from regad.runtime.formats.spec import InputSpec
from regad.runtime.line.verdict import Verdict
from regad.runtime.sources.frame import Frame


def verdict(
    score: float | None = 3.0, name: str = "a/x.png", image: Any = None, spec: InputSpec | None = None
) -> Verdict:
    picture = np.full((40, 60, 3), 90, np.uint8) if image is None else image
    frame = Frame("shots/x.jpg", 7, 1700000000.1234567, None if score is None else picture, name=name)
    if score is None:
        return Verdict(frame, error="cannot be read")
    heat = np.full((224, 224), score, np.float32)
    thetas = np.tile(np.array([[1, 0, 0], [0, 1, 0.25]], np.float32), (3, 1, 1))
    timings = Timings(1.00049, 20.5, 4.25, 26.0)
    return Verdict(frame, Result(score, 5.0, score > 5.0, heat, thetas, timings, spec or InputSpec()))
