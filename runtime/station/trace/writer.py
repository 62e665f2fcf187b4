"""The writer of the trace: takes parts from the line without ever holding it up, and commits them within 100 ms.

A part's row is committed first, with its map; its pictures follow, each synced before the row names it. A kill or a
power cut therefore loses at most the rows of the last 100 ms, and never leaves a name without a picture.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import IO

from ...formats.category import Category
from ...text import Say, unsaid
from .alarms import Alarms, Host
from .database import lock_folder
from .entries import Correction, Event, NewCategory, Remark, Severity
from .files import wants_full
from .inbox import Inbox
from .inspection import Alarm, Boot, Inspection, Lag, TraceAlarm, TracePolicy
from .recorder import Recorder

__all__ = ["Host", "Severity", "Trace"]

_GROUP_NS = 20_000_000
"""How long rows wait for others to be committed with them."""
_IDLE = 1.0  # seconds between looks at age and room when nothing comes
_RETRY = 0.5  # seconds before rows that could not be written are tried again
_PATIENCE = 30.0  # seconds that close() waits for a disk that hangs


class Trace:
    """The trace of one station, in ``folder``, opened once. A second writer of the folder is refused.

    ``say`` and ``alarm`` are called from the trace's thread. `add`, `correct`, `event`, `category` and `note` never
    block and never raise. When the disk is slow or full pictures are left out first; then up to 10,000 rows wait in
    memory, and of more the oldest are lost; each is counted in `lag` and told by an alarm.
    """

    def __init__(
        self,
        folder: Path,
        policy: TracePolicy | None = None,
        *,
        say: Say = unsaid,
        alarm: Alarm | None = None,
        host: Host | None = None,
    ) -> None:
        self._folder = folder
        self._policy = policy or TracePolicy()
        self._host = host or Host()
        self._inbox = Inbox()
        self._alarms = Alarms(say, alarm, self.event)
        self._lock: IO[bytes] | None = None
        self._recorder: Recorder | None = None
        self._thread: threading.Thread | None = None
        self._progress = threading.Condition()
        self._done = 0

    def open(self, *, artifact: str = "") -> Boot:
        """Open or make the database, begin a boot and start the thread.

        A damaged database is set aside. Raises OutputError if another process has the folder, if it cannot be written,
        or for a database of a later version.
        """
        self._lock = lock_folder(self._folder)
        try:
            facts = (f"regad {version('regad')}", artifact)
            self._recorder = Recorder(self._folder, self._policy, self._inbox, self._host, self._alarms, facts)
            boot = self._recorder.open()
        except BaseException:
            if self._recorder is not None:
                self._recorder.close(clean=False)
            self._unlock()
            raise
        self._thread = threading.Thread(target=self._run, args=(self._recorder,), name="regad trace", daemon=True)
        self._thread.start()
        return boot

    def add(self, inspection: Inspection) -> None:
        """Take a part. Its arrays belong to the trace from now on."""
        if inspection.frame is not None and not wants_full(inspection, self._policy):
            inspection = replace(inspection, frame=None)
        self._inbox.put(inspection, self._host.monotonic_ns())

    def correct(self, seq: int, output: int, late: bool) -> None:
        """Say what was put out for a part that was given before, where it came otherwise."""
        self._inbox.put(Correction(seq, output, late), self._host.monotonic_ns())

    def event(self, severity: Severity, code: int, text: str) -> None:
        """Record an event."""
        now = self._host.monotonic_ns()
        self._inbox.put(Event(severity, code, text, now, self._host.wall()), now)

    def category(
        self,
        job: int,
        category: Category,
        path: Path,
        sha256: str = "",
        *,
        by: str = "",
        note: str = "",
        name: str = "",
        deadline_ms: float | None = None,
        review_is: str = "reject",
    ) -> None:
        """Record that a job uses this category from now on; the parts that it was taught with are kept for good.

        ``sha256`` is the file's, where it is known: else it is read first, and the rows of the first parts wait for it.
        The rest is as `NewCategory` says. A row of the table ``job`` that changes is in the table ``audit``.
        """
        wall = self._host.wall()
        new = NewCategory(job, category, path, wall, sha256, by, note, name, deadline_ms, review_is)
        self._inbox.put(new, self._host.monotonic_ns())

    def note(self, said: Remark) -> None:
        """Record what a person said: a label, a challenge, an acknowledgement, an audit; its receipt is told of it.

        What names a part or an event that the trace does not have becomes a warning in the table ``event``.
        """
        self._inbox.put(said, self._host.monotonic_ns())

    def flushed(self, seq: int, timeout: float) -> bool:
        """Commit at once and wait, up to ``timeout`` seconds: whether a part's row is on the disk.

        So are then those of its pictures that were not left out. It never becomes true for a row that was lost.
        """
        self._inbox.hurry()
        with self._progress:
            return self._progress.wait_for(lambda: self._done >= seq > self._inbox.lost_to, timeout)

    @property
    def lag(self) -> Lag:
        """How far the disk is behind."""
        recorder, oldest = self._recorder, self._inbox.oldest_ns()
        pictures, since = (0, None) if recorder is None else recorder.waiting()
        times = [at for at in (oldest, since) if at is not None]
        seconds = (self._host.monotonic_ns() - min(times)) / 1e9 if times else 0.0
        error = "" if recorder is None else recorder.error
        return Lag(len(self._inbox), pictures, seconds, self._inbox.lost, self._inbox.left_out, error)

    @property
    def must_stop(self) -> bool:
        """Whether the line has to stop: parts cannot be recorded in full, and the policy is ``stop``."""
        recorder = self._recorder
        troubled = recorder is not None and (recorder.error != "" or self._inbox.closed_to_pictures)
        return self._policy.on_disk_full == "stop" and troubled

    def close(self) -> None:
        """Write what is queued and end the boot cleanly; closing twice does nothing.

        What a full or hanging disk keeps back is lost, counted and told.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._inbox.end()
        thread.join(_PATIENCE)
        if thread.is_alive():
            self._alarms.begin(TraceAlarm.LOST, f"recording has stopped: the disk hangs for over {_PATIENCE:g} s")

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def _run(self, recorder: Recorder) -> None:
        try:
            while not self._inbox.ending or len(self._inbox) or recorder.waiting()[0]:
                self._round(recorder)
                if self._inbox.ending and recorder.error:
                    break
            if left := self._inbox.abandon():
                self._alarms.begin(TraceAlarm.LOST, f"{left} row(s) were lost: {recorder.error}")
        finally:
            recorder.close(clean=not recorder.error)
            self._unlock()

    def _round(self, recorder: Recorder) -> None:
        """One group: gather rows while pictures of earlier ones are stored, commit both, look after the disk."""
        inbox, now_ns = self._inbox, self._host.monotonic_ns
        if not recorder.can_store:
            inbox.wait_for_work(_IDLE, busy=recorder.waiting()[0] > 0)
        oldest = inbox.oldest_ns()
        until = (now_ns() if oldest is None else oldest) + _GROUP_NS
        while now_ns() < until and not (len(inbox) and inbox.hurried):
            if not recorder.store_next():
                break
        if len(inbox):
            inbox.gather((until - now_ns()) / 1e9)
        if not recorder.commit():
            inbox.wait_for_end(_RETRY)
        recorder.look_after()
        with self._progress:
            self._done = recorder.done
            self._progress.notify_all()
