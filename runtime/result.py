"""The verdict on one image, as every detector gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .formats.spec import InputSpec
from .imaging.registration import Located, Pose, lay

__all__ = ["Reason", "Refusal", "Result", "Timings"]

Reason = Literal["good", "anomalous", "misplaced", "no_part"]
"""Why a verdict is as it is; all but ``good`` are anomalous."""

Refusal = Literal["misplaced", "no_part"]
"""The reasons that do not rest on the score."""

_REFUSALS: dict[Refusal, str] = {
    "misplaced": "the part is misplaced, or it is another one",
    "no_part": "the frame shows no part",
}


@dataclass(frozen=True)
class Timings:
    """Wall-clock milliseconds for one image; in a batch the batch's time divided by its length."""

    preprocess: float
    encode: float
    score: float
    total: float


@dataclass(frozen=True, eq=False)
class Result:
    """The verdict on one image.

    ``score`` is the statistic that the category's `Scoring` names; ``anomaly_map`` float32 [224, 224] is in the frame
    of the encoder's input, in the unit that it says; ``anomalous`` is ``score > threshold``. ``thetas`` float32
    [3, 2, 3] are the STN transforms.
    A frame that shows no part is not scored: it is anomalous, score and map are infinite, ``thetas`` are 0, and
    ``detail`` says what that rests on, ``brightness 3, taught with 88 to 140``. ``warn``: it is not anomalous, but its
    score is above the category's warn limit (never where there is none).

    Of a registered part the map is in the frame of the input as it was laid on the first support image, and ``located``
    says where the part lies; `map_over` brings every map to the image. A part that is ``misplaced`` is not scored
    either.
    """

    score: float
    threshold: float
    anomalous: bool
    anomaly_map: NDArray[np.float32]
    thetas: NDArray[np.float32]
    timings: Timings
    spec: InputSpec
    refusal: Refusal | None = None
    detail: str = ""
    warn: bool = False
    located: Located | None = None

    @property
    def pose(self) -> Pose | None:
        """How the part lies compared with the first support image; None where it is not registered."""
        return None if self.located is None else self.located.pose

    def map_over(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Return the anomaly map laid over an image of ``shape`` (height, width), float32 [H, W]; 0 outside the region.

        ``shape`` is that of the image that was judged; a scaled copy of it will do where there is no region of
        interest, which counts in pixels. Without a score it is infinite.
        """
        if self.refusal is not None:
            return np.full(shape, np.inf, np.float32)
        return lay(self.anomaly_map, self.spec, self.located, shape)

    @property
    def reason(self) -> Reason:
        """Why the verdict is as it is."""
        return self.refusal or ("anomalous" if self.anomalous else "good")

    @property
    def message(self) -> str:
        """What a refusal rests on, in a sentence; "" for ``good`` and ``anomalous``."""
        return "" if self.refusal is None else f"{_REFUSALS[self.refusal]} ({self.detail})"
