"""What a training run is told, checked before anything starts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from regad.runtime.errors import InputError
from regad.runtime.spec import Fit, InputSpec, Resample

from .stn import DEFAULT_MODE, stn_mode

__all__ = ["NORMALIZE", "Device", "Normalize", "TrainConfig"]

Normalize = Literal["none", "imagenet"]
Device = Literal["auto", "cpu", "cuda"]

NORMALIZE: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Mean and standard deviation by name, for RGB in [0, 1]. The reference uses none."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run. The defaults are the released recipe; ``weights`` is imagenet, none or a file.

    Raises InputError at construction for a value out of range.
    """

    data: Path
    out: Path
    hold_out: tuple[str, ...] = ()
    shot: int = 2
    epochs: int = 50
    batch_size: int = 32
    lr: float = 1e-4
    momentum: float = 0.9
    stn_mode: str = DEFAULT_MODE
    weights: str = "imagenet"
    normalize: Normalize = "none"
    fit: Fit = "stretch"
    resample: Resample = "box"
    seed: int = 0
    device: Device = "auto"

    def __post_init__(self) -> None:
        stn_mode(self.stn_mode)
        if self.normalize not in NORMALIZE:
            raise InputError(f"normalize is {self.normalize!r}; expected one of {', '.join(NORMALIZE)}")
        if self.device not in get_args(Device):
            raise InputError(f"device is {self.device!r}; expected one of {', '.join(get_args(Device))}")
        for name, least in (("shot", 1), ("epochs", 0), ("batch_size", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}; expected {least} or more")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise InputError(f"lr is {self.lr}; expected a number above 0")
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum is {self.momentum}; expected a number in [0, 1)")
        _ = self.spec

    @property
    def spec(self) -> InputSpec:
        """The preprocessing that is recorded in the checkpoint and carried into the artifact."""
        mean, std = NORMALIZE[self.normalize]
        return InputSpec(fit=self.fit, resample=self.resample, mean=mean, std=std)
