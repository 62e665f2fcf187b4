"""The settings of a run: source, part, device, outputs. Checked when they are made, wherever they came from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from ..backends.base import Precision
from ..errors import InputError
from ..formats.registration import Register
from ..formats.spec import Fit, Resample

__all__ = ["PictureConfig", "RunConfig", "Teaching"]


def _require(condition: bool, name: str, value: object, wanted: str) -> None:
    if not condition:
        raise InputError(f"{name} is {value!r}; expected {wanted}")


def _positive(name: str, value: int | float | None) -> None:
    _require(value is None or (math.isfinite(value) and value > 0), name, value, "a number above 0")


@dataclass(frozen=True)
class Teaching:
    """The part is taught at the start from the photos in ``support``, or recalled if the same ones were taught before.

    ``shot`` of them are drawn by ``seed``, or all are used. ``fit``, ``resample`` and ``roi`` replace the artifact's
    preprocessing; ``target_frr`` is the false-reject rate that the threshold aims at (None: as the artifact's prior
    allows), ``warn_frr`` that of the limit that only warns. ``register``: whether the part is
    registered. Raises InputError.
    """

    support: Path
    shot: int | None = None
    seed: int = 0
    target_frr: float | None = None
    warn_frr: float | None = None
    register: Register = "auto"
    fit: Fit | None = None
    resample: Resample | None = None
    roi: tuple[int, int, int, int] | None = None
    cache: bool = True

    def __post_init__(self) -> None:
        _positive("shot", self.shot)
        for name in ("target_frr", "warn_frr"):
            rate = getattr(self, name)
            _require(rate is None or 0 < rate < 0.5, name, rate, "a rate between 0 and 0.5")


@dataclass(frozen=True)
class PictureConfig:
    """Pictures go into ``folder``: of anomalies only, the newest ``keep``, within ``max_mb`` megabytes.

    Raises InputError.
    """

    folder: Path
    only_anomalous: bool = False
    keep: int | None = None
    max_mb: float | None = None

    def __post_init__(self) -> None:
        _positive("keep", self.keep)
        _positive("max_mb", self.max_mb)

    @property
    def max_bytes(self) -> int | None:
        """The bound in bytes."""
        return None if self.max_mb is None else round(self.max_mb * 1e6)


@dataclass(frozen=True)
class RunConfig:
    """One run of a line. Raises InputError.

    ``source`` is a URI (`regad.runtime.sources.open.KINDS`; ``camera:0`` for a camera). ``part`` says how the part is
    taught, or names its category file; ``threshold`` and ``warn_threshold`` replace its own. ``precision`` and
    ``force`` go to `regad.runtime.backends.table.open_backend`. ``json`` is the record, ``-`` for stdout. ``display``
    None shows a window where there is a display. ``limit`` ends the run after so many frames.
    """

    source: str
    part: Teaching | Path
    model: Path
    device: str = "auto"
    threads: int | None = None
    precision: Precision = "f32"
    force: bool = False
    threshold: float | None = None
    warn_threshold: float | None = None
    json: str | None = None
    pictures: PictureConfig | None = None
    display: bool | None = None
    limit: int | None = None
    fail_on_anomaly: bool = False

    def __post_init__(self) -> None:
        _require(bool(self.source), "source", self.source, "an image, folder, glob, video, camera or stream")
        _positive("threads", self.threads)
        _positive("threshold", self.threshold)
        _positive("warn_threshold", self.warn_threshold)
        _positive("limit", self.limit)
        _require(self.json != "", "json", self.json, "a file, or - for stdout")
