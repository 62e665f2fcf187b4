"""What a PLC's writes mean: edges and changed numbers become events; a heartbeat that stops is a lost link."""

from __future__ import annotations

from .codes import Control, TriggerKind
from .events import Event, JobWanted, Reset, Trigger
from .image import PlcWords

__all__ = ["PlcLink"]


class PlcLink:
    """Follows one PLC. ``timeout_ns`` is how long its heartbeat (word 13) may stand still; None: for ever.

    The link is watched from the first change of the heartbeat on: a PLC that never writes it is not watched.
    """

    def __init__(self, timeout_ns: int | None) -> None:
        self._timeout_ns = timeout_ns
        self._words = PlcWords()
        self._beat_ns: int | None = None

    @property
    def enabled(self) -> bool:
        """Whether the PLC has set ENABLE."""
        return bool(self._words.control & Control.ENABLE)

    @property
    def number(self) -> int:
        """The number of its last write."""
        return self._words.number

    def lost(self, now_ns: int) -> bool:
        """Whether the link is lost."""
        due = self.due_ns
        return due is not None and now_ns >= due

    @property
    def due_ns(self) -> int | None:
        """When the link will be lost if nothing is written."""
        if self._beat_ns is None or self._timeout_ns is None:
            return None
        return self._beat_ns + self._timeout_ns + 1

    def take(self, words: PlcWords, at_ns: int) -> tuple[list[Event], bool]:
        """Return what a write asks for, in the order in which it is done, and whether it acknowledges the result."""
        before, self._words = self._words, words
        rising = Control(words.control & ~before.control)
        if words.heartbeat != before.heartbeat:
            self._beat_ns = at_ns
        events: list[Event] = []
        if Control.CLEAR in rising:
            events.append(Reset())
        if Control.SET_JOB in rising:
            events.append(JobWanted(words.job))
        if words.triggers_after(before):
            events.append(Trigger(TriggerKind.MODBUS, at_ns, words.trigger_seq, words.part_id, words.serial))
        return events, Control.ACK in rising
