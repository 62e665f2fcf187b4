"""Who did what at the desk, in the line's record; what cannot be recorded there is said in the desk's log."""

from __future__ import annotations

from .errors import LinkError
from .link import StationLink
from .service import Surroundings

__all__ = ["audit"]

_PATIENCE = 2.0  # seconds
_LONGEST = 64  # characters of who, and of what was done


def audit(around: Surroundings, by: str, action: str, *, before: str = "", after: str = "") -> None:
    """Record an action of a user, of a machine or of a client of a protocol."""
    by = by[:_LONGEST] or "nobody"
    try:
        # A connection of its own: the answer comes once the entry is on the disk, and the desk's link is not held up.
        with StationLink(around.config.commands.socket, _PATIENCE) as link:
            link.ask("audit", by=by, action=action[:_LONGEST], before=before, after=after)
    except LinkError as error:
        around.say(f"not in the audit trail: {action} by {by}: {error}")
