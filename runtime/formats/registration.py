"""How a category registers its part: the template that frames are laid on, and what a match looks like."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .limits import Limit
from .spec import GRID, SIZE, InputSpec

__all__ = ["CELLS", "FEATURE", "SIDE", "TENSORS", "Register", "Registration", "TemplateData", "Tried", "preparation_of"]

SIDE = 256
"""Side of the plane that a part is found in, cells."""
CELLS = 192
"""Cells that the longest side of the region of interest takes."""
_LARGEST = 65535
FEATURE = "registration"
"""What a category that registers its part requires of its reader."""

Register = Literal["auto", "on", "off"]
"""Whether a part is registered; ``auto``: where that brings the support images nearer to each other."""


@dataclass(frozen=True, eq=False)
class TemplateData:
    """The part as the first support image shows it; what a category stores of it. Raises InputError.

    ``grey``: the plane's cells, float32 [256, 256]; ``weights``: of red, green and blue in it; ``region``: what that
    frame covered (left, top, right, bottom), cells; ``box``: the region of interest's width and height there, source
    pixels; ``centre``: of the part, cells.
    """

    grey: NDArray[np.float32]
    weights: tuple[float, float, float]
    region: tuple[float, float, float, float]
    box: tuple[int, int]
    centre: tuple[float, float]

    def __post_init__(self) -> None:
        if self.grey.shape != (SIDE, SIDE) or self.grey.dtype != np.float32:
            raise InputError(
                f"the template is {self.grey.dtype} {list(self.grey.shape)}; expected float32 [{SIDE}, {SIDE}]"
            )
        left, top, right, bottom = self.region
        numbers = (*self.weights, *self.region, *self.centre)
        if not all(map(math.isfinite, numbers)) or not np.isfinite(self.grey).all():
            raise InputError("the template holds values that are not finite; teach the category again")
        middle = SIDE / 2  # a frame covers the plane's middle, whatever it shows
        covers = 0 <= left < middle < right <= SIDE and 0 <= top < middle < bottom <= SIDE
        fits = all(0 <= c <= SIDE for c in self.centre) and all(1 <= side <= _LARGEST for side in self.box)
        if not covers or not fits:
            raise InputError("the template's geometry contradicts itself; teach the category again")
        if sum(map(abs, self.weights)) > 1.01 or np.abs(self.grey).max() > SIDE:
            raise InputError("the template's weights or values are too large; teach the category again")


class Tried(NamedTuple):
    """What teaching found when it was ``asked`` to register a part.

    ``qualities``: how well each further support image matches the first, -1 to 1; ``rivals``: at the next best angle;
    ``without`` and ``registered``: mean of the held-out distances, None where it was not needed. ``detours``: by how
    many input pixels each further image lies elsewhere by way of other images; none where it was not needed, and in
    categories that were taught before it was measured.
    """

    asked: Register
    qualities: tuple[float, ...]
    rivals: tuple[float, ...]
    without: float | None = None
    registered: float | None = None
    detours: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As it stands in a category's metadata."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self._asdict().items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Tried:
        """Read it back. Raises InputError for what `to_json` does not write."""
        try:
            asked, numbers = data["asked"], (data["without"], data["registered"])
            without, registered = (None if number is None else float(number) for number in numbers)
            if asked not in get_args(Register):
                raise InputError(f"its registration was asked for as {asked!r}; expected one of auto, on, off")
            qualities, rivals = (tuple(map(float, data[name])) for name in ("qualities", "rivals"))
            detours = tuple(map(float, data.get("detours", ())))
            held_out = [number for number in (without, registered) if number is not None]
            paired = 1 <= len(qualities) == len(rivals) and len(detours) in (0, len(qualities))
            if not paired or not all(map(math.isfinite, (*qualities, *rivals, *held_out, *detours))):
                raise InputError("what it says of its registration contradicts itself; teach the category again")
            if without is not None and without <= 0:
                raise InputError(f"its held-out distances are {without} without registration; expected more than 0")
            return cls(cast(Register, asked), qualities, rivals, without, registered, detours)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"what it says of its registration is incomplete or malformed ({error!r})") from error


@dataclass(frozen=True, eq=False)
class Registration:
    """What a registered category adds: its template, and what a match looks like. Raises InputError.

    ``reference``: the first support image as the encoder sees it, uint8 RGB [224, 224, 3]; it stands in for what a
    frame does not show. ``structure``: how much of the part's structure each position holds, float32 [56, 56], adding
    up to 1. ``quality`` and ``shown`` (the share of the structure that a frame shows) are the limits below which a part
    is misplaced.
    """

    template: TemplateData
    reference: NDArray[np.uint8]
    structure: NDArray[np.float32]
    quality: Limit
    shown: Limit

    def __post_init__(self) -> None:
        wanted = {"reference": (np.uint8, (SIZE, SIZE, 3)), "structure": (np.float32, (GRID, GRID))}
        for name, (dtype, shape) in wanted.items():
            value = getattr(self, name)
            if value.dtype != dtype or value.shape != shape:
                raise InputError(
                    f"{name} is {value.dtype} {list(value.shape)}; expected {np.dtype(dtype)} {list(shape)}"
                )
        if not (np.isfinite(self.structure).all() and (self.structure >= 0).all()):
            raise InputError("structure holds values that are not finite and 0 or more; teach the category again")
        if self.quality.high is not None or self.shown.high is not None:
            raise InputError("a match is limited from above; expected limits from below only")

    @property
    def tensors(self) -> dict[str, NDArray[Any]]:
        """What a category's file holds of it."""
        return dict(zip(TENSORS, (self.template.grey, self.reference, self.structure), strict=True))

    def to_json(self) -> dict[str, Any]:
        """All but the tensors, as it stands in a category's metadata."""
        part = self.template
        return {
            **{name: list(getattr(part, name)) for name in _GEOMETRY},
            **{name: _limit_json(getattr(self, name)) for name in ("quality", "shown")},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> Registration:
        """Read it back, with the tensors of the file. Raises InputError for what `to_json` does not write."""
        try:
            numbers = {name: tuple(map(float, data[name])) for name in _GEOMETRY}
            if any(len(numbers[name]) != count for name, count in _GEOMETRY.items()):
                raise InputError("its registration does not have the numbers that a template has")
            box = tuple(int(side) for side in data["box"])
            grey, reference, structure = (tensors[name] for name in TENSORS)
            template = TemplateData(grey, **{**numbers, "box": box})  # type: ignore[arg-type]
            limits = (_limit(data[name]) for name in ("quality", "shown"))
            return cls(template, reference, structure, *limits)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"its registration is incomplete or malformed ({error!r})") from error


TENSORS = ("template", "reference", "structure")
_GEOMETRY = {"weights": 3, "region": 4, "box": 2, "centre": 2}


def preparation_of(spec: InputSpec, registration: Registration | None) -> str:
    """Return the identity, 16 digits, of what makes an encoder's input of a frame: preprocessing and template.

    Limits do not count: frames that were made ready by one category can be judged by any other of the same identity.
    """
    digest = hashlib.sha256(json.dumps(spec.to_json(), sort_keys=True).encode())
    if registration is not None:
        geometry = {name: list(getattr(registration.template, name)) for name in _GEOMETRY}
        digest.update(json.dumps(geometry, sort_keys=True).encode())
        for name in TENSORS:
            digest.update(np.ascontiguousarray(registration.tensors[name]).data.cast("B"))
    return digest.hexdigest()[:16]


def _limit_json(limit: Limit) -> dict[str, Any]:
    return {"low": limit.low, "taught": list(limit.taught)}


def _limit(data: Mapping[str, Any]) -> Limit:
    low, high = data["taught"]
    return Limit(float(data["low"]), None, (float(low), float(high)))
