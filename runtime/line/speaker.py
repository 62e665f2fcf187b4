"""What people read of a run: verdicts on stdout, errors, notes and the live line on stderr."""

from __future__ import annotations

from ..errors import OutputError
from .jsonlines import LineFile
from .live_line import LiveLine
from .sink import Sink
from .verdict import Verdict

__all__ = ["Speaker"]


class Speaker(Sink):
    """Says each verdict for single images (``still``), and each change for videos and cameras.

    Every error and every new note of a frame goes to the live line's stream. ``silent`` keeps stdout free, for records.
    ``recorded``: the verdicts go elsewhere too, so a stdout that takes no more is said once and the run goes on.
    """

    def __init__(self, line: LiveLine, *, still: bool, silent: bool, recorded: bool = False) -> None:
        self._line = line
        self._still = still
        self._out = None if silent else LineFile("-")
        self._recorded = recorded
        self._last = ""
        self._noted: set[str] = set()

    def write(self, verdict: Verdict) -> bool:
        """Say the verdict; always True (go on). Raises OutputError when stdout fails and nothing is recorded."""
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
            self._print(self._out, f"{word:<8} {told}")
        self._last = word
        self._line.update()
        return True

    def _print(self, out: LineFile, text: str) -> None:
        try:
            out.write(text)
        except OutputError as error:
            if not self._recorded:
                raise
            self._out = None
            self._line.say(f"note: {error}; no more verdicts are printed, the run continues")

    def close(self) -> None:
        """Remove the live line."""
        self._line.clear()
