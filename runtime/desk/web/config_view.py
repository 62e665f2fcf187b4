"""The configuration as it may be shown: every value, and no secret."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...station.config_file import read_document
from ...text import redact, shown

__all__ = ["config_view"]

_SECRET = ("password", "passwd", "token", "secret", "key", "credential")


def config_view(path: Path) -> dict[str, Any]:
    """Return the tables of ``station.toml`` for people. Raises InputError where it cannot be read."""
    return {name: _shown(name, value) for name, value in read_document(path).items()}


def _shown(name: str, value: object) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _shown(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shown(name, one) for one in value]
    if isinstance(value, str):
        return "***" if _hidden(name, value) else redact(shown(value))
    return value if isinstance(value, (bool, int, float)) else str(value)


def _hidden(name: str, value: str) -> bool:
    """Whether a text is a secret by its key's name; the name of a file that holds one is none."""
    return any(word in name.lower() for word in _SECRET) and not (value.endswith(".pem") or "/" in value)
