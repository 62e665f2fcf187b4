"""The standard streams of a program that judges, whatever they are: closed, full, not UTF-8, without a reader.

A station starts programs in ways that no terminal does. What stderr cannot take is dropped, and what an encoding cannot
hold is escaped: no message ends a run. Only a stdout that cannot be written is an error, for results go there.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from ..errors import OutputError
from ..text import as_unicode, system_reason

__all__ = ["standard_streams"]

_STDOUT, _STDERR = 1, 2


class _Checked(io.TextIOBase):
    """A stream over ``under`` that escapes what its encoding lacks, and stays failed once it has failed.

    A failure is raised by that call and by every later write, for whoever writes has to know; no flush repeats it. It
    offers no ``buffer``, so that click does not write past it.
    """

    def __init__(self, under: TextIO, number: int) -> None:
        self._under = under
        self._number = number
        self._failure: OSError | None = None

    def write(self, text: str) -> int:
        data = as_unicode(text).encode(self.encoding, "backslashreplace")
        if data:  # click tries a stream with nothing, and takes an error for an answer
            self._try(lambda: self._under.write(data.decode(self.encoding)))
        return len(text)

    def flush(self) -> None:
        if self._failure is None and not (self.closed or self._under.closed):
            self._try(self._under.flush)

    def _try(self, act: Callable[[], object]) -> None:
        if self._failure is None:
            try:
                act()
                return
            except OSError as error:
                self._failure = error
                with suppress(OSError):
                    if self._under.fileno() == self._number:
                        _to_nowhere(self._number)
        if self._number == _STDOUT:
            raise OutputError(f"cannot write stdout: {system_reason(self._failure)}; send it somewhere else")

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._under.encoding or "utf-8"

    def fileno(self) -> int:
        return self._under.fileno()

    def isatty(self) -> bool:
        return self._under.isatty()

    def writable(self) -> bool:
        return True


def _to_nowhere(number: int) -> None:
    """Let a descriptor that cannot be written lead to the null device, so that nothing fails on it again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)


def _fill_gaps() -> None:
    """Open the null device on each of the descriptors 0 to 2 that is closed.

    Otherwise the next file that is opened, perhaps the record, gets that number, and libraries that print to it in C
    write into it.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        pass
    os.close(number)


@contextmanager
def standard_streams() -> Iterator[None]:
    """Make ``sys.stdout`` and ``sys.stderr`` usable, whatever the program was started with, until the end of the block.

    In the block, writing to stderr never raises; writing to stdout raises OutputError when it fails.
    """
    _fill_gaps()
    before = sys.stdout, sys.stderr
    with ExitStack() as opened:
        for number, name in ((_STDOUT, "stdout"), (_STDERR, "stderr")):
            stream = getattr(sys, name)
            if stream is None:
                stream = opened.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            setattr(sys, name, _Checked(stream, number))
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before
