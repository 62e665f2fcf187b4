"""The sizes fixed by RegAD's encoder, and the declared preprocessing of an artifact or category."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast, get_args

from ..errors import InputError

__all__ = [
    "ALL_LEVELS",
    "EDGE_GROUPS",
    "EPSILON",
    "GRID",
    "GROUP_SETS",
    "LEVELS",
    "LEVEL_SETS",
    "POSITIONS",
    "REGAD_GROUPS",
    "SIZE",
    "Dtype",
    "Fit",
    "Groups",
    "InputSpec",
    "Level",
    "Levels",
    "Resample",
    "used_levels",
]

SIZE = 224
"""Side of the encoder's square input, pixels."""
GRID = 56
"""Side of the grid of positions that are scored."""
POSITIONS = GRID * GRID
EPSILON = 0.01
"""Ridge added to every covariance (RegAD, section 3.4)."""


class Level(NamedTuple):
    """One feature map of the encoder: ``grid * grid`` positions of ``channels`` values."""

    name: str
    channels: int
    grid: int

    @property
    def positions(self) -> int:
        """Number of cells of this map."""
        return self.grid * self.grid


LEVELS = (Level("f1", 64, 56), Level("f2", 128, 28), Level("f3", 256, 14))

Levels = tuple[str, ...]
"""Names of the levels that share a Gaussian, one of `LEVEL_SETS`; its distances lie on the grid of the first."""
ALL_LEVELS: Levels = tuple(level.name for level in LEVELS)
LEVEL_SETS: tuple[Levels, ...] = (ALL_LEVELS, ("f2",), ("f3",))
"""What `Levels` may be: every level, or one of the coarser two alone."""
Groups = tuple[Levels, ...]
"""The levels of a category's Gaussians, from fine to coarse, one of `GROUP_SETS`."""
REGAD_GROUPS: Groups = (ALL_LEVELS,)
EDGE_GROUPS: Groups = (("f2",), ("f3",))
GROUP_SETS: tuple[Groups, ...] = (REGAD_GROUPS, EDGE_GROUPS)
"""What `Groups` may be: RegAD's one Gaussian over all levels, or one of f2 and one of f3, independent of each other."""


def used_levels(levels: Levels) -> tuple[Level, ...]:
    """Return the levels of those names, from fine to coarse. Raises InputError unless they are one of `LEVEL_SETS`."""
    if levels not in LEVEL_SETS:
        choices = ", ".join("+".join(names) for names in LEVEL_SETS)
        raise InputError(f"levels are {levels!r}; expected one of {choices}")
    return tuple(level for level in LEVELS if level.name in levels)


Dtype = Literal["fp32", "fp16", "int8"]
"""What the encoder computes in; its inputs and outputs are the same for all."""
Fit = Literal["stretch", "letterbox", "crop"]
Resample = Literal["box", "lanczos", "bilinear"]


@dataclass(frozen=True)
class InputSpec:
    """How a source image becomes the encoder's input. Declared in files, never guessed from data.

    ``fit``: ``stretch`` ignores the aspect ratio (the reference), ``letterbox`` keeps all of the image
    and pads with black, ``crop`` takes the largest centred square. ``roi`` is (x, y, width, height) in
    pixels of the source image after its EXIF orientation. ``mean`` and ``std`` are applied inside
    ``encoder.onnx`` to RGB in [0, 1].
    """

    fit: Fit = "stretch"
    resample: Resample = "box"
    roi: tuple[int, int, int, int] | None = None
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    size: int = SIZE
    color: Literal["RGB"] = "RGB"

    def __post_init__(self) -> None:
        if self.fit not in get_args(Fit):
            raise InputError(f"fit is {self.fit!r}; expected one of {', '.join(get_args(Fit))}")
        if self.resample not in get_args(Resample):
            raise InputError(f"resample is {self.resample!r}; expected one of {', '.join(get_args(Resample))}")
        if self.size != SIZE or self.color != "RGB":
            raise InputError(f"input is {self.color} {self.size}; this version reads RGB {SIZE} only")
        roi = self.roi
        if roi is not None and (len(roi) != 4 or min(roi) < 0 or roi[2] < 1 or roi[3] < 1):
            raise InputError(f"roi is {roi}; expected x,y,width,height with x,y >= 0 and width,height >= 1")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise InputError(f"mean {self.mean} and std {self.std} must have 3 values each, std above 0")

    def to_json(self) -> dict[str, Any]:
        """The spec as it stands in ``manifest.json`` and in a category's metadata."""
        return {
            "size": self.size,
            "color": self.color,
            "layout": "NHWC",
            "dtype": "uint8",
            "fit": self.fit,
            "resample": self.resample,
            "roi": None if self.roi is None else list(self.roi),
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> InputSpec:
        """Read the spec back. Raises InputError for anything that `to_json` would not have written."""
        try:
            if (data["layout"], data["dtype"]) != ("NHWC", "uint8"):
                raise InputError(f"input is {data['layout']} {data['dtype']}; this version reads NHWC uint8 only")
            roi = data["roi"]
            return cls(
                size=int(data["size"]),
                color=data["color"],
                fit=data["fit"],
                resample=data["resample"],
                roi=None if roi is None else cast("tuple[int, int, int, int]", tuple(int(v) for v in roi)),
                mean=cast("tuple[float, float, float]", tuple(float(v) for v in data["mean"])),
                std=cast("tuple[float, float, float]", tuple(float(v) for v in data["std"])),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the input specification is incomplete or malformed ({error})") from error
