"""Where frames come from: image files, folders, globs, videos, cameras and streams, all as one iterator.

`open_source` looks a URI up in the table `KINDS`; `open_camera` opens a camera by index. Files are read without
dropping, one frame ahead of the caller; live sources give the newest frame (see `streams`). What cannot be read becomes
a `Frame` with an ``error``: it is never skipped in silence.
"""

from __future__ import annotations

import glob
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..errors import RegadError, SourceError
from ..imaging.files import Listing, list_folder, list_glob, mode_of, split_glob
from ..imaging.reading import IMAGE_SUFFIXES
from ..text import reason_of, redact, shown
from .capture import camera_capture, gstreamer_capture, network_capture
from .frame import Frame, Source
from .genicam import open_genicam
from .stills import image_frames
from .streams import LiveSource, ReadAhead
from .video import VIDEO_SUFFIXES, video_frames

__all__ = ["KINDS", "VIDEO_SUFFIXES", "Frame", "Source", "open_camera", "open_source"]

_NETWORK = re.compile(r"^(rtsp|rtsps|rtmp|http|https|udp|tcp|srt)://", re.IGNORECASE)
_GENICAM = re.compile("^genicam:", re.IGNORECASE)
_CAMERA = re.compile(r"^(?:camera:|/dev/video)?(\d+)$")


def _open_image(uri: str) -> Source:
    path = Path(uri)
    return ReadAhead(uri, image_frames(Listing([path]), path.parent), total=1, still=True)


def _open_folder(uri: str) -> Source:
    folder = Path(uri)
    found = list_folder(folder, recursive=True)
    if not found.images:
        raise SourceError(
            f"{shown(uri)} holds no image ({_suffixes(IMAGE_SUFFIXES)}), nor do the folders below it{_why(found)}; "
            "name a folder of images"
        )
    return _stills(uri, found, folder)


def _open_glob(uri: str) -> Source:
    found = list_glob(uri)
    if not found.images:
        raise SourceError(
            f"no image file ({_suffixes(IMAGE_SUFFIXES)}) matches {shown(uri)}{_why(found)}; quote the pattern, "
            "check the folder"
        )
    return _stills(uri, found, split_glob(uri)[0])


def _stills(uri: str, found: Listing, root: Path) -> Source:
    total = len(found.images) + len(found.denied)
    return ReadAhead(uri, image_frames(found, root), total=total, still=True, notes=found.notes)


def _why(found: Listing) -> str:
    """What stood in the way of finding an image."""
    reasons = [*(f"{shown(folder)} cannot be read: {reason}" for folder, reason in found.denied), *found.notes]
    return f" ({'; '.join(reasons)})" if reasons else ""


def _open_video(uri: str) -> Source:
    frames, total = video_frames(uri)
    return ReadAhead(uri, frames, total=total, still=False)


def _open_network(uri: str) -> Source:
    return LiveSource(redact(uri), network_capture(uri, redact(uri)))


def _open_gstreamer(uri: str) -> Source:
    label = redact(uri)
    if re.search(r"\b(multi)?filesrc\b|\buridecodebin\d*\s+uri=file:", uri):
        frames, total = video_frames(label, gstreamer_capture(uri, label)())
        return ReadAhead(label, frames, total=total, still=False)
    return LiveSource(label, gstreamer_capture(uri, label))


def _open_camera_uri(uri: str) -> Source:
    match = _CAMERA.match(uri)
    assert match is not None
    return open_camera(int(match.group(1)))


class Kind(NamedTuple):
    """One kind of source: its name, whether a URI is of it, and how to open it."""

    name: str
    matches: Callable[[str], bool]
    open: Callable[[str], Source]


KINDS = (
    Kind("GStreamer pipeline (elements joined by ' ! ')", lambda uri: " ! " in uri, _open_gstreamer),
    Kind("stream (rtsp://, http://, ...)", lambda uri: bool(_NETWORK.match(uri)), _open_network),
    Kind("GenICam camera (genicam:NAME?Feature=value)", lambda uri: bool(_GENICAM.match(uri)), open_genicam),
    Kind("folder of images", lambda uri: _is_folder(uri), _open_folder),
    Kind("image file", lambda uri: _is_file(uri, IMAGE_SUFFIXES), _open_image),
    Kind("video file", lambda uri: _is_file(uri, VIDEO_SUFFIXES), _open_video),
    Kind("camera (0, camera:0, /dev/video0)", lambda uri: bool(_CAMERA.match(uri)), _open_camera_uri),
    Kind("glob ('shots/*.png')", lambda uri: glob.has_magic(uri) and not _exists(uri), _open_glob),
)
"""The kinds of source, tried in this order."""


def open_source(uri: str) -> Source:
    """Open ``uri`` (see `KINDS`; ``file://`` is accepted too) as a context manager that yields `Frame`.

    Raises SourceError, saying what to do, when it is of no known kind, empty, or cannot be opened.
    """
    uri = uri.removeprefix("file://")
    label = redact(shown(uri))
    for kind in KINDS:
        if kind.matches(uri):
            try:
                return kind.open(uri)
            except RegadError:
                raise
            except Exception as error:  # OpenCV, drivers and file systems raise what they like
                raise SourceError(f"{label} cannot be opened: {reason_of(error)}") from error
    if _exists(uri):
        raise SourceError(
            f"{label} is neither an image ({_suffixes(IMAGE_SUFFIXES)}) nor a video ({_suffixes(VIDEO_SUFFIXES)}); "
            "convert it to one of these"
        )
    raise SourceError(f"{label} does not exist; a source is one of: {', '.join(kind.name for kind in KINDS)}")


def open_camera(index: int) -> Source:
    """Open camera ``index`` (as in /dev/video<index>) for its newest frames. Raises SourceError if it is not there."""
    return LiveSource(f"camera:{index}", camera_capture(index))


def _suffixes(suffixes: frozenset[str]) -> str:
    return " ".join(sorted(suffixes))


def _mode(uri: str) -> int | None:
    """See `mode_of`. Raises SourceError if it cannot be known."""
    try:
        return mode_of(Path(uri))
    except OSError as error:
        raise SourceError(f"{redact(shown(uri))} cannot be read: {error.strerror}; check its permissions") from error


def _exists(uri: str) -> bool:
    return _mode(uri) is not None


def _is_folder(uri: str) -> bool:
    return stat.S_ISDIR(_mode(uri) or 0)


def _is_file(uri: str, suffixes: frozenset[str]) -> bool:
    return Path(uri).suffix.lower() in suffixes and stat.S_ISREG(_mode(uri) or 0)
