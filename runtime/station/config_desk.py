"""The tables of ``station.toml`` for the DESK process: the page, and what tells others of the verdicts."""

from __future__ import annotations

from .config_types import Table, Text

__all__ = ["DeskConfig"]


class DeskConfig(Table, frozen=True):
    """The DESK process, which the station starts and restarts: regad's own, or ``command``, a program of yours."""

    command: tuple[Text, ...] = ()
