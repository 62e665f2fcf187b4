"""What has no thread of its own: who does not answer, freed memory, the disk, the clock, what failed for good."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..formats.memory import trim
from .codes import Fault, Flag
from .events import Event, Flagged, Gone, Raised
from .trace.writer import Trace
from .worker import Clock, Worker

__all__ = ["Upkeep", "unanswered"]

_BEHIND = 1.0  # seconds by which records may lag behind before the outputs say so
_TRIM_NS = 10_000_000_000  # so often freed memory is given back: the pictures of each part leave holes
_ALARM_NS = 60_000_000_000  # so long an alarm of the trace shows at the outputs


class Upkeep:
    """Looks again and again, and says what it finds as events; `alarm` from any thread, `look` from one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._trimmed_ns = clock()
        self._alarm_ns: int | None = None  # the trace's last alarm

    def alarm(self, code: int, text: str) -> None:
        """An alarm of the trace."""
        self._alarm_ns = self._clock()

    def look(self, tell: Callable[[Event], None], trace: Trace, clock_ok: bool, failures: Iterable[str]) -> None:
        """Tell how the trace and the wall clock are, and each of the ``failures``, which nothing but a restart ends."""
        now = self._clock()
        if now - self._trimmed_ns > _TRIM_NS:
            self._trimmed_ns = now
            trim()
        lag = trace.lag
        alarmed = self._alarm_ns is not None and now - self._alarm_ns < _ALARM_NS
        tell(Flagged(Flag.TRACE_BEHIND, alarmed or bool(lag.error) or lag.seconds > _BEHIND))
        tell(Flagged(Flag.CLOCK_BAD, not clock_ok))
        if trace.must_stop:
            tell(Raised(Fault.TRACE, f"parts cannot be recorded: {lag.error or 'the disk is short'}"))
        else:
            tell(Gone(Fault.TRACE))
        for failure in failures:
            tell(Raised(Fault.INTERNAL, failure))


def unanswered(watched: Iterable[tuple[Worker, int]]) -> str:
    """Return which of the threads has been silent for longer than its limit, ns; empty: none."""
    for thread, limit in watched:
        if thread.silent_ns() > limit:
            return f"the {thread.name} thread has not answered for {thread.silent_ns() / 1e9:.1f} s"
    return ""
