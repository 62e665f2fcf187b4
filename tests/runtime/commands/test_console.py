"""What a command shows of its progress."""

from __future__ import annotations

import io
import sys

import pytest

from regad.runtime.commands.console import counter


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "shown"),
    [(Terminal(), "\rimage 1/3\rimage 2/3\rimage 3/3\n"), (io.StringIO(), "image 3/3\n")],
    ids=["terminal", "log"],
)
def test_a_count_is_one_line(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, shown: str) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    show = counter("image")
    for done in (1, 2, 3):
        show(done, 3)
    assert stream.getvalue() == shown
