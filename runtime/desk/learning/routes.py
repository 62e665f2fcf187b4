"""Every route of the pages of learning."""

from __future__ import annotations

from ..web.routes import Route
from .challenge_api import challenge_routes
from .review_api import review_routes
from .teach_api import teach_routes
from .threshold_api import threshold_routes

__all__ = ["learning_routes"]


def learning_routes() -> list[Route]:
    """Return them."""
    return [*review_routes(), *threshold_routes(), *teach_routes(), *challenge_routes()]
