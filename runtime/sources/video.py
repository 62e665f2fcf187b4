"""The frames of a video file, every one accounted for: read, unreadable, or missing at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..text import shown
from .capture import Capture, frame_count, video_capture
from .frame import Frame
from .streams import frame_name, frame_of

__all__ = ["VIDEO_SUFFIXES", "video_frames"]

_COUNTED = frozenset({".avi", ".mp4", ".m4v", ".mov"})
VIDEO_SUFFIXES = _COUNTED | {".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".mjpeg", ".mjpg", ".h264"}
"""Video files. The first four say how many frames they hold; of the others it is estimated from their length."""

_FAILURES, _FAILURES_AT_END = 250, 5


def video_frames(uri: str, capture: Any = None) -> tuple[Iterator[Frame], int | None]:
    """Return the frames of a video file (or of an opened ``capture``) and the number its container declares.

    A frame that cannot be decoded is an error frame, and reading goes on behind it. Frames that are missing at the end
    are one more error frame. Raises SourceError when it cannot be opened.
    """
    opened = video_capture(uri) if capture is None else capture
    total = frame_count(opened)
    exact = capture is None and Path(uri).suffix.lower() in _COUNTED
    return _frames(shown(uri), opened, total, exact), total


def _frames(uri: str, capture: Capture, total: int | None, exact: bool) -> Iterator[Frame]:
    index = 0
    try:
        while True:
            left = 0 if total is None else total - index
            image, failures = _next_image(capture, max(_FAILURES_AT_END, min(left, _FAILURES)))
            if image is None:
                break
            for _ in range(failures):
                yield _error(uri, index, f"{uri}: frame {index} cannot be decoded; the file is damaged there")
                index += 1
            yield frame_of(uri, index, image)
            index += 1
    finally:
        capture.release()
    # An estimated number may be one too high.
    if index == 0 or (total is not None and index < total - (not exact)):
        expected = "" if total is None else f" of {'' if exact else 'about '}{total}"
        message = f"{uri} broke off after {index}{expected} frames: it is damaged or was cut off; record it again"
        yield _error(uri, index, message)


def _next_image(capture: Capture, tries: int) -> tuple[NDArray[Any] | None, int]:
    """The next frame that can be decoded, or None, and how many could not be before it."""
    for failures in range(tries):
        try:
            ok, image = capture.read()
        except Exception:  # a decoder may raise anything: it is a frame that cannot be decoded
            continue
        if ok and image is not None and image.size:
            return image, failures
    return None, tries


def _error(uri: str, index: int, message: str) -> Frame:
    return Frame(uri, index, time.time(), None, error=message, name=frame_name(index))
