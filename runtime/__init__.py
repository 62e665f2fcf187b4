"""The lean, torch-free runtime: open an artifact, teach or load a category, judge images."""

from __future__ import annotations

from .detector import Detector, Result, Timings
from .errors import (
    ArtifactError,
    CategoryError,
    DeviceError,
    InputError,
    OutputError,
    RegadError,
    SourceError,
)
from .formats.artifact import Artifact
from .formats.category import Category, Threshold, load_category, save_category
from .formats.encodings import Statistics
from .formats.spec import InputSpec

__all__ = [
    "Artifact",
    "ArtifactError",
    "Category",
    "CategoryError",
    "Detector",
    "DeviceError",
    "InputError",
    "InputSpec",
    "OutputError",
    "RegadError",
    "Result",
    "SourceError",
    "Statistics",
    "Threshold",
    "Timings",
    "load_category",
    "save_category",
]
