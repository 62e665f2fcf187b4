"""The C library from Python, under its public name; see `regad.runtime.cabi`."""

from __future__ import annotations

from .cabi import NativeDetector, NativeResult

__all__ = ["NativeDetector", "NativeResult"]
