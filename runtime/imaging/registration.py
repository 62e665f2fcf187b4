"""Registration of a part: where a frame shows it, and the encoder's input in the pose of the first support image.

`make_template` describes the part once; `register` finds it in a frame and samples the input from the camera's pixels.
Compiled where this installation has the library; `pose.find` and `warp.warp_plane` are the plain form.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..formats.registration import TemplateData
from ..formats.spec import SIZE, InputSpec
from .finder import CompiledTemplate
from .plane import CELLS, colour_weights, extent, grey_cells, sample_plane
from .pose import Outline, Similarity, find, outline, part_centre
from .preprocess import as_rgb8, from_map, place
from .warp import frame_to_map, map_to_frame, map_to_input, warp_plane

__all__ = [
    "Located",
    "Pose",
    "Registered",
    "Template",
    "lay",
    "lay_on_input",
    "make_template",
    "place_on_input",
    "register",
    "register_plainly",
    "registered_map",
    "shown",
]

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


class Placed(Protocol):
    """The geometry of a template: see `TemplateData`."""

    @property
    def box(self) -> tuple[int, int]: ...
    @property
    def centre(self) -> tuple[float, float]: ...


class Located(NamedTuple):
    """Where a registered part lies in its frame: the pose, how well it matches (-1 to 1), the template's geometry."""

    pose: Pose
    quality: float
    box: tuple[int, int]
    centre: tuple[float, float]


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


class Template(TemplateData):
    """The part as the first support image shows it, with what the search computes once from it."""

    @classmethod
    def of(cls, data: TemplateData) -> Template:
        """A stored template, ready for the search."""
        return cls(data.grey, data.weights, data.region, data.box, data.centre)

    def prepared(self) -> Template:
        """Compute now what the search needs, and return the template. Raises DeviceError when memory is short."""
        _ = self.compiled if kernels.available() else self.outline
        return self

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


def shown(seen: NDArray[np.float32], structure: NDArray[np.float32]) -> float:
    """Return the share of the part's ``structure`` that a frame shows; both float32 [56, 56]."""
    return float((seen.astype(np.float64) * structure).sum())


def registered_map(
    anomaly_map: NDArray[np.float32], spec: InputSpec, template: Placed, pose: Pose, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Return the anomaly map [224, 224] of a registered input laid over its frame of ``shape`` (height, width)."""
    return map_to_frame(anomaly_map, spec, template.box, template.centre, pose.similarity, shape)


def lay(
    anomaly_map: NDArray[np.float32], spec: InputSpec, located: Located | None, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Return an input's anomaly map [224, 224] laid over its frame of ``shape`` (height, width), float32 [H, W].

    ``located`` None: the input is not registered. 0 where the encoder did not look.
    """
    if located is None:
        return from_map(anomaly_map, spec, shape)
    return registered_map(anomaly_map, spec, located, located.pose, shape)


def place_on_input(
    point: tuple[float, float], spec: InputSpec, located: Located, shape: tuple[int, int]
) -> tuple[float, float]:
    """Return where the input that is not registered shows a point of the registered one; both (x, y), pixels.

    ``shape`` (height, width) is that of the frame. A point beyond the region of interest lies outside the input.
    """
    matrix = frame_to_map(spec, located.box, located.centre, located.pose.similarity, shape)
    x, y = np.linalg.solve(matrix[:, :2], np.asarray(point) - matrix[:, 2])
    spot = place(shape[1], shape[0], spec)
    left, top, right, bottom = spot.box
    across, down = spot.width / (right - left), spot.height / (bottom - top)
    return float(spot.left + (x - left) * across), float(spot.top + (y - top) * down)


def lay_on_input(
    anomaly_map: NDArray[np.float32], spec: InputSpec, located: Located, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Return a registered input's anomaly map as the input that is not registered shows it: float32 [224, 224]."""
    return map_to_input(anomaly_map, spec, located.box, located.centre, located.pose.similarity, shape)
