"""OpenCV, loaded only when a video, a camera or a picture needs it, and kept from chattering on stderr."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec
from types import ModuleType

from ..errors import DeviceError

__all__ = ["ABSENT", "INSTALL", "build_options", "is_installed", "load_cv2"]

INSTALL = "pip install opencv-python"
"""What to do where it is missing."""

ABSENT = "OpenCV is not installed; cameras, videos, overlays and the window need it, arrays and image files do not"

# OpenCV and FFmpeg print on stderr what the caller reports in one line of its own; a user's setting wins.
_QUIET = {"OPENCV_LOG_LEVEL": "SILENT", "OPENCV_FFMPEG_LOGLEVEL": "-8"}


@cache
def load_cv2() -> ModuleType:
    """Import and return ``cv2``. Raises DeviceError, naming the remedy, when it is missing or cannot be loaded."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if not is_installed():
        raise DeviceError(ABSENT, remedy=INSTALL)
    try:
        import cv2
    except ImportError as error:
        headless = "libGL" in str(error) or "libgthread" in str(error)
        remedy = "pip uninstall -y opencv-python && pip install opencv-python-headless" if headless else INSTALL
        raise DeviceError(f"OpenCV cannot be loaded ({error})", remedy=remedy) from error
    return cv2


def is_installed() -> bool:
    """Whether there is an OpenCV at all; `load_cv2` tells whether it can be loaded."""
    return find_spec("cv2") is not None


@cache
def build_options() -> dict[str, str]:
    """Return what this OpenCV was built with: ``GUI`` (a toolkit or NONE), ``GStreamer``, ``FFMPEG`` (YES or NO)."""
    found = {"GUI": "NONE", "GStreamer": "NO", "FFMPEG": "NO"}
    for line in load_cv2().getBuildInformation().splitlines():
        key, _, value = line.strip().partition(":")
        if key in found and value.strip():
            found[key] = value.split()[0]
    return found
