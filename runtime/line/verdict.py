"""The outcome for one frame: a result, or the reason why it could not be judged. An error is never a good."""

from __future__ import annotations

from dataclasses import dataclass

from ..result import Reason, Result
from ..sources.frame import Frame

__all__ = ["Verdict"]

_WORDS: dict[Reason, str] = {"good": "good", "anomalous": "ANOMALY", "misplaced": "MISPLACED", "no_part": "NO PART"}


@dataclass(frozen=True, eq=False)
class Verdict:
    """A frame with its ``result``, or with the ``error`` that stood in the way; exactly one of the two is set."""

    frame: Frame
    result: Result | None = None
    error: str | None = None

    @property
    def reject(self) -> bool:
        """Whether the part must leave the line: True unless a result says that it is good."""
        return self.result is None or bool(self.result.anomalous)

    @property
    def word(self) -> str:
        """The verdict in a word: ``good``, ``WARN``, ``ANOMALY``, ``MISPLACED``, ``NO PART`` or ``NOT JUDGED``."""
        if self.result is None:
            return "NOT JUDGED"
        return "WARN" if self.result.warn else _WORDS[self.result.reason]
