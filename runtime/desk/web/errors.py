"""What the page refuses, and how an error is sent to a browser."""

from __future__ import annotations

from ...errors import InputError, RegadError
from ..errors import LinkError

__all__ = ["RequestError", "status_of"]


class RequestError(RegadError):
    """A request that is not answered; ``status`` is HTTP's number for why."""

    def __init__(self, status: int, message: str, *, remedy: str = "", code: str = "") -> None:
        super().__init__(message, remedy=remedy, code=code)
        self.status = status


def status_of(error: RegadError) -> int:
    """Return HTTP's number for an error."""
    if isinstance(error, RequestError):
        return error.status
    if isinstance(error, LinkError):
        return 502 if error.code == "gone" else 409
    return 400 if isinstance(error, InputError) else 500
