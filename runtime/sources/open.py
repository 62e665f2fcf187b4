"""Where frames come from: image files, folders, globs, videos, cameras and streams, all as one iterator.

`open_source` looks a URI up in the table `KINDS`; `open_camera` opens a camera by index. Files are read without
dropping, one frame ahead of the caller; live sources give the newest frame (see `streams`). What cannot be read becomes
a `Frame` with an ``error``: it is never skipped in silence.
"""

from __future__ import annotations

import glob
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

from ..errors import InputError, SourceError
from ..imaging.files import image_files, natural_key
from ..imaging.preprocess import IMAGE_SUFFIXES, read_image
from .capture import camera_capture, gstreamer_capture, network_capture
from .frame import Frame, Source
from .streams import LiveSource, ReadAhead, video_frames

__all__ = ["KINDS", "VIDEO_SUFFIXES", "Frame", "Source", "open_camera", "open_source"]

VIDEO_SUFFIXES = frozenset(
    {".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".mjpeg", ".mjpg", ".h264"}
)
_NETWORK = re.compile(r"^(rtsp|rtsps|rtmp|http|https|udp|tcp|srt)://", re.IGNORECASE)
_CAMERA = re.compile(r"^(?:camera:|/dev/video)?(\d+)$")


def record_names(paths: list[Path], root: Path) -> list[str]:
    """Name what is written about each image: its path below ``root`` as PNG; twins that differ in suffix keep it."""
    inner = [path.relative_to(root) for path in paths]
    twins = Counter(path.with_suffix("") for path in inner)
    names = [f"{path if twins[path.with_suffix('')] > 1 else path.with_suffix('')}.png" for path in inner]
    return names if len(set(names)) == len(names) else [f"{path}.png" for path in inner]


def image_frames(paths: list[Path], root: Path) -> Iterator[Frame]:
    """Yield one frame for each image file; ``root`` is the folder that their `Frame.name` is relative to."""
    for index, (path, name) in enumerate(zip(paths, record_names(paths, root), strict=True)):
        yield _image_frame(path, index, name)


def _image_frame(path: Path, index: int, name: str) -> Frame:
    try:
        return Frame(str(path), index, time.time(), read_image(path), name=name)
    except InputError as error:
        return Frame(str(path), index, time.time(), None, error=str(error), name=name)


def _open_image(uri: str) -> Source:
    path = Path(uri)
    return ReadAhead(uri, image_frames([path], path.parent), total=1, still=True)


def _open_folder(uri: str) -> Source:
    folder = Path(uri)
    paths = image_files(folder, recursive=True)
    if not paths:
        raise SourceError(
            f"{uri} holds no image ({_suffixes(IMAGE_SUFFIXES)}), nor do the folders below it; name a folder of images"
        )
    return ReadAhead(uri, image_frames(paths, folder), total=len(paths), still=True)


def _open_glob(uri: str) -> Source:
    matches = [Path(match) for match in glob.glob(uri, recursive=True)]  # noqa: PTH207 (the pattern may be absolute)
    paths = sorted((p for p in matches if p.is_file() and p.suffix.lower() in IMAGE_SUFFIXES), key=natural_key)
    if not paths:
        raise SourceError(
            f"no image file ({_suffixes(IMAGE_SUFFIXES)}) matches {uri}; quote the pattern, check the folder"
        )
    parts = PurePath(uri).parts
    fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    return ReadAhead(uri, image_frames(paths, Path(*parts[:fixed])), total=len(paths), still=True)


def _open_video(uri: str) -> Source:
    frames, total = video_frames(uri)
    return ReadAhead(uri, frames, total=total, still=False)


def _open_network(uri: str) -> Source:
    return LiveSource(redact(uri), network_capture(uri, redact(uri)))


def _open_gstreamer(uri: str) -> Source:
    shown = redact(uri)
    if re.search(r"\b(multi)?filesrc\b|\buridecodebin\d*\s+uri=file:", uri):
        frames, total = video_frames(shown, gstreamer_capture(uri, shown)())
        return ReadAhead(shown, frames, total=total, still=False)
    return LiveSource(shown, gstreamer_capture(uri, shown))


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
    Kind("folder of images", lambda uri: Path(uri).is_dir(), _open_folder),
    Kind("image file", lambda uri: _is_file(uri, IMAGE_SUFFIXES), _open_image),
    Kind("video file", lambda uri: _is_file(uri, VIDEO_SUFFIXES), _open_video),
    Kind("camera (0, camera:0, /dev/video0)", lambda uri: bool(_CAMERA.match(uri)), _open_camera_uri),
    Kind("glob ('shots/*.png')", lambda uri: not Path(uri).exists() and glob.has_magic(uri), _open_glob),
)
"""The kinds of source, tried in this order."""


def open_source(uri: str) -> Source:
    """Open ``uri`` (see `KINDS`; ``file://`` is accepted too) as a context manager that yields `Frame`.

    Raises SourceError, saying what to do, when it is of no known kind, empty, or cannot be opened.
    """
    uri = uri.removeprefix("file://")
    for kind in KINDS:
        if kind.matches(uri):
            return kind.open(uri)
    path = Path(uri)
    if path.exists():
        raise SourceError(
            f"{uri} is neither an image ({_suffixes(IMAGE_SUFFIXES)}) nor a video ({_suffixes(VIDEO_SUFFIXES)}); "
            "convert it to one of these"
        )
    raise SourceError(f"{uri} does not exist; a source is one of: {', '.join(kind.name for kind in KINDS)}")


def open_camera(index: int) -> Source:
    """Open camera ``index`` (as in /dev/video<index>) for its newest frames. Raises SourceError if it is not there."""
    return LiveSource(f"camera:{index}", camera_capture(index))


def redact(uri: str) -> str:
    """Return ``uri`` with the user and password of any address in it hidden: it goes into records and messages."""
    return re.sub(r"://[^/@\s]*@", "://***@", uri)


def _suffixes(suffixes: frozenset[str]) -> str:
    return " ".join(sorted(suffixes))


def _is_file(uri: str, suffixes: frozenset[str]) -> bool:
    path = Path(uri)
    return path.suffix.lower() in suffixes and path.is_file()
