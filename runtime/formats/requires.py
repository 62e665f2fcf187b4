"""Features that a file may ask its reader for, so that an older reader refuses it instead of judging otherwise.

A file's ``requires`` names what changes a verdict and is not part of its format version. Other keys and tensors that a
reader does not know may be passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InputError

__all__ = ["KNOWN", "check_requires"]

KNOWN: frozenset[str] = frozenset({"registration"})
"""What this version provides beyond the formats themselves. A feature that is added gets its name here."""


def check_requires(data: Mapping[str, Any]) -> None:
    """Raise InputError if the ``requires`` of a manifest or of a category's metadata names what is not `KNOWN`."""
    names = data["requires"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError("its 'requires' is not a list of names")
    unknown = [name for name in names if name not in KNOWN]
    if unknown:
        raise InputError(f"it requires {', '.join(unknown)}, which this version does not provide; update regad")
