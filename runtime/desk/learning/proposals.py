"""The proposals of a station: kept as files, worked out in a process beside the line, and put in force by a person."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from ...backends.lifecycle import Closing
from ...errors import InputError
from ...formats.atomic import atomic_write
from ...station.config import Config
from ...text import shown, system_reason
from ..jobs import is_added, job_named
from ..link import StationLink
from ..service import Health
from .proposal import Proposal, Wanted, reasons_of
from .records import LearningTrace
from .versions import file_of, install
from .work import Made, Order

__all__ = ["Proposals", "Worker", "spawned"]

Worker = Callable[[Order, Callable[[int, int], None], Callable[[], bool]], Made]
"""Carries out an order; told how far it is, and asks whether it is to stop. Raises InputError."""
_KEPT: Final = 100
_MOST = 10_000_000  # bytes of a proposal's file


class _Run:
    """A proposal that is being worked out, in a thread of its own, which can be told to stop: this one and no other."""

    def __init__(self, proposal: Proposal, work: Callable[[_Run], None]) -> None:
        self.proposal = proposal
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=work, args=(self,), name="regad desk proposal")

    def end(self) -> None:
        """Stop it, and wait for its end."""
        self.stopped.set()
        self.thread.join()


class Proposals(Closing):
    """The proposals in ``state``/proposals; from any thread. One is worked out at a time, in a process of its own."""

    def __init__(self, config: Config, state: Path, link: StationLink, worker: Worker | None = None) -> None:
        self._config = config
        self._state = state
        self._folder = state / "proposals"
        self._link = link
        self._worker = worker or spawned
        self._lock = threading.RLock()
        self._run: _Run | None = None
        self._closed = False

    name = "learning"

    def start(self) -> None:
        """Nothing begins by itself."""

    def health(self) -> Health:
        """How it does: what it is at."""
        run = self._run
        if run is None:
            return Health(True, "idle")
        return Health(True, f"proposal {run.proposal.id}: {run.proposal.done} of {run.proposal.total}")

    def close(self) -> None:
        """End what is being worked out; it is failed. Nothing can be opened after it."""
        with self._lock:
            self._closed, run = True, self._run
        if run is not None:
            run.end()

    def all(self) -> list[Proposal]:
        """Every proposal, the newest first. One that its process left unfinished has failed."""
        with self._lock:
            return [self._read(number) for number in reversed(self._numbers())]

    def one(self, number: int) -> Proposal:
        """A proposal by its id. Raises InputError for none."""
        with self._lock:
            if number not in self._numbers():
                raise InputError(f"there is no proposal {number}")
            return self._read(number)

    def open(self, wanted: Wanted, by: str) -> Proposal:
        """Begin to work a proposal out, and return it. Raises InputError for one that cannot be."""
        if wanted.name:
            self._require_new(wanted)
        elif wanted.settings is not None and not is_added(self._config, wanted.job):
            raise InputError(f"job {wanted.job} is in station.toml; set its deadline and its challenges there")
        with LearningTrace(self._config.trace.folder) as trace:
            base = None if wanted.name else trace.version(wanted.job)
            mark = trace.mark(wanted.job)
        path = "" if base is None else str(file_of(self._config.trace.folder, base))
        with self._lock:
            if self._closed:
                raise InputError("the desk is stopping; propose again when it runs")
            if self._run is not None:
                number = self._run.proposal.id
                raise InputError(f"proposal {number} is being tried; wait until it ends, or withdraw it")
            number = max(self._numbers(), default=0) + 1
            number_of_base = 0 if base is None else base.id
            proposal = Proposal(id=number, wanted=wanted, by=by, at=time.time(), base=number_of_base, mark=mark)
            proposal.limit_before = None if base is None else base.threshold
            self._write(proposal)
            order = self._order(proposal, path)
            self._run = run = _Run(proposal, lambda run: self._work(run, order))
            run.thread.start()
            return msgspec.structs.replace(proposal)

    def _require_new(self, wanted: Wanted) -> None:
        """Raise InputError unless a job can be added so."""
        taken = job_named(self._config, wanted.job)
        if taken is not None:
            raise InputError(f"job {wanted.job} is there already ({taken.name}); choose a free number")
        if wanted.kind != "photos":
            raise InputError("a new job is taught by photos; take 4 to 8 of good parts at Teach")

    def _order(self, proposal: Proposal, category: str) -> Order:
        model = self._config.model
        return Order(
            trace=str(self._config.trace.folder),
            state=str(self._state),
            model=str(model.path),
            device=model.device,
            precision=model.precision,
            category=category,
            base=proposal.base,
            wanted=proposal.wanted,
        )

    def wait(self) -> None:
        """Wait until nothing is being worked out."""
        run = self._run
        if run is not None:
            run.thread.join()

    def withdraw(self, number: int, by: str) -> Proposal:
        """Give a proposal up. Raises InputError for one that is in force already."""
        with self._lock:
            run = self._run
        if run is not None and run.proposal.id == number:
            run.end()  # without the lock, which its thread takes at its end
        with self._lock:
            proposal = self.one(number)
            if proposal.state == "approved":
                raise InputError(f"proposal {number} is in use; go back to an earlier version instead")
            if proposal.state != "withdrawn":
                proposal.state = "withdrawn"
                proposal.reasons = (*proposal.reasons, f"withdrawn by {by}")
                self._write(proposal)
            return proposal

    def approve(self, number: int, by: str) -> Proposal:
        """Put a proposal in force, between two parts. Raises InputError unless it is ready and nothing has changed
        since it was worked out; LinkError where the line refuses.
        """
        with self._lock:
            proposal = self.one(number)
            if proposal.state != "ready":
                why = f": {'; '.join(proposal.reasons)}" if proposal.reasons else ""
                raise InputError(f"proposal {number} is {proposal.state}{why}")
            wanted = proposal.wanted
            self._require_unchanged(proposal)
            note = wanted.note or f"proposal {number}: {wanted.kind}"
            limits = (proposal.threshold, proposal.warn)
            install(self._link, wanted.job, proposal.sha256, *limits, by, note, wanted.name, wanted.settings)
            proposal.state, proposal.approved_by, proposal.approved_at = "approved", by, time.time()
            self._write(proposal)
            return proposal

    def _require_unchanged(self, proposal: Proposal) -> None:
        """Raise InputError where something has changed since a proposal was worked out."""
        wanted = proposal.wanted
        if wanted.name:
            self._require_new(wanted)
        with LearningTrace(self._config.trace.folder) as trace:
            if not wanted.name and trace.version(wanted.job).id != proposal.base:
                raise InputError("another version is in use since then; propose again")
            if trace.mark(wanted.job) != proposal.mark:
                raise InputError("parts were labelled or challenged since then; propose again")

    def _work(self, run: _Run, order: Order) -> None:
        proposal = run.proposal

        def progress(done: int, total: int) -> None:
            proposal.done, proposal.total = done, total

        try:
            made = self._worker(order, progress, run.stopped.is_set)
        except Exception as error:  # whatever it was: the proposal has failed, and says so
            proposal.state, proposal.reasons = "failed", (str(error),)
        else:
            proposal.sha256, proposal.threshold, proposal.warn = made.sha256, made.threshold, made.warn
            proposal.limit, proposal.report, proposal.notes = made.limit, made.report, made.notes
            proposal.held_out = made.held_out
            proposal.reasons = reasons_of(made.report)
            proposal.state = "refused" if proposal.reasons else "ready"
        with self._lock:
            self._run = None
            self._write(proposal)

    def _numbers(self) -> list[int]:
        try:
            names = [path.stem for path in self._folder.iterdir() if path.suffix == ".json"]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InputError(f"{shown(self._folder)} cannot be read ({system_reason(error)})") from error
        return sorted(int(name) for name in names if name.isdecimal())

    def _read(self, number: int) -> Proposal:
        run = self._run
        if run is not None and run.proposal.id == number:
            return msgspec.structs.replace(run.proposal)
        path = self._folder / f"{number}.json"
        try:
            with path.open("rb") as file:
                proposal = msgspec.json.decode(file.read(_MOST), type=Proposal)
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise InputError(f"{shown(path)} cannot be read ({error}); move it away") from error
        if proposal.state == "working":
            proposal.state, proposal.reasons = "failed", ("the desk ended before it was worked out; propose again",)
        return proposal

    def _write(self, proposal: Proposal) -> None:
        atomic_write(self._folder / f"{proposal.id}.json", msgspec.json.encode(proposal))
        for number in self._numbers()[:-_KEPT]:
            with suppress(OSError):
                (self._folder / f"{number}.json").unlink()


def spawned(order: Order, progress: Callable[[int, int], None], stopped: Callable[[], bool]) -> Made:
    """Carry out an order in a process of its own. Raises InputError where it fails or was stopped."""
    command = [sys.executable, "-m", "regad.runtime.desk.learning.work"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        watch = threading.Thread(target=_stop_when, args=(process, stopped), daemon=True)
        watch.start()
        last: dict[str, Any] = {}
        with suppress(BrokenPipeError):
            process.stdin.write(msgspec.json.encode(order))
            process.stdin.close()
        for line in process.stdout:
            with suppress(msgspec.MsgspecError):
                last = msgspec.json.decode(line, type=dict[str, Any])
                if "done" in last:
                    progress(int(last["done"]), int(last["total"]))
        process.wait()
    if "report" in last:
        return msgspec.convert(last, Made)
    if stopped():
        raise InputError("it was stopped before it was tried")
    raise InputError(last.get("error") or f"the process that tries it ended with status {process.returncode}")


def _stop_when(process: subprocess.Popen[bytes], stopped: Callable[[], bool]) -> None:
    while process.poll() is None:
        if stopped():
            process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
