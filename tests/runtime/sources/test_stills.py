"""Frames of image files: every picture is a frame, every failure an error frame."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regad.runtime.errors import RegadError
from regad.runtime.imaging.files import Listing, list_folder
from regad.runtime.imaging.reading import LOW_SAMPLES, Picture
from regad.runtime.sources import stills
from regad.runtime.sources.open import open_source
from regad.runtime.sources.stills import image_frames


def grey(level: int) -> Image.Image:
    return Image.new("RGB", (8, 6), (level, level, level))


def test_every_page_is_a_frame_with_a_name_of_its_own(tmp_path: Path) -> None:
    grey(10).save(tmp_path / "a.tif", save_all=True, append_images=[grey(20), grey(30)])
    grey(40).save(tmp_path / "a.page2.png")
    with open_source(str(tmp_path)) as source:
        frames = list(source)
    pages = [frame for frame in frames if "a.tif" in frame.source]
    assert [frame.source.rpartition("/")[2] for frame in pages] == ["a.tif, page 1", "a.tif, page 2", "a.tif, page 3"]
    assert [int(frame.image[0, 0, 0]) for frame in pages if frame.image is not None] == [10, 20, 30]
    assert [frame.index for frame in frames] == list(range(4))
    assert len({frame.name for frame in frames}) == 4


@pytest.mark.parametrize("damaged", [0, 1, 2])
def test_a_damaged_page_does_not_hide_the_others(tmp_path: Path, damaged: int) -> None:
    path = tmp_path / "a.tif"
    grey(10).save(path, save_all=True, append_images=[grey(20), grey(30)], compression="tiff_lzw")
    with Image.open(path) as file:
        file.seek(damaged)
        at = file.tag_v2[273][0]  # type: ignore[attr-defined]
    data = bytearray(path.read_bytes())
    data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    frames = list(image_frames(Listing([path]), tmp_path))
    assert [frame.error is None for frame in frames] == [page != damaged for page in range(3)]
    assert ("(page" in str(frames[damaged].error)) == (damaged > 0)
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert len({frame.name for frame in frames}) == 3


def test_pages_of_32_bits_are_all_told(tmp_path: Path) -> None:
    deep = Image.fromarray(np.zeros((6, 8), np.float32))
    deep.save(tmp_path / "a.tif", save_all=True, append_images=[grey(20), deep])
    frames = list(image_frames(Listing([tmp_path / "a.tif"]), tmp_path))
    assert [frame.error is None for frame in frames] == [False, True, False]
    assert all("32-bit" in str(frame.error) for frame in frames[::2])


def test_folders_that_cannot_be_read_are_error_frames(tmp_path: Path) -> None:
    grey(1).save(tmp_path / "1.png")
    found = Listing([tmp_path / "1.png"], denied=((tmp_path / "locked", "Permission denied"),))
    first, second = image_frames(found, tmp_path)
    assert first.error is None
    assert second.image is None
    assert second.error == f"{tmp_path}/locked cannot be read: Permission denied; the images in it are not judged"
    assert second.index == 1


def test_a_source_says_what_it_passed_over(tmp_path: Path) -> None:
    grey(1).save(tmp_path / "1.png")
    (tmp_path / "part.heic").touch()
    for uri in (str(tmp_path), f"{tmp_path}/*"):
        with open_source(uri) as source:
            assert source.notes == ("passed over, being no image files: 1 .heic",)


def test_names_that_are_not_utf8_are_read_and_shown_with_replacement(tmp_path: Path) -> None:
    grey(1).save(tmp_path / "1.png")
    (tmp_path / "1.png").rename(tmp_path / os.fsdecode(b"pr\xfcf.png"))
    (frame,) = image_frames(list_folder(tmp_path), tmp_path)
    assert frame.source == f"{tmp_path}/pr\ufffdf.png"
    assert frame.image is not None
    assert os.fsencode(frame.name) == b"pr\xfcf.png"  # pictures of two such parts stay apart


def test_frames_say_what_is_odd_and_when_they_were_taken(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 4000, np.uint16)).save(tmp_path / "1.png")
    before = time.monotonic()
    (frame,) = image_frames(list_folder(tmp_path), tmp_path)
    assert before <= frame.taken <= time.monotonic()
    assert (frame.notes, frame.tag) == ((LOW_SAMPLES,), None)


@pytest.mark.parametrize("uri", ["x" * 5000, "part\0.png", "rtps://me:geheim@host/1", "rtsp:me:geheim@host", "9" * 30])
def test_odd_addresses_are_refused_in_one_line_without_their_secrets(uri: str) -> None:
    with pytest.raises(RegadError) as caught:
        open_source(uri)
    assert "\n" not in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_both_times_of_a_frame_are_from_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def read(path: Path, page: int) -> Picture:
        clock[0] += 5
        return Picture(np.zeros((2, 2, 3), np.uint8))

    monkeypatch.setattr(stills, "read_picture", read)
    monkeypatch.setattr(stills, "monotonic", lambda: clock[0])
    monkeypatch.setattr("time.time", lambda: 1000 + clock[0])
    frames = list(image_frames(Listing([tmp_path / "1.png", tmp_path / "2.png"]), tmp_path))
    assert [(frame.time, frame.taken) for frame in frames] == [(1000, 0), (1005, 5)]
