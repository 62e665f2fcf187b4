"""The mode, changed while the station runs: from shadow to live, and back.

``station.mode`` decides at every start, so who switches to live at the page has it until the restart. Only the other
way lasts: a station that ``station.toml`` says is live, and that was put back into shadow, starts in shadow. No restart
ever puts verdicts out that somebody has taken away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from ..errors import InputError, OutputError
from ..formats.atomic import atomic_write
from ..text import shown, system_reason
from .codes import Mode
from .config import Config
from .events import Event, ModeWanted
from .request_fields import fields_of

__all__ = ["FILE_NAME", "ModeSwitch", "starts_in"]

FILE_NAME: Final = "shadow.json"


def starts_in(config: Config) -> Mode:
    """The mode that a station starts in: shadow where nobody can see whether it was put back into it."""
    configured = Mode(config.station.mode)
    if configured is not Mode.LIVE:
        return configured
    try:
        (config.trace.folder / FILE_NAME).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return configured
    except OSError:
        return Mode.SHADOW
    return Mode.SHADOW


class _Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    by: Annotated[str, Meta(min_length=1, max_length=64)]
    mode: Literal["shadow", "live"]


class ModeSwitch:
    """Answers the command ``mode``; from any thread."""

    def __init__(self, config: Config, post: Callable[[Event], None]) -> None:
        self._path, self._configured, self._post = config.trace.folder / FILE_NAME, config.station.mode, post
        self._was_live = self._configured == Mode.LIVE.value
        self.handlers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"mode": self._mode}

    def _mode(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask for a mode, which begins between two parts."""
        told = fields_of(_Wanted, request)
        if self._configured == Mode.SIMULATE.value:
            raise InputError(
                "the station simulates: no real part may pass on such pictures; set station.mode and camera.source in "
                "station.toml",
                code="simulate",
            )
        wanted = Mode(told.mode)
        if wanted is Mode.SHADOW:
            self._post(ModeWanted(wanted, told.by))  # whatever the disk says
            if self._was_live:  # station.toml says so, or may by now: live at the page is often written there next
                self._remember(msgspec.json.encode(told) + b"\n")
            return {}
        self._was_live = True
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"{shown(self._path)} cannot be removed ({system_reason(error)}); remove it, and switch again"
            ) from error
        self._post(ModeWanted(wanted, told.by))
        return {}

    def _remember(self, data: bytes) -> None:
        try:
            atomic_write(self._path, data)
        except OutputError as error:
            said = f"the station goes into shadow, and a restart may put it back to live: {error}"
            raise OutputError(said) from error
