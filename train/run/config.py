"""The settings of a training run, checked before anything starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from regad.runtime.errors import InputError
from regad.runtime.formats.normalization import PLAIN, FeatureNormalization
from regad.runtime.formats.spec import Fit, InputSpec, Resample

from ..data.store import Cache
from ..model.modes import DEFAULT_MODE, stn_mode

__all__ = [
    "DEFAULT_RECIPE",
    "EDGE_FEATURES",
    "NORMALIZE",
    "RECIPES",
    "Decay",
    "Freeze",
    "Normalize",
    "TrainConfig",
    "TrainDevice",
    "recipe",
]

Normalize = Literal["none", "imagenet"]
TrainDevice = Literal["auto", "cpu", "cuda"]
Freeze = Literal["none", "layer1", "layer2"]
Decay = Literal["epoch", "step"]

NORMALIZE: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Mean and standard deviation by name, for RGB in [0, 1]. The reference uses none."""

# The usual lengths of f2 and f3, 9 and 16, are kept. sqrt(10) more for f3: as if the ridge on it were 0.001.
EDGE_FEATURES = FeatureNormalization((0.0, 0.5, 0.5), (1.0, math.sqrt(9), math.sqrt(16 * 10)))
"""The features that the scoring ``edge`` was chosen with: f2 and f3 divided by the root of each cell's length."""

DEFAULT_RECIPE = "edge"
RECIPES: dict[str, Mapping[str, Any]] = {
    "deep": {},
    "backbone": {"freeze": "layer1", "level_gains": (1.0, 1.0, 1.0)},
    "edge": {
        "epochs": 0,
        "level_gains": (1.0, 1.0, 1.0),
        "feature_exponents": EDGE_FEATURES.exponents,
        "feature_gains": EDGE_FEATURES.gains,
    },
    "register": {"stn_lr": 1e-3, "freeze": "layer1", "level_gains": (1.0, 1.0, 1.0)},
    "released": {
        "epochs": 50,
        "batch_size": 32,
        "lr": 1e-4,
        "stn_lr": 1e-4,
        "head_lr": 1e-4,
        "freeze": "none",
        "freeze_bn": False,
        "normalize": "none",
        "augment": False,
        "decay": "epoch",
        "level_gains": (1.0, 1.0, 1.0),
    },
}
"""Named settings, by what differs from `TrainConfig`'s own values: ``edge``, what is taken where none is named, trains
nothing and normalises f2 and f3 by the root of a cell's length; ``deep`` leaves the transforms at the identity, trains
the deepest level and lets it weigh more; ``backbone`` trains two levels, and weighs all as they come; ``register``
trains the transforms too; ``released`` is the published code's. docs/training.md says what each was measured to do."""


def recipe(name: str) -> Mapping[str, Any]:
    """Return a recipe's settings, those that differ from `TrainConfig`'s. Raises InputError naming the recipes."""
    if name not in RECIPES:
        raise InputError(f"recipe is {name!r}; expected one of {', '.join(RECIPES)}")
    return RECIPES[name]


