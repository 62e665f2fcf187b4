"""Atomic files and folders: the old, or the whole new one."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import click
import pytest

from regad.runtime.commands.console import run_cli
from regad.runtime.errors import InputError, OutputError
from regad.runtime.formats import atomic
from regad.runtime.formats.atomic import atomic_folder, atomic_write, recover_folder


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    atomic_write(path, b"old")

    def write(file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space"):
        atomic_write(path, write)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_takes_the_place_of_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    for text in ("one", "two"):
        with atomic_folder(path) as folder:
            (folder / text).write_text(text)
    assert [p.name for p in path.iterdir()] == ["two"]
    with pytest.raises(ValueError), atomic_folder(path) as folder:
        (folder / "three").write_text("")
        raise ValueError
    assert [p.name for p in path.iterdir()] == ["two"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("link", [True, False])
def test_a_link_or_a_file_that_a_folder_replaces_leaves_nothing_behind(tmp_path: Path, link: bool) -> None:
    path, other = tmp_path / "folder", tmp_path / "other"
    other.mkdir()
    (other / "kept").touch()
    if link:
        path.symlink_to("other")
    else:
        path.touch()
    with atomic_folder(path) as folder:
        (folder / "new").touch()
    assert sorted(tmp_path.iterdir()) == [path, other] and not path.is_symlink()
    assert [*path.iterdir()] == [path / "new"] and (other / "kept").exists()


@pytest.mark.parametrize("failing", [2, 3])
def test_an_old_folder_is_never_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    """The renames are: the old aside, the new in its place, and if that fails the old back."""
    monkeypatch.setattr(atomic, "_renameat2", lambda: None)  # as where folders cannot be exchanged
    path = tmp_path / "folder"
    with atomic_folder(path) as folder:
        (folder / "one").touch()
    real, count = Path.rename, 0

    def rename(self: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if 2 <= count <= failing:
            raise OSError(5, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OutputError, match="Input/output error") as caught, atomic_folder(path) as folder:
        (folder / "two").touch()
    (old,) = tmp_path.rglob("one")
    if failing == 2:
        assert [old] == [p for p in tmp_path.rglob("*") if p.is_file()]
        assert old.parent == path
    else:
        assert f"what was there is kept in {old.parent}: move it back" in str(caught.value)


def killed_at(step: int, folder: Path, *, exchanges: bool) -> bool:
    """Replace a folder in a process that is killed before its so-manieth step; whether it got there."""
    child = os.fork()
    if child == 0:
        count = 0

        def dies_before(call: Any) -> Any:
            def wrapped(*given: Any, **more: Any) -> Any:
                nonlocal count
                count += 1
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*given, **more)

            return wrapped

        if not exchanges:
            atomic._renameat2 = lambda: None  # type: ignore[assignment]
        Path.rename, Path.mkdir = dies_before(Path.rename), dies_before(Path.mkdir)  # type: ignore[method-assign]
        atomic._sync, shutil.rmtree = dies_before(atomic._sync), dies_before(shutil.rmtree)
        if exchanges:
            atomic._exchanged = dies_before(atomic._exchanged)
        try:
            with atomic_folder(folder) as new:
                (new / "two").write_text("two")
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("exchanges", [True, False], ids=["exchanged", "in two steps"])
def test_a_process_that_is_killed_leaves_the_old_folder_or_the_new_one(tmp_path: Path, exchanges: bool) -> None:
    if exchanges and not can_exchange(tmp_path):
        pytest.skip("this file system cannot exchange two folders")
    path, found = tmp_path / "folder", []
    for step in range(1, 20):
        shutil.rmtree(path, ignore_errors=True)
        with atomic_folder(path) as folder:
            (folder / "one").write_text("one")
        killed = killed_at(step, path, exchanges=exchanges)
        there = path.exists()
        recover_folder(path)
        (name,) = [entry.name for entry in path.iterdir()]
        assert (path / name).read_text() == name
        assert there or not exchanges, "where folders can be exchanged there is no moment without one"
        found.append((name, there))
        if not killed:
            break
    assert found[0][0] == "one" and found[-1] == ("two", True) and len(found) > 5
    assert [name for name, _ in found] == sorted(name for name, _ in found), "once it is the new one it stays so"
    assert all(there for _, there in found) == exchanges, "in two steps there is such a moment, and it was hit"


def can_exchange(folder: Path) -> bool:
    one, other = folder / "1", folder / "2"
    one.mkdir()
    other.mkdir()
    return atomic._exchanged(one, other)


def test_what_was_never_replaced_is_left_alone(tmp_path: Path) -> None:
    aside = tmp_path / ".other.old.abcd"
    (aside / "other").mkdir(parents=True)
    for name in ("folder", "folder.old", ""):
        recover_folder(tmp_path / "x" / name)
        recover_folder(tmp_path / name if name else tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == [".other.old.abcd"]
    (tmp_path / ".other.old.aaaa").mkdir()
    (tmp_path / ".other.aaaa").mkdir()  # one that was cut off before the other folder stepped aside
    recover_folder(tmp_path / "other")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".other.aaaa", ".other.old.aaaa", "other"]


@pytest.mark.parametrize(
    ("raised", "status", "line"),
    [
        (InputError("came, wanted, do"), 1, "error: came, wanted, do\n"),
        (click.UsageError("no such thing"), 2, "no such thing"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (None, 4, ""),
    ],
)
def test_exit_statuses(
    raised: BaseException | None, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def command() -> int:
        if raised is not None:
            raise raised
        return 4

    with pytest.raises(SystemExit) as stopped:
        run_cli(command, [])
    assert stopped.value.code == status
    assert line in capsys.readouterr().err
