"""The process of a station: what it sets for itself, and how it ends."""

from __future__ import annotations

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

_SWITCH = 0.0005  # seconds after which a thread must let go of Python's lock: a verdict waits for no other


def prepare_process() -> None:
    """Set what a station wants of the whole process, before its threads start."""
    sys.setswitchinterval(_SWITCH)
    share_heap()


def run_line(config: Config, path: Path, say: Say = unsaid) -> None:
    """Run the station of the configuration that the file ``path`` holds until SIGINT or SIGTERM.

    Raises RegadError where it cannot start.
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
        with drawn.coming(line.requests.handle, lambda: line.image) if drawn else nullcontext():
            stop.wait()
