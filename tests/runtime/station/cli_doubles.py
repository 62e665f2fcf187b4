"""What the tests of regad-station see of a command: its exit status and its words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


Station = Callable[..., Outcome]


def problems(done: Outcome) -> list[str]:
    assert done.status == 1
    lines = done.out.splitlines()
    return [
        f"{line.split(maxsplit=1)[1]} | {lines[number + 1].strip()}"
        for number, line in enumerate(lines)
        if line.startswith("PROBLEM")
    ]


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
