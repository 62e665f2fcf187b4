"""What can go wrong between the desk and the line."""

from __future__ import annotations

from ..errors import RegadError

__all__ = ["LinkError"]


class LinkError(RegadError):
    """The line does not answer, or has refused a request; ``code`` is the word of its answer, "gone" for none."""
