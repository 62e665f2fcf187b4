"""The challenge of a job: a known good and a known bad part are shown, and must be recognised ("red rabbit").

A state machine without clock, thread or file: it says whether the station is to be held, and what is to be recorded. It
is held while a challenge is due or failed. While one is being done it is not: the two parts are judged as every part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from ...errors import InputError
from ...station.codes import VerdictCode

__all__ = ["PATIENCE", "Challenge", "Shown", "Step", "Told"]

Step = Literal["clear", "due", "good", "bad", "failed"]
"""``good`` and ``bad``: that part is to be shown now."""

PATIENCE: Final = 300.0
"""Seconds that a part may take: a station that waits for one is not held."""

_GOOD: Final = frozenset({VerdictCode.PASS})
_BAD: Final = frozenset({VerdictCode.REJECT, VerdictCode.REVIEW})
_NO_ANSWER: Final = frozenset(
    {VerdictCode.NONE, VerdictCode.NOT_JUDGED, VerdictCode.LATE, VerdictCode.NO_PART, VerdictCode.MISSED}
)


class Shown(NamedTuple):
    """A part that was judged: its row, its job, and the verdict; ``late``: it came after the deadline."""

    inspection: int
    job: int | None
    verdict: VerdictCode
    late: bool = False


@dataclass(frozen=True)
class Told:
    """A challenge part to record: what was expected, and whether it was recognised."""

    job: int
    expected: VerdictCode
    inspection: int
    ok: bool
    by: str


class Challenge:
    """The challenge of job ``job``. Every method that takes ``now`` takes seconds that never run back.

    ``every`` are seconds between two challenges, None: only when `fall_due` is called; it may change. Only seconds that
    `tick` was told of count.
    """

    def __init__(self, job: int, every: float | None = None) -> None:
        self.job = job
        self.step: Step = "clear"
        self.reason = ""
        self.since = 0.0
        """Seconds since the last one was passed or released."""
        self.by = ""
        self.hint = ""
        self.every = every
        self._ticked: float | None = None
        self._began: float | None = None
        self._after = 0

    @property
    def hold(self) -> str:
        """Why the station is to be held; "" where it is not."""
        return self.reason if self.step in ("due", "failed") else ""

    @property
    def left(self) -> float | None:
        """Seconds until the next one is due; None where none will be by itself."""
        return None if self.every is None else max(0.0, self.every - self.since)

    def fall_due(self, why: str) -> None:
        """A challenge is due, unless one is already, or failed."""
        if self.step == "clear":
            self._become("due", f"the challenge of job {self.job} is due: {why}")

    def tick(self, now: float) -> None:
        """Time has passed: one may fall due, or the wait for a part end."""
        passed = 0.0 if self._ticked is None else max(0.0, now - self._ticked)
        self._ticked = now
        if self.step == "clear":
            self.since += passed
            if self.every is not None and self.since >= self.every:
                self.fall_due(f"{self.every / 3600:g} h have passed since the last one")
        elif self.step in ("good", "bad"):
            self._began = now if self._began is None else self._began
            if now - self._began > PATIENCE:
                self._become("due", f"the challenge of job {self.job} is due: no part was shown for {PATIENCE:g} s")

    def begin(self, by: str, newest: int, now: float) -> None:
        """Somebody begins: the next part after row ``newest`` is the good one.

        Raises InputError where one failed: that is an engineer's business.
        """
        if self.step == "failed":
            raise InputError(f"{self.reason}; an engineer has to look at it, and to release the station")
        self._become("good", "")
        self.by, self._after, self._began = by, newest, now

    def cancel(self) -> None:
        """Somebody gives it up: it is due still. Raises InputError where none is being done."""
        if self.step not in ("good", "bad"):
            raise InputError("no challenge is running; begin one")
        self._become("due", f"the challenge of job {self.job} is due: it was begun and cancelled")

    def seen(self, part: Shown, now: float) -> Told | None:
        """A part was judged. Return what is to be recorded where it was a challenge part."""
        if self.step not in ("good", "bad") or part.inspection <= self._after:
            return None
        self._after = part.inspection
        if part.late or part.job != self.job or part.verdict in _NO_ANSWER:
            self.hint = f"{_named(part)}: show the {self.step} part again"
            return None
        expected, wanted = (VerdictCode.PASS, _GOOD) if self.step == "good" else (VerdictCode.REJECT, _BAD)
        ok = part.verdict in wanted
        told = Told(self.job, expected, part.inspection, ok, self.by)
        if not ok:
            self._become(
                "failed", f"the {self.step} part of job {self.job}'s challenge was not recognised ({part.verdict.name})"
            )
        elif self.step == "good":
            self._become("bad", "")
            self._began = now
        else:
            self._clear()
        return told

    def release(self) -> None:
        """An engineer takes the responsibility: whatever it was, it is over."""
        self._clear()

    def _clear(self) -> None:
        self._become("clear", "")
        self.since = 0.0

    def _become(self, step: Step, reason: str) -> None:
        self.step, self.reason, self.hint = step, reason, ""


def _named(part: Shown) -> str:
    return "the verdict came too late" if part.late else f"that part was {part.verdict.name} in job {part.job}"
