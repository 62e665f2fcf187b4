"""What the pages of learning share: the services behind them, one of each for a desk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..service import Service, Surroundings
from ..web.errors import RequestError
from ..web.routes import Call
from .challenge_service import ChallengeService
from .drift_service import DriftService
from .photos import Photos
from .proposals import Proposals
from .records import LearningTrace

__all__ = ["Learning", "learning_of", "trace_of"]


@dataclass(frozen=True)
class Learning:
    """The services of a desk: `services` begins and ends them."""

    challenge: ChallengeService
    drift: DriftService
    proposals: Proposals
    photos: Photos

    @classmethod
    def of(cls, around: Surroundings) -> Learning:
        """Make them for a station; nothing runs yet."""
        proposals = Proposals(around.config, around.state, around.link)
        return cls(ChallengeService(around), DriftService(around), proposals, Photos())

    def services(self) -> Iterator[Service]:
        """What the desk starts and closes."""
        yield self.challenge
        yield self.drift
        yield self.proposals


def learning_of(call: Call) -> Learning:
    """Return what the page was given. Raises RequestError where this desk has none."""
    found = call.site.get("learning")
    if not isinstance(found, Learning):
        raise RequestError(503, "the pages for learning are not running at this desk")
    return found


def trace_of(call: Call) -> LearningTrace:
    """Open the trace, for a ``with`` block. Raises InputError."""
    return LearningTrace(call.around.trace)
