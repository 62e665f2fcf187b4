"""Folders and patterns: nothing is left out in silence."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.imaging.files import Listing, list_folder, list_glob, mode_of, natural_key


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(found: Listing, root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in found.images]


def test_images_of_every_kind_are_listed_and_others_counted(tmp_path: Path) -> None:
    touch(tmp_path, "1.jfif", "2.avif", "3.gif", "4.JPE", "5.pbm", "a.txt", "b.txt", "c.mp4", "README", ".DS_Store")
    touch(tmp_path, "deep/6.png")
    found = list_folder(tmp_path)
    assert names(found, tmp_path) == ["1.jfif", "2.avif", "3.gif", "4.JPE", "5.pbm"]
    assert found.notes == (
        "passed over, being no image files: 1 .mp4, 2 .txt, 1 folder(s), 1 hidden, 1 without a suffix",
    )
    assert names(list_folder(tmp_path, recursive=True), tmp_path)[-1] == "deep/6.png"


def test_linked_folders_are_followed_and_loops_broken(tmp_path: Path) -> None:
    touch(tmp_path, "in/a/1.png", "elsewhere/2.png")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "a" / "back").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "A again").symlink_to(tmp_path / "in" / "a")
    found = list_folder(tmp_path / "in", recursive=True)
    assert names(found, tmp_path / "in") == ["a/1.png", "linked/2.png"]
    assert len(found.notes) == 1
    assert "links to folders that are listed already" in found.notes[0]
    assert "A again" in found.notes[0]
    assert "back" in found.notes[0]


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a/1.png", "b/2.png")
    real = Path.iterdir

    def iterdir(folder: Path) -> object:
        if folder.name == "b":
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    for found in (
        list_folder(tmp_path, recursive=True),
        list_glob(f"{tmp_path}/*/*.png"),
        list_glob(f"{tmp_path}/**/*.png"),
    ):
        assert names(found, tmp_path) == ["a/1.png"]
        assert found.denied == ((tmp_path / "b", "Permission denied"),)


def test_a_pipe_is_no_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "c.png").symlink_to("gone.png")
    found = list_folder(tmp_path)
    assert names(found, tmp_path) == ["c.png"]
    assert found.notes == ("passed over, being no image files: 2 device(s) or pipe(s)",)


@pytest.mark.parametrize(
    "pattern", ["*.png", "*/*.png", "**/*.png", "**", "a?/*", "[!a]*/x*.png", "a1/../a1/x.png", ".*/*"]
)
def test_patterns_match_what_they_match_in_a_shell(tmp_path: Path, pattern: str) -> None:
    touch(tmp_path, "x.png", "a1/x.png", "a2/y.jpg", "b/x2.png", "b/deep/x.png", ".h/x.png", "b/.x.png")
    wanted = {
        Path(match)
        for match in glob.glob(f"{tmp_path}/{pattern}", recursive=True)  # noqa: PTH207
        if Path(match).is_file()
    }
    assert set(list_glob(f"{tmp_path}/{pattern}").images) == wanted


def test_a_pattern_says_what_it_matched_besides_images(tmp_path: Path) -> None:
    touch(tmp_path, "x.png", "x.txt", "x/y.png")
    assert list_glob(f"{tmp_path}/x*").notes == ("passed over, being no image files: 1 .txt, 1 folder(s)",)


@given(st.lists(st.text(max_size=8), max_size=5))
def test_any_name_has_its_place_in_the_order(parts: list[str]) -> None:
    sorted(map(Path, [*parts, "²", "１2"]), key=natural_key)


def test_what_cannot_be_there_is_told_from_what_cannot_be_known(tmp_path: Path, lock: Callable[[Path], None]) -> None:
    touch(tmp_path, "1.png")
    assert stat.S_ISREG(mode_of(tmp_path / "1.png") or 0)
    assert stat.S_ISDIR(mode_of(tmp_path) or 0)
    absent = ("gone", "1.png/below", "nul\0", "x" * 5000)
    assert [mode_of(tmp_path / name) for name in absent] == [None] * len(absent)
    lock(tmp_path)
    with pytest.raises(PermissionError):
        mode_of(tmp_path / "1.png")
