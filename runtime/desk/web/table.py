"""Everything that the page can do: the modules of its API, and the parts of its state. A new one is added here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..learning.drift_service import drift_section
from ..learning.learning import Learning
from ..learning.routes import learning_routes
from ..service import Surroundings
from .command_api import command_routes
from .metrics_api import metrics_routes
from .parts_api import part_routes
from .rejudge_api import rejudge_routes
from .routes import Route
from .shift import ShiftSection
from .state import Section
from .station_state import services_section, station_section
from .system_api import system_routes

__all__ = ["modules", "sections"]


def modules(around: Surroundings) -> list[Route]:
    """Return the routes of every module of the API."""
    return [
        *command_routes(around),
        *metrics_routes(around),
        *part_routes(),
        *rejudge_routes(around),
        *system_routes(),
        *learning_routes(),
    ]


def sections(around: Surroundings, shared: Mapping[str, Any]) -> tuple[Section, ...]:
    """Return what gathers the parts of the state; ``shared`` is what the page's modules share."""
    learning = shared.get("learning")
    drift = (drift_section(learning.drift),) if isinstance(learning, Learning) else ()
    return (station_section, services_section, ShiftSection(around), *drift)
