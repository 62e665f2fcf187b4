"""A range of the trace judged again, one range at a time, in a thread that gives way to everything else."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...detector import Detector
from ...errors import CategoryError, InputError, RegadError
from ...formats.category import load_category
from ...formats.digest import sha256_of
from ...station.trace.reader import Selection
from ...station.trace.rejudge import Change, rejudge, rejudge_threshold
from ...station.trace.search import TraceSearch
from ..service import Surroundings

__all__ = ["Rejudging", "Wanted"]

_LISTED = 500  # changes
_NICE = 15


@dataclass(frozen=True)
class Wanted:
    """What to judge again: with another threshold for the stored scores, or with a category version, or both."""

    selection: Selection
    threshold: float | None = None
    version: int | None = None
    by: str = ""


@dataclass
class _Found:
    running: bool = False
    changed: int = 0
    changes: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, Any] | None = None
    error: str = ""


class Rejudging:
    """Judges again on demand. The newest run's findings stay until the next one."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._lock = threading.Lock()
        self._found = _Found()

    def start(self, wanted: Wanted) -> None:
        """Begin. Raises InputError while another range is judged."""
        if wanted.threshold is None and wanted.version is None:
            raise InputError("neither a threshold nor a category version is given; expected one of them")
        with self._lock:
            if self._found.running:
                raise InputError("another range is being judged; wait for its end", code="busy")
            self._found = _Found(running=True)
            work = (wanted, self._found)
        threading.Thread(target=self._run, args=work, name="regad rejudge", daemon=True).start()

    def found(self) -> dict[str, Any]:
        """Return what was found so far."""
        found = self._found
        return {
            **{"running": found.running, "changed": found.changed, "changes": list(found.changes)},
            **{"result": found.result, "error": found.error},
        }

    def _run(self, wanted: Wanted, found: _Found) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        try:
            found.result = self._judged(wanted, found)
        except RegadError as error:
            found.error = str(error)
        except Exception as error:
            found.error = f"the desk failed: {type(error).__name__}: {error}"
        finally:
            found.running = False

    def _judged(self, wanted: Wanted, found: _Found) -> dict[str, Any]:
        def note(change: Change) -> None:
            found.changed += 1
            if len(found.changes) < _LISTED:
                found.changes.append(_told(change))

        folder = self._around.trace
        if wanted.version is None:
            assert wanted.threshold is not None
            done = rejudge_threshold(folder, wanted.threshold, wanted.selection, by=wanted.by, on_change=note)
        else:
            with Detector(self._around.config.model.open(threads=1), owns_model=True) as detector:
                detector.use(load_category(self._file_of(wanted.version), detector.model.info.hash))
                if wanted.threshold is not None:
                    detector.set_threshold(wanted.threshold)
                done = rejudge(folder, detector, wanted.selection, by=wanted.by, on_change=note)
        return {
            **{"run": done.run, "judged": done.judged, "changed": done.changed},
            **{"same_scores": done.same_scores, "left_out": done.left_out},
        }

    def _file_of(self, number: int) -> Path:
        with TraceSearch(self._around.trace) as trace:
            version = trace.version(number)
        if version is None or not version.sha256:
            raise InputError(f"category version {number} is not known; choose another one")
        path = Path(version.path)
        try:
            same = sha256_of(path) == version.sha256
        except OSError:
            same = False
        if not same:
            raise CategoryError(f"the file of category version {number} is gone, or another one; it cannot judge")
        return path


def _told(change: Change) -> dict[str, Any]:
    return {
        "part": change.inspection,
        "score_before": change.score_before,
        "score": change.score,
        "before": change.verdict_before.name,
        "after": change.verdict.name,
    }
