"""Drawn screws, taught with registration: what to judge, and Python's verdicts; made once, also for a sanitized run."""

from __future__ import annotations

import pickle
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from standin import screw

from regad.runtime.detector import Detector, Result
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.spec import Fit

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))

from screw import random_pose

__all__ = ["FITS", "Registered", "registered_part"]

Roi = tuple[int, int, int, int]
FITS: dict[Fit, tuple[tuple[int, int], Roi | None]] = {
    "stretch": ((300, 300), None),
    "letterbox": ((400, 640), None),
    "crop": ((480, 500), (90, 80, 340, 320)),
}
"""Size of the frames and region of interest for each fit."""


class Registered(NamedTuple):
    """A part that is registered, what to judge, and Python's verdicts; ``path`` is its category."""

    fit: Fit
    size: tuple[int, int]
    path: Path
    frames: list[NDArray[Any]]
    expected: list[Result]


def registered_part(standin: Artifact, fit: Fit) -> Registered:
    """The part taught with ``fit``, from the stand-in's folder if it was made before: it takes seconds, sanitized 6."""
    kept = standin.path.parent / f"registered-{fit}.pickle"
    if not kept.exists():
        kept.write_bytes(pickle.dumps(_make(standin, fit)))
    part: Registered = pickle.loads(kept.read_bytes())
    return part


def _make(standin: Artifact, fit: Fit) -> Registered:
    size, roi = FITS[fit]
    poses = [random_pose(np.random.default_rng(seed), 0.06) for seed in range(9)]
    photos = [screw(seed, pose, *size) for seed, pose in enumerate(poses)]
    python = Detector.load(standin.path, spec=replace(standin.spec, fit=fit, roi=roi))
    python.fit(photos[:3], registration="on")
    path = standin.path.parent / f"registered-{fit}.safetensors"
    python.save_category(path)
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    ring = abs(np.hypot(x - size[1] / 2, y - size[0] / 2) - 90) < 20
    other = np.where(ring[..., None], np.uint8(60), np.uint8(200)).repeat(3, axis=2)
    frames = [*photos[3:], other, np.full((*size, 3), 190, np.uint8)]
    return Registered(fit, size, path, frames, python.predict_batch(frames))
