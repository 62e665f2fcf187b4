"""Pictures: called as their frames, never overwritten, never half, bounded, and apart from other people's."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.errors import OutputError
from regad.runtime.formats import atomic
from regad.runtime.line import pictures
from regad.runtime.line.picture_file import encode, is_own
from regad.runtime.line.pictures import Pictures, safe_name

from .verdicts import verdict

START = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC
STAMP = "20231114T221320Z"


def opened(folder: Path, *, still: bool = True, started: float = START, **options: Any) -> Pictures:
    sink = Pictures(folder, still=still, started=started, **options)
    sink.open()
    return sink


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_overlays_of_images_are_called_as_their_frames_and_hold_the_picture(tmp_path: Path) -> None:
    sink = opened(tmp_path / "out")
    for name in ("good/x.png", "bad/x.png", "frame_000012.jpg"):
        assert sink.write(verdict(9.0, name))
    sink.close()
    assert names(tmp_path / "out") == ["bad/x.png", "frame_000012.jpg", "good/x.png"]
    picture = cv2.imread(str(tmp_path / "out/bad/x.png"))
    assert picture is not None
    assert picture.shape[1] == 300  # 60 pixels, enlarged five times
    assert picture[100, 150, 2] > picture[100, 150, 0], "stored as BGR: the anomaly is red, not blue"


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_the_mark_leaves_the_picture_as_it_is(tmp_path: Path, suffix: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    path = tmp_path / f"x{suffix}"
    path.write_bytes(encode(picture, suffix))
    assert is_own(path) is True
    plain = tmp_path / f"plain{suffix}"
    cv2.imwrite(str(plain), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert is_own(plain) is False
    np.testing.assert_array_equal(cv2.imread(str(path)), cv2.imread(str(plain)))


def test_a_second_run_over_the_same_images_leaves_the_pictures_of_the_first(tmp_path: Path) -> None:
    opened(tmp_path).write(verdict(9.0, "good/x.png"))
    first = (tmp_path / "good/x.png").read_bytes()
    for _ in range(3):
        opened(tmp_path).write(verdict(1.0, "good/x.png"))
    assert (tmp_path / "good/x.png").read_bytes() == first
    assert names(tmp_path) == [
        f"good/{STAMP}_x.png",
        f"good/{STAMP}_x_2.png",
        f"good/{STAMP}_x_3.png",
        "good/x.png",
    ]


def test_a_restarted_camera_run_continues_beside_the_earlier_one(tmp_path: Path) -> None:
    for hour in range(2):
        sink = opened(tmp_path, still=False, started=START + 3600 * hour)
        for index in range(2):
            sink.write(verdict(9.0, f"frame_{index:06d}.jpg"))
    assert names(tmp_path) == [
        "20231114T221320Z_frame_000000.jpg",
        "20231114T221320Z_frame_000001.jpg",
        "20231114T231320Z_frame_000000.jpg",
        "20231114T231320Z_frame_000001.jpg",
    ]


def test_only_what_was_judged_has_an_overlay(tmp_path: Path) -> None:
    opened(tmp_path).write(verdict(None))
    assert not list(tmp_path.iterdir())


def test_overlays_of_anomalies_only(tmp_path: Path) -> None:
    sink = opened(tmp_path, only_anomalous=True)
    sink.write(verdict(3.0, "good.png"))
    sink.write(verdict(9.0, "bad.png"))
    assert names(tmp_path) == ["bad.png"]


# Bounds


def test_the_newest_pictures_are_kept_over_runs(tmp_path: Path) -> None:
    for number in range(3):
        opened(tmp_path).write(verdict(9.0, f"a{number}.png"))
        os.utime(tmp_path / f"a{number}.png", (number, number))
    sink = opened(tmp_path, keep=3)
    for number in range(2):
        sink.write(verdict(9.0, f"b{number}.png"))
    assert names(tmp_path) == ["a2.png", "b0.png", "b1.png"]


def test_the_pictures_stay_within_their_bytes_but_for_the_newest(tmp_path: Path) -> None:
    opened(tmp_path).write(verdict(9.0, "a.png"))
    size = (tmp_path / "a.png").stat().st_size
    sink = opened(tmp_path, max_bytes=2 * size + size // 2)
    for name in "bcd":
        sink.write(verdict(9.0, f"{name}.png"))
    assert names(tmp_path) == ["c.png", "d.png"]
    opened(tmp_path, max_bytes=1).write(verdict(9.0, "e.png"))
    assert names(tmp_path) == ["e.png"]


def test_only_files_with_our_mark_are_removed(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("keep me")
    (tmp_path / "empty.png").touch()
    sink = opened(tmp_path, keep=1)
    sink.write(verdict(9.0, "a.png"))
    (tmp_path / "a.png").write_bytes(b"\x89PNG replaced by somebody else's meanwhile")
    for name in "bc":
        sink.write(verdict(9.0, f"{name}.png"))
    assert names(tmp_path) == ["a.png", "c.png", "empty.png", "notes.txt"]


def test_a_folder_with_images_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    cv2.imwrite(str(tmp_path / "sub" / "photo.jpg"), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(OutputError, match=r"holds images that regad-run did not write \(photo.jpg\)"):
        opened(tmp_path)


def test_what_a_power_cut_left_is_nobodys_image(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "b.jpg").write_bytes(bytes(5000))
    opened(tmp_path, keep=1)


# Disks


def test_a_full_disk_leaves_no_half_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = opened(tmp_path)
    sink.write(verdict(9.0, "x.png"))

    class Full:
        def __init__(self, handle: int, mode: str) -> None:
            os.close(handle)

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def write(self, data: bytes) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fdopen", Full)
    with pytest.raises(OutputError, match="No space left on device"):
        sink.write(verdict(3.0, "y.png"))
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


def test_pictures_are_not_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sync(handle: int) -> None:
        raise AssertionError("fsync costs milliseconds")

    monkeypatch.setattr(atomic.os, "fsync", sync)
    opened(tmp_path).write(verdict(9.0, "x.png"))
    assert names(tmp_path) == ["x.png"]


def test_overlay_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="choose another --overlay"):
        opened(tmp_path / "file" / "out")
    monkeypatch.setattr(pictures.os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match="read-only"):
        opened(tmp_path)


def test_a_picture_that_cannot_be_removed_is_said_once_and_the_new_one_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    said: list[str] = []
    sink = opened(tmp_path, keep=1, say=said.append)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        for name in "abc":
            sink.write(verdict(9.0, f"{name}.png"))
        assert names(tmp_path) == ["a.png", "b.png", "c.png"]
        assert len(said) == 1
        assert "a.png: Permission denied; the bound on the pictures is not kept" in said[0]
        with pytest.raises(OutputError, match="the bound on the pictures is not kept"):
            opened(tmp_path, keep=1)
    sink.write(verdict(9.0, "d.png"))
    assert names(tmp_path) == ["d.png"], "as soon as it is possible again"


def test_a_folder_in_it_that_cannot_be_looked_into_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    real = os.scandir

    def scan(path: Any) -> Any:
        if str(path).endswith("sub"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(OutputError, match=r"sub: Permission denied"):
        opened(tmp_path)


def test_a_picture_too_large_for_jpeg() -> None:
    with pytest.raises(OutputError, match="cannot be stored as"):
        encode(np.zeros((70_000, 2, 3), np.uint8), ".jpg")


# Names


@pytest.mark.parametrize("name", ["x.png", "good/x.png", "frame_000001.jpg", "prüf/a b.png"])
def test_a_harmless_name_stays(name: str) -> None:
    assert safe_name(name) == name


@given(st.text(max_size=400))
def test_any_name_becomes_a_short_one_below_the_folder(name: str) -> None:
    safe = safe_name(name)
    assert safe.endswith((".png", ".jpg"))
    parts = safe.split("/")
    assert not Path(safe).is_absolute()
    assert not {"", ".", ".."} & set(parts)
    assert all(len(part.encode()) <= 110 and part.isprintable() for part in parts)
    assert safe_name(safe) == safe


def test_a_pipeline_as_a_name_can_be_written_and_two_stay_two(tmp_path: Path) -> None:
    pipeline = "rtspsrc location=rtsp://camera/stream ! " + " ! ".join(["videoconvert"] * 60) + " ! appsink"
    assert safe_name(pipeline) != safe_name(pipeline + "2")
    opened(tmp_path).write(verdict(9.0, pipeline))
    opened(tmp_path).write(verdict(9.0, "pr\udcfcf.png"))
    assert len(names(tmp_path)) == 2
