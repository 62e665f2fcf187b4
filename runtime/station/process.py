"""The process of a station: what it sets for itself, and how it ends."""

from __future__ import annotations

import signal
import sys
from contextlib import nullcontext
from pathlib import Path

from ..formats.memory import share_heap
from ..line.stopping import StopSignals
from ..text import Say, unsaid
from .config import Config
from .drawn import DrawnParts
from .line import Line
from .systemd import Notifier

__all__ = ["prepare_process", "run_line"]

_INTERRUPTED = 130
_WAITS = 'no part is judged before "start": at the page, by a command, or by station.autostart = true'
_SWITCH = 0.0005  # seconds after which a thread must let go of Python's lock: a verdict waits for no other


def prepare_process() -> None:
    """Set what a station wants of the whole process, before its threads start."""
    sys.setswitchinterval(_SWITCH)
    share_heap()


def run_line(config: Config, path: Path, say: Say = unsaid) -> int:
    """Run the station of the configuration that the file ``path`` holds until SIGINT or SIGTERM; say how it ended.

    Returns the exit status: 130 after SIGINT, as a shell expects of what Ctrl-C ended, 0 after SIGTERM, by which a
    service is stopped in good order. Raises RegadError where it cannot start.
    """
    prepare_process()
    drawn = DrawnParts.of(config.camera.source)
    source = drawn.open if drawn else None
    with (
        StopSignals() as signals,
        Line(config, source=source, say=say, notifier=Notifier(), path=path) as line,
        signals.run() as stop,
    ):
        line.start()
        if not config.station.autostart:
            say(_WAITS)
        with drawn.coming(line.requests.handle, lambda: line.image) if drawn else nullcontext():
            stop.wait()
    say(_ended(line, signals.received))
    return _INTERRUPTED if signals.received is signal.SIGINT else 0


def _ended(line: Line, by: signal.Signals | None) -> str:
    """How a run ended, once everything is closed."""
    how = "Ctrl-C" if by is signal.SIGINT else "a signal" if by is None else by.name
    lost = line.trace.lag.lost_rows
    kept = "all recorded" if not lost else f"{lost} rows of the trace are lost"
    parts = f"{line.judged} part{'s' * (line.judged != 1)} judged"
    return f"stopped by {how}: {parts}, {kept}; the outputs are cleared and closed, so nothing passes"
