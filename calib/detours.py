"""Whether the poses of several photos agree: by way of another photo each one has to lie where it lies directly.

The poses of one part add up, whichever photo shows the template. Those of a round part do not: what makes a pair of
photos match best at some angle (a highlight, a shadow) is another thing in the next pair. It takes no encoding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from numpy.typing import NDArray

from regad.runtime.formats.registration import CELLS
from regad.runtime.formats.spec import SIZE, InputSpec
from regad.runtime.imaging.registration import Pose, Template, make_template, register

__all__ = ["FARTHEST", "FARTHEST_BACK", "agree", "detours"]

FARTHEST = 2.5
"""By how many input pixels the way to a photo by way of others may end elsewhere than the direct one."""
FARTHEST_BACK = 1.0
"""The same for the way there and back, which is all that two photos have."""
_VIA = 3  # other photos that each one is reached by way of: the cost grows with the number of photos, not its square
_REACH = 56 * CELLS / SIZE  # cells; a quarter of the input: 1 degree moves a point there by 1 input pixel


class _Move(NamedTuple):
    """A similarity of the plane: it takes a point z, x + iy in cells, to ``turn`` * z + ``shift``."""

    turn: complex
    shift: complex

    @classmethod
    def of(cls, pose: Pose, template: Template) -> _Move:
        """From a template's plane to that of the frame where its part has this pose."""
        a, b, tx, ty = pose.similarity
        turn, centre = complex(a, b), complex(*template.centre)
        return cls(turn, centre + complex(tx, ty) - turn * centre)

    def then(self, other: _Move) -> _Move:
        return _Move(other.turn * self.turn, other.turn * self.shift + other.shift)

    def away(self, other: _Move, centre: complex) -> float:
        """How far apart the two take points round a part's ``centre``: root mean square, input pixels."""
        turn, shift = self.turn - other.turn, self.shift - other.shift
        return math.hypot(abs(turn * centre + shift), _REACH * abs(turn)) * SIZE / CELLS


def detours(
    images: Sequence[NDArray[Any]],
    spec: InputSpec,
    template: Template,
    poses: Sequence[Pose],
    threads: int | None = None,
) -> tuple[float, ...]:
    """Return how far each further image lies, by way of others, from where it lies directly: input pixels.

    ``poses``: those of ``images[1:]`` on the ``template`` of the first. The median of up to three ways, each by one
    other image; of two images the way there and back.
    """
    centre, direct = complex(*template.centre), [_Move.of(pose, template) for pose in poses]
    others = [make_template(image, spec) for image in images[1:]]
    number = len(others)

    def found(via: int, image: NDArray[Any]) -> _Move:
        return direct[via].then(_Move.of(register(image, spec, others[via], threads).pose, others[via]))

    if number == 1:
        return (found(0, images[0]).away(_Move(1, 0), centre),)
    ways = range(1, min(_VIA, number - 1) + 1)
    return tuple(
        median(found((place - step) % number, image).away(direct[place], centre) for step in ways)
        for place, image in enumerate(images[1:])
    )


def agree(found: Sequence[float]) -> bool:
    """Whether the poses are those of one part, by the `detours` to each further image."""
    return max(found) <= (FARTHEST if len(found) > 1 else FARTHEST_BACK)
