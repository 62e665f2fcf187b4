"""Opening OpenCV captures: video files, cameras, network streams and GStreamer pipelines, each with its own advice."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import SourceError
from ..imaging.opencv import build_options, load_cv2
from ..imaging.preprocess import as_rgb8
from ..text import shown

__all__ = [
    "Capture",
    "OpenCapture",
    "camera_capture",
    "frame_count",
    "gstreamer_capture",
    "network_capture",
    "to_rgb",
    "video_capture",
]

_STREAM_TIMEOUT_MS = 10_000


class Capture(Protocol):
    """The part of ``cv2.VideoCapture`` that is used; tests put their own in its place."""

    def read(self) -> tuple[bool, NDArray[Any] | None]:
        """Return whether there was a frame, and the frame: uint8 BGR [H, W, 3] or grey."""
        ...

    def release(self) -> None:
        """Close the device."""
        ...


OpenCapture = Callable[[], Capture]
"""Opens a capture, again if need be; raises SourceError when it cannot."""


def to_rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Turn what a capture gives (uint8 BGR [H, W, 3], or grey of 8 or 16 bits) into uint8 RGB [H, W, 3].

    Raises InputError for any other shape or dtype.
    """
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim == 2:
        return as_rgb8(image)
    return as_rgb8(image[:, :, ::-1]) if image.dtype != np.uint8 or image.shape[2] != 3 else _swap(image)


def _swap(image: NDArray[Any]) -> NDArray[np.uint8]:
    cv2 = load_cv2()
    rgb: NDArray[np.uint8] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return rgb


def video_capture(path: str) -> Any:
    """Open a video file as a ``cv2.VideoCapture``. Raises SourceError when no frame can come of it."""
    cv2 = load_cv2()
    # FFmpeg where there is one: OpenCV's own AVI reader prints on stderr whatever the log level.
    api = cv2.CAP_FFMPEG if build_options()["FFMPEG"] == "YES" else cv2.CAP_ANY
    capture = cv2.VideoCapture(path, api)
    if not capture.isOpened():
        raise SourceError(
            f"{shown(path)} cannot be opened as a video: it is damaged, or this OpenCV cannot decode it; "
            f"check it with ffprobe, or convert it: ffmpeg -i {shown(path)} -c:v mjpeg -q:v 2 converted.avi"
        )
    return capture


def frame_count(capture: Any) -> int | None:
    """Return the number of frames the container declares, or None where it does not say."""
    count = int(capture.get(load_cv2().CAP_PROP_FRAME_COUNT)) if hasattr(capture, "get") else 0
    return count if count > 0 else None


def camera_capture(index: int) -> OpenCapture:
    """Return how to open camera ``index``; its buffer is kept to one frame where the driver allows."""

    def open_it() -> Capture:
        cv2 = load_cv2()
        capture = cv2.VideoCapture(index, cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_ANY)
        if not capture.isOpened():
            raise SourceError(_no_camera(index))
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        opened: Capture = capture
        return opened

    return open_it


def _no_camera(index: int) -> str:
    device = Path(f"/dev/video{index}")
    if device.exists():
        return (
            f"camera {index} ({device}) is there but cannot be opened: another program holds it (fuser -v {device}), "
            "or access is denied (sudo usermod -aG video $USER, then log in again)"
        )
    others = ", ".join(str(path) for path in sorted(Path("/dev").glob("video*"))) or "none"
    return (
        f"no camera at index {index} (cameras on this machine: {others}); "
        "plug it in, or name another source (--source FOLDER; at a station camera.source)"
    )


def network_capture(uri: str, label: str) -> OpenCapture:
    """Return how to open a network stream with FFmpeg; ``label`` is its address without the password."""

    def open_it() -> Capture:
        cv2 = load_cv2()
        limits = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            _STREAM_TIMEOUT_MS,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            _STREAM_TIMEOUT_MS,
        ]
        capture = cv2.VideoCapture(uri, cv2.CAP_FFMPEG, limits)
        if not capture.isOpened():
            raise SourceError(
                f"{label} cannot be opened within {_STREAM_TIMEOUT_MS // 1000} s: check the address, the user and "
                "password, and that the device answers (ping it, or play the address with ffplay)"
            )
        opened: Capture = capture
        return opened

    return open_it


def gstreamer_capture(pipeline: str, label: str) -> OpenCapture:
    """Return how to open a GStreamer pipeline, which must end in ``appsink``; ``label`` is it without passwords."""

    def open_it() -> Capture:
        cv2 = load_cv2()
        if build_options()["GStreamer"] != "YES":
            raise SourceError(
                "this OpenCV is built without GStreamer (pip's opencv-python is), so a pipeline cannot be opened; use "
                "the system's build (sudo apt install python3-opencv; on a Jetson it comes with JetPack), or rtsp://"
            )
        capture = cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)
        if not capture.isOpened():
            raise SourceError(
                f"the GStreamer pipeline cannot be opened: {label}; it must end in ' ! videoconvert ! "
                "video/x-raw,format=BGR ! appsink'; try it with gst-launch-1.0 and fakesink in place of appsink"
            )
        opened: Capture = capture
        return opened

    return open_it
