"""Everything that the page can do: the modules of its API, and the parts of its state. A new one is added here."""

from __future__ import annotations

from ..service import Surroundings
from .routes import Route
from .state import Section
from .station_state import station_section

__all__ = ["modules", "sections"]


def modules(around: Surroundings) -> list[Route]:
    """Return the routes of every module of the API."""
    return []


def sections() -> tuple[Section, ...]:
    """Return what gathers the parts of the state."""
    return (station_section,)
