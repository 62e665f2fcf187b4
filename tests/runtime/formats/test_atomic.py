"""Atomic files and folders: the old, or the whole new one."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from regad.runtime.commands.console import run_cli
from regad.runtime.errors import InputError, OutputError
from regad.runtime.formats.atomic import atomic_folder, atomic_write


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


@pytest.mark.parametrize("failing", [2, 3])
def test_an_old_folder_is_never_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    """The renames are: the old aside, the new in its place, and if that fails the old back."""
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
