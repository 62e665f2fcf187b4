"""The service ``challenge``: drives each job's challenge by what the line says, and has the line held meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

from ...backends.lifecycle import Closing
from ...errors import InputError, RegadError
from ...formats.atomic import atomic_write
from ...station.codes import Flag, VerdictCode
from ...station.config_job import JobConfig
from ...station.trace.reader import Selection
from ..errors import LinkError
from ..service import Health, Surroundings
from .challenge import Challenge, Shown, Told
from .records import LearningTrace

__all__ = ["ChallengeService"]

_EVERY = 0.25  # seconds between looks
_SAVE = 60.0  # seconds after which the hours of work are written down
_BY: Final = "challenge"  # who holds the station
_PARTS = 20  # parts looked at in one go


class _Kept(msgspec.Struct, frozen=True):
    step: str
    reason: str
    since: float


class _File(msgspec.Struct, frozen=True):
    boot: int = 0
    job: int = 0
    jobs: dict[int, _Kept] = {}


class ChallengeService(Closing):
    """The challenges of a station. ``now`` gives seconds that never run back."""

    name = "challenge"

    def __init__(self, around: Surroundings, now: Callable[[], float] = time.monotonic) -> None:
        self._around, self._now = around, now
        self._path = around.state / "challenge.json"
        self._lock = threading.RLock()
        self._plans: dict[int, JobConfig] = {job.number: job for job in around.config.jobs if job.challenged}
        self._challenges = {number: _challenge_of(job) for number, job in self._plans.items()}
        self._boot = self._job = 0
        self._owed: list[Told] = []
        self._released_by = ""
        self._error = ""
        self._saved = 0.0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._restore()

    def start(self) -> None:
        """Begin, if any job is to be challenged."""
        if self._plans:
            self._thread = threading.Thread(target=self._run, name="regad desk challenge", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End; what is due stays due, and held."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._save()

    def health(self) -> Health:
        """How it does."""
        return Health(not self._error, self._error or f"{len(self._plans)} job(s) are challenged")

    def state(self) -> dict[str, Any]:
        """What the page shows: the job in force, its step, the reason of a hold, what to do, seconds until the next."""
        with self._lock:
            one = self._challenges.get(self._job)
            if one is None:
                return {
                    "job": self._heard_job(),
                    "step": "none",
                    "hold": self._held(),
                    "hint": "",
                    "left": None,
                    "by": "",
                }
            return {
                **{"job": self._job, "step": one.step, "hold": one.hold or self._held(), "hint": one.hint},
                **{"left": one.left, "by": one.by},
            }

    def begin(self, by: str) -> None:
        """Begin the challenge of the job in force. Raises InputError, LinkError."""
        with self._lock, LearningTrace(self._around.trace) as trace:
            one = self._current()
            one.begin(by, trace.newest(), self._now())
            self._let_go(by)

    def cancel(self) -> None:
        """Give up the challenge that is being done. Raises InputError."""
        with self._lock:
            self._current().cancel()
            self.look()

    def release(self, by: str) -> None:
        """Release the station, whatever held it. Raises LinkError."""
        with self._lock:
            one = self._challenges.get(self._job)
            if one is not None:
                one.release()
            self._let_go(by)

    def look(self) -> None:
        """Look at the line once; the thread does. Raises RegadError."""
        with self._lock:
            status = self._around.watch.heard.status
            if status is None:
                return
            self._follow(int(status["boot"]), int(status["image"]["job"]))
            one = self._challenges.get(self._job)
            if one is None:
                return
            step = one.step
            one.tick(self._now())
            if one.step in ("good", "bad"):
                self._see(one)
            self._agree(one, bool(status["image"]["flags"] & Flag.HELD))
            if one.step != step or self._now() - self._saved > _SAVE:
                self._save()
            self._record()  # last: the hold does not wait for the books

    def _follow(self, boot: int, job: int) -> None:
        """Another job is in force, or the line was started anew: it begins with a challenge if it is to."""
        if job == 0 or (boot, job) == (self._boot, self._job):
            return
        self._boot, self._job = boot, job
        plan = self._plans.get(job)
        if plan is not None and plan.challenge_at_start:
            self._challenges[job].fall_due("the job has begun")
        self._save()

    def _see(self, one: Challenge) -> None:
        with LearningTrace(self._around.trace) as trace:
            rows = list(trace.rows(Selection(from_id=max(1, trace.newest() - _PARTS))))
        for row in rows:
            shown = Shown(row["id"], row["job"], VerdictCode(row["verdict"]), bool(row["late"]))
            told = one.seen(shown, self._now())
            if told is not None:
                self._owed.append(told)

    def _record(self) -> None:
        while self._owed:
            told = self._owed[0]
            said = {"by": told.by, "job": told.job, "expected": told.expected.name, "ok": told.ok}
            self._tell(said | {"inspection": told.inspection})
            self._owed.pop(0)

    def _tell(self, challenge: dict[str, Any]) -> None:
        try:
            self._around.link.ask("challenge", **challenge)
        except LinkError as error:
            if error.code != "unknown":  # the trace has no such part any more, and never will again
                raise
            self._around.say(f"challenge: {error}; it is not recorded")

    def _agree(self, one: Challenge, held: bool) -> None:
        """Have the line held where a challenge is due or failed, and let go where somebody has said so."""
        if one.hold:
            self._released_by = ""
            if not held:
                self._around.link.ask("hold", by=_BY, reason=one.hold)
        elif not held:
            self._released_by = ""
        elif self._released_by:
            self._around.link.ask("release", by=self._released_by)
        elif one.step == "clear":
            one.fall_due("the station is held")

    def _let_go(self, by: str) -> None:
        self._released_by = by
        self._around.link.ask("release", by=by)
        self._save()

    def _current(self) -> Challenge:
        one = self._challenges.get(self._job)
        if one is None:
            raise InputError(
                f"job {self._job} has no challenge; set challenge_at_start or challenge_every_h in its [[job]]"
            )
        return one

    def _heard_job(self) -> int:
        status = self._around.watch.heard.status
        return 0 if status is None else int(status["image"]["job"])

    def _held(self) -> str:
        status = self._around.watch.heard.status
        return "the station is held" if status is not None and status["image"]["flags"] & Flag.HELD else ""

    def _run(self) -> None:
        while not self._ended.wait(_EVERY):
            self._error = self._looked()

    def _looked(self) -> str:
        """Look; return what went wrong, or nothing."""
        try:
            self.look()
        except RegadError as error:
            return str(error)
        return ""

    def _restore(self) -> None:
        """Go on where the desk ended. What is not known any more is due: a challenge is never lost."""
        try:
            file = msgspec.json.decode(self._path.read_bytes(), type=_File)
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
            for one in self._challenges.values():
                one.fall_due("nobody knows when the last one was")
            return
        self._boot, self._job = file.boot, file.job
        for number, kept in file.jobs.items():
            if number in self._challenges:
                _restored(self._challenges[number], kept)

    def _save(self) -> None:
        jobs = {number: _Kept(one.step, one.reason, one.since) for number, one in self._challenges.items()}
        self._saved = self._now()
        with suppress(RegadError):  # a full disk: it is tried again
            atomic_write(self._path, msgspec.json.encode(_File(self._boot, self._job, jobs)))


def _restored(one: Challenge, kept: _Kept) -> None:
    """Put a challenge where it was; one that was being done is due."""
    one.since = kept.since
    if kept.step != "clear":
        one.step = "failed" if kept.step == "failed" else "due"
        one.reason = kept.reason or f"the challenge of job {one.job} is due: it was not finished"


def _challenge_of(job: JobConfig) -> Challenge:
    every = job.challenge_every_h
    return Challenge(job.number, None if every is None else every * 3600)