@dataclass(frozen=True)
class TrainConfig:
    """One training run. Its own values are the recipe ``deep``; ``weights`` is imagenet, none or a file.

    ``lr``, ``stn_lr`` and ``head_lr`` are the rates of the backbone, the three STNs and the siamese heads; a part whose
    rate is 0 is not trained. ``freeze`` leaves the backbone up to that layer as it is, ``freeze_bn`` the statistics of
    its batch norm. ``level_gains`` multiply the maps f1, f2, f3 of the checkpoint that is written: they are folded into
    its weights, so a graph pays nothing for them and any reader of weights has them. By ``feature_exponents`` and
    ``feature_gains`` what is scored is normalised after that (`FeatureNormalization`), by a table beside the weights;
    with exponent 0 such a gain does what a level gain does, but only a lengths' exponent needs it. Training sees
    neither. ``prior`` weighs how far the transforms are from the identity. ``decay`` lowers
    the rates by a cosine, once an ``epoch`` (as released) or every ``step``. ``select`` is the fraction of good images
    held out to choose the epoch by, 0 for the last epoch. Raises InputError at construction for a value out of range.
    """

    data: Path
    out: Path
    hold_out: tuple[str, ...] = ()
    shot: int = 2
    epochs: int = 1
    batch_size: int = 16
    lr: float = 1e-3
    stn_lr: float = 0.0
    head_lr: float = 0.05
    momentum: float = 0.9
    decay: Decay = "step"
    prior: float = 0.0
    freeze: Freeze = "layer2"
    freeze_bn: bool = True
    augment: bool = True
    level_gains: tuple[float, float, float] = (1.0, 1.0, 8.0)
    feature_exponents: tuple[float, float, float] = PLAIN.exponents
    feature_gains: tuple[float, float, float] = PLAIN.gains
    stn_mode: str = DEFAULT_MODE
    weights: str = "imagenet"
    normalize: Normalize = "imagenet"
    fit: Fit = "stretch"
    resample: Resample = "box"
    seed: int = 0
    select: float = 0.0
    device: TrainDevice = "auto"
    amp: bool = False
    workers: int = 2
    cache: Cache = "memory"
    cache_mb: int = 4096
    tensorboard: bool = False

    def __post_init__(self) -> None:
        stn_mode(self.stn_mode)
        for name, kind in _CHOICES.items():
            if getattr(self, name) not in get_args(kind):
                raise InputError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(get_args(kind))}")
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}; expected {least} or more")
        for name in ("lr", "stn_lr", "head_lr", "prior"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise InputError(f"{name} is {getattr(self, name)}; expected a number of 0 or more")
        if not all(math.isfinite(gain) and gain > 0 for gain in self.level_gains):
            raise InputError(f"level gains are {self.level_gains}; expected three numbers above 0, for f1, f2 and f3")
        if self.lr == self.stn_lr == 0:
            raise InputError("lr and stn_lr are both 0: nothing would be trained; use epochs 0 for the initial model")
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum is {self.momentum}; expected a number in [0, 1)")
        if not 0 <= self.select <= 0.5:
            raise InputError(f"select is {self.select}; expected a fraction of the good images from 0 to 0.5")
        self._check_fresh_weights()
        self._check_transforms()
        _ = self.spec, self.normalization

    def _check_fresh_weights(self) -> None:
        """Refuse to keep as they are what is still random: the result would be no better than noise."""
        if self.weights == "none" and self.epochs and (self.freeze_bn or self.freeze != "none"):
            raise InputError(
                "weights none are random, and this recipe keeps layers or batch norm statistics as they are: "
                "use --recipe released (or --freeze none --no-freeze-bn), or start from --weights imagenet"
            )

    def _check_transforms(self) -> None:
        """Refuse settings of the transforms where these are not trained."""
        if self.epochs and self.stn_lr == 0 and (self.stn_mode != DEFAULT_MODE or self.prior):
            what = f"prior {self.prior}" if self.prior else f"stn mode {self.stn_mode}"
            raise InputError(
                f"{what} changes nothing while stn_lr is 0, which leaves the transforms at the identity: "
                "use --recipe register, or give --stn-lr"
            )

    @property
    def spec(self) -> InputSpec:
        """The preprocessing that is recorded in the checkpoint and carried into the artifact."""
        mean, std = NORMALIZE[self.normalize]
        return InputSpec(fit=self.fit, resample=self.resample, mean=mean, std=std)

    @property
    def normalization(self) -> FeatureNormalization:
        """What is done to the length of the features that are scored; recorded in the checkpoint."""
        return FeatureNormalization(self.feature_exponents, self.feature_gains)


_CHOICES: dict[str, Any] = {
    "normalize": Normalize,
    "device": TrainDevice,
    "freeze": Freeze,
    "decay": Decay,
    "cache": Cache,
}
_LEAST = {"shot": 1, "epochs": 0, "batch_size": 1, "seed": 0, "workers": 0, "cache_mb": 0}
