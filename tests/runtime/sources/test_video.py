"""Every frame of a video is accounted for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regad.runtime.sources.open import open_source
from regad.runtime.sources.video import video_frames

from .captures import picture
from .test_open import save_video


def chunks(data: bytes) -> list[int]:
    """Where the frames of an MJPEG AVI begin: those of the stream, not those of the index."""
    found, at = [], data.find(b"00dc", data.find(b"movi"))
    while 0 <= at < data.find(b"idx1"):
        found.append(at)
        at = data.find(b"00dc", at + 4)
    return found


def zeroed(data: bytes, number: int) -> bytes:
    at = chunks(data)[number]
    length = int.from_bytes(data[at + 4 : at + 8], "little")
    return data[: at + 8] + bytes(length) + data[at + 8 + length :]


@pytest.mark.parametrize("bad", [[37], [5, 6, 20], [0], [39]])
def test_a_bad_frame_is_an_error_frame_and_the_rest_is_read(tmp_path: Path, bad: list[int]) -> None:
    path = save_video(tmp_path / "line.avi", [6 * number for number in range(40)])
    data = path.read_bytes()
    for number in bad:
        data = zeroed(data, number)
    path.write_bytes(data)
    with open_source(str(path)) as source:
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(40))
    assert [frame.index for frame in frames if frame.error is not None] == bad
    for frame in frames:
        if frame.image is not None:
            assert round(float(frame.image.mean()) / 6) == frame.index


@pytest.mark.parametrize("kept", [39, 37, 20])
def test_frames_missing_at_the_end_are_told(tmp_path: Path, kept: int) -> None:
    path = save_video(tmp_path / "line.avi", [90] * 40)
    data = path.read_bytes()
    path.write_bytes(data[: chunks(data)[kept]])
    with open_source(str(path)) as source:
        frames = list(source)
    assert [frame.error is None for frame in frames] == [True] * kept + [False]
    assert f"broke off after {kept} of 40 frames" in str(frames[-1].error)


class Tape:
    """A capture that gives a list of pictures; None is a frame that cannot be decoded, an exception one that raises."""

    def __init__(self, *items: Any, declared: float = 0) -> None:
        self.items = list(items)
        self.declared = declared
        self.released = False

    def read(self) -> tuple[bool, Any]:
        item = self.items.pop(0) if self.items else None
        if isinstance(item, Exception):
            raise item
        return item is not None, item

    def get(self, what: int) -> float:
        return self.declared

    def release(self) -> None:
        self.released = True


def outcome(tape: Tape) -> str:
    frames, _ = video_frames("tape", tape)
    got = "".join("." if frame.error is None else "E" if "decoded" in frame.error else "X" for frame in frames)
    assert tape.released
    return got


def test_what_is_counted_and_what_is_estimated() -> None:
    good = picture(1)
    assert outcome(Tape(good, None, good, RuntimeError("codec"), good)) == ".E.E."
    assert outcome(Tape(good, good, declared=2)) == ".."
    assert outcome(Tape(good, good, declared=3)) == ".."  # an estimate may be one too high
    assert outcome(Tape(good, good, declared=4)) == "..X"
    assert outcome(Tape(good, *[None] * 40, good, declared=42)) == "." + 40 * "E" + "."
    assert outcome(Tape(good, *[None] * 400, good, declared=402)) == ".X"
    assert outcome(Tape(declared=5)) == "X"
    assert outcome(Tape()) == "X"
