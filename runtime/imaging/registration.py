"""Registration of a part: where a frame shows it, and the encoder's input in the pose of the first support image.

`make_template` describes the part once; `register` finds it in a frame and samples the input from the camera's pixels.
Compiled where this installation has the library; `pose.find` and `warp.warp_plane` are the plain form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..errors import InputError
from ..formats.spec import SIZE, InputSpec
from .finder import CompiledTemplate
from .plane import CELLS, SIDE, colour_weights, extent, grey_cells, sample_plane
from .pose import Outline, Region, Similarity, find, outline, part_centre
from .preprocess import as_rgb8, place
from .warp import map_to_frame, warp_plane

__all__ = ["Pose", "Registered", "Template", "make_template", "register", "register_plainly", "registered_map"]

_PIXEL = SIZE / CELLS


class Pose(NamedTuple):
    """How the part lies in a frame compared with the first support image.

    ``angle``: degrees, clockwise as the image is seen; ``dx``, ``dy``: how far the part's centre moved right and down,
    in input pixels (the region of interest's longest side is 224); ``scale``: how many times as large.
    """

    angle: float
    dx: float
    dy: float
    scale: float

    @property
    def similarity(self) -> Similarity:
        """The pose as `regad.runtime.imaging.pose` counts it."""
        turn = math.radians(self.angle)
        return self.scale * math.cos(turn), self.scale * math.sin(turn), self.dx / _PIXEL, self.dy / _PIXEL

    @classmethod
    def of(cls, similarity: Similarity) -> Pose:
        """The other way round."""
        a, b, tx, ty = similarity
        return cls(math.degrees(math.atan2(b, a)), tx * _PIXEL, ty * _PIXEL, math.hypot(a, b))


class Registered(NamedTuple):
    """A frame's part in the template's pose.

    ``image``: the input, uint8 RGB [224, 224, 3]; ``seen``: how much of each position the frame shows, float32
    [56, 56], 0 to 1; ``pose``; ``quality``: how well the part fits the template, -1 to 1; ``rival``: how well at an
    angle more than 20 degrees away, 0 if none was near.
    """

    image: NDArray[np.uint8]
    seen: NDArray[np.float32]
    pose: Pose
    quality: float
    rival: float


@dataclass(frozen=True, eq=False)
class Template:
    """The part as the first support image shows it; what a category stores of it.

    ``grey``: the plane's cells, float32 [256, 256]; ``weights``: of red, green and blue in it; ``region``: what that
    frame covered, cells; ``box``: the region of interest's width and height there, source pixels; ``centre``: of the
    part, cells.
    """

    grey: NDArray[np.float32]
    weights: tuple[float, float, float]
    region: Region
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
        fits = 0 <= left < right <= SIDE and 0 <= top < bottom <= SIDE and all(0 <= c <= SIDE for c in self.centre)
        if not fits or min(self.box) < 1:
            raise InputError("the template's geometry contradicts itself; teach the category again")

    @cached_property
    def outline(self) -> Outline:
        """What the plain form computes once."""
        return outline(self.grey, self.region, extent(self.box), self.centre)

    @cached_property
    def compiled(self) -> CompiledTemplate:
        """What the compiled form computes once. Raises DeviceError without the library."""
        return CompiledTemplate(self.grey, self.weights, self.region, extent(self.box), self.centre)


def make_template(image: NDArray[Any], spec: InputSpec) -> Template:
    """Describe the part that a frame shows (`as_rgb8` says which arrays). Raises InputError."""
    plane = sample_plane(as_rgb8(image), spec)
    weights = colour_weights(plane)
    grey = grey_cells(plane, weights)
    return Template(grey, weights, plane.region, plane.box, part_centre(grey, plane.region, extent(plane.box)))


def register(image: NDArray[Any], spec: InputSpec, template: Template, threads: int | None = None) -> Registered:
    """Find the template's part in a frame and sample the input there.

    ``threads`` None: all cores, of the compiled form. Raises InputError for an unusable array or a region of interest
    outside the image, DeviceError when memory is short.
    """
    if not kernels.available():
        return register_plainly(image, spec, template)
    rgb = as_rgb8(image)
    box = place(rgb.shape[1], rgb.shape[0], spec).box
    spot = place(*template.box, InputSpec(fit=spec.fit))
    found = template.compiled.register(
        rgb, box, (spot.left, spot.top, spot.width, spot.height), spec.fit == "stretch", threads
    )
    return Registered(found.image, found.seen, Pose.of(found.pose), found.quality, found.rival)


def register_plainly(image: NDArray[Any], spec: InputSpec, template: Template) -> Registered:
    """The reference of `register`."""
    plane = sample_plane(as_rgb8(image), spec)
    found = find(template.outline, grey_cells(plane, template.weights), plane.region)
    input_image, seen = warp_plane(plane, spec, template.box, template.centre, found.pose)
    return Registered(input_image, seen, Pose.of(found.pose), found.quality, found.rival)


def registered_map(
    anomaly_map: NDArray[np.float32], spec: InputSpec, template: Template, pose: Pose, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Return the anomaly map [224, 224] of a registered input laid over its frame of ``shape`` (height, width)."""
    return map_to_frame(anomaly_map, spec, template.box, template.centre, pose.similarity, shape)
