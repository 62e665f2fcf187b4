"""The tables of ``station.toml`` for the DESK process: the page, and what tells others of the verdicts."""

from __future__ import annotations

from .config_page import DeskConfig

__all__ = ["DeskConfig"]
