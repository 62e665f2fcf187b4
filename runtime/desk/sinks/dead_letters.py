"""The messages that a receiver refused for good: a list beside the trace, which still has the parts themselves."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import msgspec

from ...errors import InputError, OutputError
from ...formats.atomic import atomic_write
from ...text import shown, system_reason

__all__ = ["DeadLetter", "DeadLetters"]

MOST = 1000


class DeadLetter(msgspec.Struct, frozen=True):
    """One refused message: row and trace of the part, its key, the HTTP status, and when."""

    trace: str
    row: int
    key: str
    status: int
    at: str


class DeadLetters:
    """The list in ``path``, one JSON object a line, at most `MOST` of them. By one thread.

    To send them again a person renames the file: from ``NAME.dead`` to ``NAME.resend``; `again` then holds them.
    """

    def __init__(self, path: Path) -> None:
        """Read the list. Raises InputError where it cannot be read or is damaged."""
        self.path, self._resend = path, path.with_suffix(".resend")
        self._letters = _read(path)
        self.again: deque[DeadLetter] = deque()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._letters)

    @property
    def full(self) -> bool:
        """Whether there is no room for another one."""
        return self.count >= MOST

    def look(self) -> None:
        """See whether the list was taken away or is to be sent again. Raises InputError where that one is damaged."""
        if self._letters and not self.path.exists():
            self._letters = []
        if not self.again and self._resend.exists():
            self.again.extend(_read(self._resend))
            if not self.again:
                self._finish()

    def add(self, letter: DeadLetter) -> None:
        """Add a message; it is on the disk. Raises OutputError."""
        self.look()
        letters = [*self._letters, letter]
        atomic_write(self.path, b"".join(msgspec.json.encode(one) + b"\n" for one in letters))
        self._letters = letters

    def done(self) -> None:
        """The first of `again` was dealt with. Raises OutputError."""
        self.again.popleft()
        if not self.again:
            self._finish()

    def _finish(self) -> None:
        try:
            self._resend.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot remove {shown(self._resend)}: {system_reason(error)}; remove it") from error


def _read(path: Path) -> list[DeadLetter]:
    try:
        return [msgspec.json.decode(line, type=DeadLetter) for line in path.read_bytes().splitlines()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be read ({system_reason(error)}); check its rights") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"{shown(path)} is no list of dead letters ({error}); move it away") from error
