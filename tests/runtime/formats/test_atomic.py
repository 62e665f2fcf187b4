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
