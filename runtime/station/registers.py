"""The register map: 16-bit words that a PLC reads and writes, on one side the process image, on the other its requests.

Words 0 to 13 belong to the PLC, words 100 to 119 to the station; each block can be read in one request, and a read sees
one moment. docs/registers.md is this map as a page for the integrator.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence

from .codes import Flag, Status
from .image import NOTHING_SHOWN, PlcWords, ProcessImage

__all__ = ["INPUT_WORDS", "OUTPUT_START", "OUTPUT_WORDS", "STALE_NS", "StationRegisters"]

INPUT_WORDS = 14
"""Words 0 to 13: CONTROL, trigger_seq, job, part_id (2), serial (8), plc_heartbeat."""
OUTPUT_START, OUTPUT_WORDS = 100, 20
"""Words 100 to 119: STATUS, heartbeat, state, error, job, accepted seq, parts, rejects, missed, late, result (10)."""
STALE_NS = 500_000_000
"""An image that nobody has renewed for so long says nothing any more: its READY and VALID are not put out."""

_WORD = 0xFFFF
_LIVING = Status.ONLINE | Status.READY | Status.TRIGGER_ACK | Status.VALID | Status.WARNING | Status.JOB_OK


class StationRegisters:
    """The station's holding registers. Any thread may call any method; none waits for anything but the others.

    ``on_write`` gets each write, in order; it must not block. A read never shows a result from before a trigger
    that was already written, nor one that the I/O thread has not stood by for `STALE_NS` of ``clock`` (nanoseconds,
    monotonic).
    """

    def __init__(self, on_write: Callable[[PlcWords], None], clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._on_write = on_write
        self._clock = clock
        self._lock = threading.Lock()
        self._inputs = [0] * INPUT_WORDS
        self._words = PlcWords()
        self._writes = self._last_trigger = 0
        self._image = ProcessImage()

    def publish(self, image: ProcessImage) -> None:
        """Put out ``image`` from now on."""
        with self._lock:
            self._image = image

    def read(self, address: int, count: int) -> list[int]:
        """Return ``count`` words from ``address`` on. Raises IndexError outside the two blocks."""
        with self._lock:
            if _inside(address, count, 0, INPUT_WORDS):
                return self._inputs[address : address + count]
            if not _inside(address, count, OUTPUT_START, OUTPUT_WORDS):
                raise IndexError(f"words {address} to {address + count - 1} are not all in 0-13 or 100-119")
            image, superseded = self._image, self._image.writes < self._last_trigger
        stale = self._clock() - image.at_ns > STALE_NS
        words = output_words(image, silent=stale, superseded=superseded)
        return words[address - OUTPUT_START : address - OUTPUT_START + count]

    def write(self, address: int, values: Sequence[int]) -> None:
        """Take what the PLC writes. Raises IndexError outside words 0 to 13, ValueError for what is no word."""
        if not _inside(address, len(values), 0, INPUT_WORDS):
            last = address + len(values) - 1
            raise IndexError(f"words {address} to {last} are not all in 0-13; only those can be written")
        for value in values:
            if not 0 <= value <= _WORD:
                raise ValueError(f"{value} is no word; expected 0 to 65535")
        with self._lock:
            self._inputs[address : address + len(values)] = values
            self._writes += 1
            before, self._words = self._words, plc_words(self._inputs, self._writes)
            if self._words.triggers_after(before):
                self._last_trigger = self._writes
            self._on_write(self._words)  # under the lock: the order of the writes is the order in which they are told


def _inside(address: int, count: int, start: int, length: int) -> bool:
    return count > 0 and start <= address and address + count <= start + length


def plc_words(words: Sequence[int], number: int = 0) -> PlcWords:
    """Return what words 0 to 13 say. The serial is ASCII, two characters a word, the first in the high byte.

    It ends at the first zero; what is not printable becomes ``?``.
    """
    raw = b"".join(word.to_bytes(2, "big") for word in words[5:13]).split(b"\0")[0]
    serial = "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in raw).strip()
    return PlcWords(words[0], words[1], words[2], words[3] << 16 | words[4], serial, words[13], number)


def output_words(image: ProcessImage, *, silent: bool = False, superseded: bool = False) -> list[int]:
    """Return words 100 to 119 of an image.

    Of a ``silent`` one nothing that the line could act on is left; of one that a later trigger has ``superseded``
    neither the result nor READY.
    """
    status = image.status
    if silent:
        status &= ~_LIVING
    if superseded:
        status &= ~(Status.READY | Status.TRIGGER_ACK | Status.VALID | Status.WARNING)
    if image.heartbeat & 1:
        status |= Status.HEARTBEAT
    shown = image.shown if Status.VALID in status else NOTHING_SHOWN
    flags = image.flags if Status.VALID in status else image.flags & ~Flag.LATE
    seq = shown.tag & _WORD
    return [
        int(status),
        image.heartbeat & _WORD,
        int(image.state),
        int(image.fault),
        image.job & _WORD,
        image.accepted & _WORD,
        image.parts & _WORD,
        image.rejects & _WORD,
        image.missed & _WORD,
        image.late & _WORD,
        seq,
        shown.part_id >> 16 & _WORD,
        shown.part_id & _WORD,
        int(shown.verdict),
        _saturated(shown.percent),
        _saturated(shown.ms),
        *(_saturated(place) for place in shown.spot),
        int(flags),
        seq,
    ]


def _saturated(value: float) -> int:
    """``value`` as a word; 65535 stands for what is larger, or infinite."""
    return min(_WORD, max(0, round(value))) if math.isfinite(value) else _WORD
