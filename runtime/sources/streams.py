"""Reading in a thread: `ReadAhead` for files (nothing dropped, one frame ahead), `LiveSource` for cameras and streams.

A live source gives the newest frame, so a slow judge sees the present and not a growing queue of the past. When it
stops delivering, the caller gets an error frame after `TIMEOUT` seconds, again after growing pauses of up to
`LONGEST_SILENCE`, while the source is reopened in the background. Nothing that a driver raises ends the reading thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from numpy.typing import NDArray

from ..errors import InputError, RegadError, SourceError
from ..imaging.reading import LOW_SAMPLES, are_low
from ..text import reason_of
from .capture import Capture, OpenCapture, to_rgb
from .frame import Frame, Source
from .slot import Slot

__all__ = ["LONGEST_SILENCE", "TIMEOUT", "LiveSource", "ReadAhead", "frame_name", "frame_of"]

TIMEOUT = 5.0
"""Seconds without a frame after which a live source reports an error."""
LONGEST_SILENCE = 60.0
"""Longest pause between two reports of the same silence, seconds."""
_FIRST_RETRY, _LAST_RETRY = 0.5, 30.0


class _End(NamedTuple):
    """The end of the frames, or the error that ended them."""

    error: Exception | None


class ReadAhead(Source):
    """Runs an iterator of frames in a thread, so that decoding overlaps judging. Every frame is given, in order."""

    def __init__(
        self,
        uri: str,
        frames: Iterator[Frame],
        *,
        total: int | None = None,
        still: bool = False,
        notes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(uri, total=total, still=still, notes=notes)
        self._frames = frames
        self._slot: Slot[Frame | _End] = Slot()

    def _next(self) -> Frame:
        item = self._slot.take()
        if isinstance(item, Frame):
            return item
        self.close()
        if item is not None and item.error is not None:
            if isinstance(item.error, RegadError):
                raise item.error
            raise SourceError(f"reading {self.uri} failed: {reason_of(item.error)}") from item.error
        raise StopIteration

    def stop(self) -> None:
        """Tell the reader to end and wake whoever waits."""
        self._slot.close()

    def _read(self) -> None:
        end = _End(None)
        try:
            for frame in self._frames:
                if not self._slot.put(frame, replace=False):
                    return
        except Exception as error:  # handed to the caller's thread, which raises it
            end = _End(error)
        finally:
            if (close := getattr(self._frames, "close", None)) is not None:
                close()
        self._slot.put(end, replace=False)


class _Shot(NamedTuple):
    """A frame as it came: not yet converted, because most of them may be dropped."""

    number: int
    time: float
    taken: float
    image: NDArray[Any] | InputError


class LiveSource(Source):
    """The newest frame of a camera or stream. Opened at construction, which raises SourceError when that fails.

    ``timeout`` is the silence in seconds that is reported as an error; ``retry`` the first and the longest pause
    before it is reopened; ``clock`` counts seconds.
    """

    live = True

    def __init__(
        self,
        uri: str,
        open_capture: OpenCapture,
        *,
        timeout: float = TIMEOUT,
        retry: tuple[float, float] = (_FIRST_RETRY, _LAST_RETRY),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(uri)
        self._open = open_capture
        self._timeout = self._patience = timeout
        self._retry = retry
        self._clock = clock
        self._stopped = threading.Event()
        self._counter = threading.Lock()
        self._count = 0
        self._slot: Slot[_Shot] = Slot()
        self._failure = ""
        try:
            self._capture = open_capture()
        except RegadError:
            raise
        except Exception as error:  # OpenCV and drivers raise what they like
            raise SourceError(f"{self.uri} cannot be opened: {reason_of(error)}") from error
        self._last = clock()

    @property
    def dropped(self) -> int:
        """Number of frames passed over for a newer one since the first was taken."""
        return self._slot.dropped

    def _next(self) -> Frame:
        shot = self._slot.take(self._patience)
        if shot is not None and self._clock() - shot.taken > self._timeout:
            shot = self._slot.take(self._patience)  # what came first was left from before the source fell silent
        if self._slot.closed:
            raise StopIteration
        if shot is None:
            return self._silence()
        self._last, self._patience = self._clock(), self._timeout
        return frame_of(self.uri, shot.number, shot.image, shot.time, shot.taken)

    def _silence(self) -> Frame:
        self._patience = min(2 * self._patience, max(LONGEST_SILENCE, self._timeout))
        seconds = self._clock() - self._last
        message = (
            f"no frame from {self.uri} for {seconds:.0f} s (unplugged, or the stream stopped); trying to reopen it"
        )
        if failure := self._failure:
            message += f"; the last attempt failed: {failure}"
        index = self._next_index()
        return Frame(self.uri, index, time.time(), None, error=message, name=frame_name(index))

    def _next_index(self) -> int:
        with self._counter:
            self._count += 1
            return self._count - 1

    def stop(self) -> None:
        """Tell the reader to end and wake whoever waits."""
        self._stopped.set()
        self._slot.close()
        if self._thread is None:
            self._release(self._capture)

    def _read(self) -> None:
        capture: Capture | None = self._capture
        pause = self._retry[0]
        while capture is not None and not self._stopped.is_set():
            image = self._read_once(capture)
            if image is not None:
                pause, self._failure = self._retry[0], ""
                self._slot.put(_Shot(self._next_index(), time.time(), self._clock(), image), replace=True)
                continue
            self._release(capture)
            capture, pause = self._reopen(pause)
        if capture is not None:
            self._release(capture)

    def _read_once(self, capture: Capture) -> NDArray[Any] | InputError | None:
        """One frame, the reason why it cannot be used (InputError), or None.

        Whatever else a driver raises is a missing frame: the reading thread must outlive it.
        """
        try:
            ok, image = capture.read()
            return image if ok and image is not None and image.size else None
        except InputError as error:
            return error
        except Exception as error:
            self._failure = reason_of(error)
            return None

    def _reopen(self, pause: float) -> tuple[Capture | None, float]:
        """Try until it opens or the source is closed; the pauses double, and start over once a frame has come."""
        while not self._stopped.wait(pause):
            pause = min(2 * pause, self._retry[1])
            try:
                return self._open(), pause
            except Exception as error:
                self._failure = reason_of(error)
        return None, pause

    def _release(self, capture: Capture) -> None:
        try:
            capture.release()
        except Exception as error:
            self._failure = reason_of(error)


def frame_name(index: int) -> str:
    """Return the name of what is written about a frame of a video or camera."""
    return f"frame_{index:06d}.jpg"


def frame_of(
    uri: str, index: int, image: NDArray[Any] | InputError, at: float | None = None, taken: float | None = None
) -> Frame:
    """Return the frame of what a capture gave, read now or ``at`` (unix seconds) and ``taken`` (monotonic clock).

    What cannot be used, or converted, becomes an error frame.
    """
    at, taken = time.time() if at is None else at, time.monotonic() if taken is None else taken
    try:
        if isinstance(image, InputError):
            raise image
        notes = (LOW_SAMPLES,) if are_low(image) else ()
        return Frame(uri, index, at, to_rgb(image), name=frame_name(index), taken=taken, notes=notes)
    except Exception as error:
        message = str(error) if isinstance(error, InputError) else f"the frame cannot be used: {reason_of(error)}"
        return Frame(uri, index, at, None, error=message, name=frame_name(index), taken=taken)
