"""What the desk is made of: services, each in threads of its own, none of which can hold up another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..station.config import Config
from ..text import Say
from .link import StationLink
from .watch import StationWatch

__all__ = ["Health", "Service", "Surroundings"]


@dataclass(frozen=True)
class Health:
    """How a service does: ``ok``, a line for people, and how many parts it is behind (None: it has no backlog)."""

    ok: bool
    text: str
    behind: int | None = None


@dataclass(frozen=True)
class Surroundings:
    """What every service is given: the configuration and its file, the line's command socket, and what it says.

    ``health`` is how all services do (`Desk.health`). ``trace`` is the trace's folder; a service keeps its own files in
    ``state``, which no other process writes.
    """

    config: Config
    path: Path
    link: StationLink
    watch: StationWatch
    say: Say
    health: Callable[[], dict[str, Health]] = dict

    @property
    def trace(self) -> Path:
        """The folder of the trace."""
        return self.config.trace.folder

    @property
    def state(self) -> Path:
        """The folder for what the desk keeps."""
        return self.config.trace.folder / "desk"


class Service(Protocol):
    """A part of the desk. `start` returns at once; what it needs from outside may come later, or never."""

    name: str

    def start(self) -> None:
        """Begin. Raises RegadError only for what a person must change: a configuration, a port, a missing extra."""
        ...

    def close(self) -> None:
        """End, within a few seconds."""
        ...

    def health(self) -> Health:
        """How it does; from any thread."""
        ...
