"""What people read of a run: verdicts on stdout, errors, notes and the live line on stderr."""

from __future__ import annotations

from .jsonlines import LineFile
from .live_line import LiveLine
from .sink import Sink
from .verdict import Verdict

__all__ = ["Speaker"]


class Speaker(Sink):
    """Says each verdict for single images (``still``), and each change for videos and cameras.

    Every error and every new note of a frame goes to the live line's stream. ``silent`` keeps stdout free, for records.
    """

    def __init__(self, line: LiveLine, *, still: bool, silent: bool) -> None:
        self._line = line
        self._still = still
        self._out = None if silent else LineFile("-")
        self._last = ""
        self._noted: set[str] = set()

    def write(self, verdict: Verdict) -> bool:
        """Say the verdict; always True (go on). Raises OutputError when stdout takes no more."""
        result, frame, word = verdict.result, verdict.frame, verdict.word
        where = frame.source if self._still else f"{frame.source} frame {frame.index}"
        for note in frame.notes:
            if note not in self._noted:
                self._noted.add(note)
                self._line.say(f"note: {where}: {note}")
        if result is None:
            error = str(verdict.error)
            self._line.say(f"not judged: {error if frame.source in error else f'{where}: {error}'}")
        elif self._out is not None and (self._still or word != self._last):
            self._line.clear()
            told = f"{where}: {result.message}" if result.message else f"{result.score:9.3f}  {where}"
            self._out.write(f"{word:<8} {told}")
        self._last = word
        self._line.update()
        return True

    def close(self) -> None:
        """Remove the live line."""
        self._line.clear()
