"""The service ``challenge``: drives each job's challenge by what the line says, and has the line held meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from ...backends.lifecycle import Closing
from ...errors import InputError, RegadError
from ...station.codes import VerdictCode
from ...station.job_spec import JobSpec
from ...station.trace.reader import Selection
from ..errors import LinkError
from ..jobs import jobs_of
from ..service import Health, Surroundings
from .challenge import Challenge, Shown, Told
from .challenge_file import Kept, Known, kept, read_known, restored, write_known
from .records import LearningTrace

__all__ = ["ChallengeService"]

_EVERY = 0.25  # seconds between looks
_SAVE = 60.0  # seconds after which the hours of work are written down
_BY: Final = "challenge"  # who holds the station
_PARTS = 20  # parts looked at in one go


class _Released(NamedTuple):
    """Who said that which hold of a job is over; None: whichever it is, which is asked for once and not again."""

    by: str
    job: int
    hold_id: str | None


class ChallengeService(Closing):
    """The challenges of a station. ``now`` gives seconds that never run back.

    Any job can be challenged by hand; those that station.toml, or who added them, says so of are asked for it, also for
    a new version.
    """

    name = "challenge"

    def __init__(self, around: Surroundings, now: Callable[[], float] = time.monotonic) -> None:
        self._around, self._now = around, now
        self._path = around.state / "challenge.json"
        self._lock = threading.RLock()
        self._plans: dict[int, JobSpec] = {}
        self._challenges: dict[int, Challenge] = {}
        self._kept: dict[int, Kept] = {}  # what is known of jobs that have no challenge yet
        self._versions: dict[int, str] = {}  # what tells the version of each job that was last in force from others
        self._boot = self._job = 0
        self._owed: list[Told] = []
        self._released: _Released | None = None  # until the line is heard to agree
        self._error = ""
        self._saved = 0.0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._restore()
        self._plan()

    def start(self) -> None:
        """Begin."""
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
        """What the page shows: the job in force, its step, the reason of a hold, what to do, seconds until the next.

        ``held`` is the job whose hold it is (0: the station's), None where it is not held, ``hold_id`` which one (None
        where the line has not told of it yet); ``planned``: whether the job is ever asked for a challenge.
        """
        with self._lock:
            held = self._held()
            one = self._challenges.get(self._job)
            reason = "" if held is None else str(held["reason"])
            shown: dict[str, Any] = {"held": None, "hold_id": None, "planned": self._job in self._plans}
            if held is not None:
                shown |= {"held": held["job"], "hold_id": held["id"]}
            if one is None:
                nothing = {"step": "none", "hold": reason, "hint": "", "left": None, "by": ""}
                return {**shown, "job": self._heard_job(), **nothing}
            if one.hold and held is None:
                shown["held"] = self._job  # the line is about to be
            if shown["held"] == self._job and one.hold:
                reason = one.hold  # else what is released would not be what is read
            return {
                **{**shown, "job": self._job, "step": one.step, "hold": reason, "hint": one.hint},
                **{"left": one.left, "by": one.by},
            }

    def begin(self, by: str, hold_id: str | UnsetType | None = UNSET) -> None:
        """Begin the challenge of the job in force, out of the hold that was seen (None: there was none), else the one
        that is known of. Raises InputError where another one holds it, LinkError.
        """
        with self._lock, LearningTrace(self._around.trace) as trace:
            heard = self._around.watch.heard
            if heard.status is None:
                raise LinkError(heard.error, code="gone")
            job = self._heard_job()
            if job == 0:
                raise InputError("no job is active; choose one under Job")
            meant = self._require_meant(job, hold_id)
            one = self._challenges.get(job) or Challenge(job)
            before = (one.step, one.reason)
            one.begin(by, trace.newest(), self._now())
            try:
                if meant is not None:  # else no hold is known of: one that comes now was seen by nobody
                    self._let_go(by, job, meant)
            except LinkError:
                one.step, one.reason = before
                self._released = None  # nobody said that the hold is over, only that a challenge begins
                raise
            self._challenges[job] = one
            self._save()

    def cancel(self) -> None:
        """Give up the challenge that is being done. Raises InputError."""
        with self._lock:
            one = self._challenges.get(self._job)
            if one is None:
                raise InputError("no challenge is running; begin one")
            one.cancel()
            self._forget(one)
            self.look()

    def release(self, by: str, job: int, hold_id: str | None = None) -> None:
        """Release the station from a job's hold (0: its own): the one that was seen, else the one that is known of.

        Raises InputError where another one holds it, LinkError.
        """
        with self._lock:
            meant = self._require_meant(job, UNSET if hold_id is None else hold_id)
            try:
                self._let_go(by, job, meant)
            finally:  # one that does not reach the line is asked for again, as long as nothing else holds it
                if (one := self._challenges.get(job)) is not None and self._released is not None:
                    one.release()
                    self._save()

    def look(self) -> None:
        """Look at the line once; the thread does. Raises RegadError."""
        with self._lock:
            status = self._around.watch.heard.status
            if status is None:
                return
            self._plan()
            self._follow(status)
            one = self._challenges.get(self._job)
            if one is None:
                return
            step = one.step
            one.tick(self._now())
            self._forget(one)
            if one.step in ("good", "bad"):
                self._see(one)
            self._agree(one)
            if one.step != step or self._now() - self._saved > _SAVE:
                self._save()
            self._record()  # last: the hold does not wait for the books

    def _plan(self) -> None:
        """Which jobs are challenged: jobs are added, and given other hours, while the desk runs."""
        plans = {job.number: job for job in jobs_of(self._around.config) if job.challenged}
        if plans == self._plans:
            return
        for number in self._plans.keys() - plans.keys():
            self._challenges[number].every = None
        for number, job in plans.items():
            if number not in self._challenges:
                self._challenges[number] = restored(Challenge(number), self._kept.pop(number, None))
            hours = job.challenge_every_h
            self._challenges[number].every = None if hours is None else hours * 3600
        self._plans = plans

    def _follow(self, status: dict[str, Any]) -> None:
        """Another job is in force, or another version, or the line was started anew: a challenge may be due."""
        boot, job, asked = int(status["boot"]), int(status["image"]["job"]), status.get("asked") or {}
        version, before = str(asked.get("version", "")), self._versions.get(job, "")
        changed = asked.get("number") == job and version not in ("", before)
        begins = (boot, job) != (self._boot, self._job)
        if job == 0 or not (begins or changed):
            return
        self._boot, self._job = boot, job
        if changed:
            self._versions[job] = version
        plan = self._plans.get(job)
        if plan is not None and changed and before:
            self._released = None
            self._challenges[job].fall_due("it has another version")
        elif plan is not None and begins and plan.challenge_at_start:
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

    def _agree(self, one: Challenge) -> None:
        """Have the line held where a challenge is due or failed, and let go where somebody has said so."""
        held, released = self._held(), self._released
        own = held is not None and held["job"] == one.job
        if one.hold:
            self._released = None
            if not own and (held is None or held["job"] != 0):  # the station's own hold comes first
                self._around.link.ask("hold", by=_BY, reason=one.hold, job=one.job)
                self._around.watch.look()  # who releases it must name it
        elif released is not None and (held is None or held["id"] != released.hold_id):
            self._released = None
        elif released is not None:
            self._around.link.ask("release", **released._asdict())
        elif own and one.step == "clear" and one.job in self._plans:
            one.fall_due("the station is held")

    def _let_go(self, by: str, job: int, hold_id: str | None) -> None:
        self._released = _Released(by, job, hold_id)
        try:
            self._around.link.ask("release", **self._released._asdict())
        except LinkError as error:
            if error.code != "gone":
                self._released = None
            raise
        self._around.watch.look()

    def _forget(self, one: Challenge) -> None:
        """A challenge that nobody asked for, and that was given up, is over."""
        if one.step == "due" and one.job not in self._plans:
            one.release()

    def _require_meant(self, job: int, hold_id: str | UnsetType | None) -> str | None:
        """The id of the hold that is meant: the one that was seen (None: there was none), else the one heard of.

        Raises InputError where the station is held, as far as is known, for another job or by another hold.
        """
        held = self._held()
        if held is None:
            return None if hold_id is UNSET else hold_id
        if held["job"] != job:
            raise InputError(
                f"the station is held for another reason, which comes first: {held['reason']}", code="other"
            )
        if hold_id not in (UNSET, held["id"]):
            raise InputError(
                f"another hold has come since: {held['reason']}; look at it, and release that one", code="other"
            )
        known: str = held["id"]
        return known

    def _heard_job(self) -> int:
        status = self._around.watch.heard.status
        return 0 if status is None else int(status["image"]["job"])

    def _held(self) -> dict[str, Any] | None:
        """The hold that the line told of: its job, reason and id. Flag.HELD follows it, milliseconds later."""
        status = self._around.watch.heard.status
        return None if status is None else status.get("held")

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
            known = read_known(self._path) or Known()
        except InputError:
            self._plan()
            for one in self._challenges.values():
                one.fall_due("it is not known when the last one was")
            return
        self._boot, self._job = known.boot, known.job
        for number, what in known.jobs.items():
            self._versions[number] = what.version
            if what.step in ("clear", "none"):
                self._kept[number] = what
            else:
                self._challenges[number] = restored(Challenge(number), what)

    def _save(self) -> None:
        versions = self._versions
        jobs = {number: replace(what, version=versions.get(number, "")) for number, what in self._kept.items()}
        jobs |= {number: kept(one, versions.get(number, "")) for number, one in self._challenges.items()}
        self._saved = self._now()
        with suppress(RegadError):  # a full disk: it is tried again
            write_known(self._path, Known(self._boot, self._job, jobs))
