"""JSON that may come from anybody: whatever is wrong with it is a ValueError."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["parse"]


def parse(data: str | bytes) -> Any:
    """Return what JSON text (UTF-8) holds. Raises ValueError, also where it is nested too deeply for the parser."""
    try:
        return json.loads(data if isinstance(data, str) else data.decode())
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
