"""The camera: for each trigger the first frame taken after it, never one from a buffer.

A source is read in a thread that may be thrown away: a driver that hangs keeps that thread, not the line. The camera's
own thread only watches: no frame in time is the part's NOT_JUDGED, a camera that stays silent is opened again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ..sources.frame import Frame, Source
from ..text import reason_of
from .codes import Fault
from .effects import Expose
from .events import Event, Gone, NoFrame, Raised, Taken
from .live import LiveWriter
from .part import Token
from .worker import Clock, Failed, Worker

__all__ = ["CameraSettings", "CameraThread"]

_PROBE = 0.5  # seconds between frames that nobody asked for: they show that the camera lives
_LOOKED_AT = 0.1  # the same while the desk looks on
_UNASKED_NS = 2_000_000_000  # so long a camera may stay silent while no part is waited for
_INTERVALS = 8  # as many are remembered to tell the frame time
_LEFT_BEHIND = 4  # threads that hang in a driver; more are not risked


@dataclass(frozen=True)
class CameraSettings:
    """Times in nanoseconds.

    No frame within ``max_age_ns`` is a dead camera; it is opened again after ``reopen_ns``. A frame belongs to a
    trigger if it was taken ``settle_ns`` or more after it, and, with ``streams``, one frame time or more: the picture
    that was being exposed as the trigger came is not taken for its own.
    """

    max_age_ns: int = 2_000_000_000
    reopen_ns: int = 2_000_000_000
    settle_ns: int = 0
    streams: bool = True


@dataclass(frozen=True)
class _Request:
    token: Token
    after_ns: int


class CameraThread(Worker):
    """Answers each `Expose` with one `Taken` or `NoFrame`. ``open_source`` is called in a thread of its own.

    ``live`` is shown every frame. A source that is triggered exposes a frame when it is asked: the one that it gives is
    the part's own.

    A source that is not live, files or a video, gives its frames in order, one for each part, and begins anew at its
    end: a recording to try a station with.
    """

    def __init__(
        self,
        open_source: Callable[[], Source],
        post: Callable[[Event], None],
        failed: Failed,
        settings: CameraSettings | None = None,
        clock: Clock = time.monotonic_ns,
        live: LiveWriter | None = None,
    ) -> None:
        super().__init__("camera", clock, failed)
        self._live = live
        self._settings = settings or CameraSettings()
        self._open_source = open_source
        self._post = post
        self._lock = threading.Lock()
        self._wakeup = threading.Event()
        self._request: _Request | None = None
        self._pump: _Pump | None = None
        self._abandoned: list[_Pump] = []
        self._down = False
        self._why = "it was not opened yet"
        self._seen_ns = self._opened_ns = clock()
        self._count = 0
        self._intervals: deque[int] = deque(maxlen=_INTERVALS)
        self._last: tuple[int, int] | None = None  # index and time of the last frame

    def start(self) -> None:
        """Open the camera and watch it."""
        self._seen_ns = self.clock()
        self.reopen()
        super().start()

    def stop(self) -> None:
        """Let go of the camera."""
        super().stop()
        with self._lock:
            pump, self._pump = self._pump, None
        if pump is not None:
            pump.stop()

    def expose(self, effect: Expose) -> None:
        """Take a frame for a part; called in the I/O thread."""
        with self._lock:
            self._request = _Request(effect.token, effect.after_ns)
            pump = self._pump
        if pump is not None:
            pump.want()

    @property
    def frame_ns(self) -> int:
        """The shortest time between two frames, as far as it is known."""
        return min(self._intervals, default=0) if self._settings.streams else 0

    def reopen(self) -> None:
        """Open the camera anew; the thread that read it until now is thrown away."""
        with self._lock:
            old, self._pump = self._pump, None
            self._abandoned = [pump for pump in self._abandoned if pump.alive]
            if old is not None:
                old.stop()
                self._abandoned.append(old)
            if len(self._abandoned) < _LEFT_BEHIND:
                self._pump = _Pump(self._open_source, self._deliver, self._ended, self._pause)
            self._opened_ns = self.clock()
            self._last = None
            self._intervals.clear()
            pump, wanted = self._pump, self._request is not None
        if pump is not None:
            pump.start()
            if wanted:
                pump.want()

    def step(self, timeout: float) -> None:
        """Look whether a frame is overdue."""
        self._wakeup.wait(timeout)
        self._wakeup.clear()
        now, limit = self.clock(), self._settings.max_age_ns
        with self._lock:
            request = self._request
            overdue = request is not None and now - request.after_ns > limit
            patience = max(limit, _UNASKED_NS)
            silent = now - max(self._seen_ns, self._opened_ns) > patience
            unseen = now - self._seen_ns > patience
            pump = self._pump
            watched = request is not None or pump is None or pump.live
            if overdue:
                self._request = None
        if overdue and request is not None:
            text = f"no frame within {limit / 1e6:g} ms of the trigger ({self._why})"
            self._post(NoFrame(request.token, Fault.CAMERA, text))
        if not watched:  # a recording gives no frame unasked
            self._post(Gone(Fault.CAMERA))
        if watched and unseen and not self._down:
            self._down = True
            self._post(Raised(Fault.CAMERA, f"the camera has given no frame for {patience / 1e6:g} ms: {self._why}"))
        if watched and (silent or pump is None) and now - self._opened_ns > self._settings.reopen_ns:
            self.reopen()

    def _wake(self) -> None:
        self._wakeup.set()

    def _deliver(self, pump: _Pump, frame: Frame) -> None:
        """A frame has come; called in the pump's thread."""
        taken = round(frame.taken * 1e9) if pump.live else self.clock()
        if self._live is not None and frame.image is not None:
            self._live.show(frame.image, taken)
        events: list[Event] = []
        with self._lock:
            if pump is not self._pump:
                return
            request = self._request
            if frame.image is None:
                self._why = frame.error or "the frame is empty"
                if request is not None:
                    self._request = None
                    events.append(NoFrame(request.token, Fault.CAMERA, self._why))
            else:
                self._seen_ns, self._why = self.clock(), "it stopped sending frames"
                if self._down or request is None:  # failed parts are a fault too, of which only the machine knows
                    self._down = False
                    events.append(Gone(Fault.CAMERA))
                if pump.streams:
                    self._measure(frame, taken)
                settle = max(self._settings.settle_ns, self.frame_ns) if pump.streams else 0
                if request is not None and taken >= request.after_ns + settle:
                    self._request = None
                    self._count += 1
                    events.append(Taken(request.token, self._count, taken, frame))
            again = self._request is not None
        for event in events:
            self._post(event)
        if again:
            pump.want()

    def _pause(self) -> float:
        """Seconds until a frame is taken that nobody asked for."""
        return _LOOKED_AT if self._live is not None and self._live.watched else _PROBE

    def _measure(self, frame: Frame, taken: int) -> None:
        if self._last is not None and frame.index == self._last[0] + 1 and taken > self._last[1]:
            self._intervals.append(taken - self._last[1])
        self._last = frame.index, taken

    def _ended(self, pump: _Pump, why: str) -> None:
        """The source ended or could not be opened; called in the pump's thread."""
        with self._lock:
            if pump is not self._pump:
                return
            self._why = why
            self._pump = None
        if not pump.live and not self.stopping and not why:
            self.reopen()
        self._wakeup.set()


class _Pump:
    """The thread that opens one source and reads it: a frame when one is wanted, and now and then one unasked."""

    def __init__(
        self,
        open_source: Callable[[], Source],
        deliver: Callable[[_Pump, Frame], None],
        ended: Callable[[_Pump, str], None],
        pause: Callable[[], float],
    ) -> None:
        self._open_source = open_source
        self._deliver = deliver
        self._ended = ended
        self._pause = pause
        self.live = self.streams = True
        self._wanted = threading.Event()
        self._stopped = False
        self._source: Source | None = None
        self._thread = threading.Thread(target=self._run, name="regad camera source", daemon=True)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def want(self) -> None:
        self._wanted.set()

    def stop(self) -> None:
        """Tell it to end, without waiting: stopping a dead camera may take seconds, and then does so elsewhere."""
        self._stopped = True
        self._wanted.set()
        if (source := self._source) is not None:
            threading.Thread(target=source.stop, name="regad camera stop", daemon=True).start()

    def _run(self) -> None:
        why = ""
        try:
            with self._open_source() as source:
                self._source, self.live = source, source.live
                self.streams = source.live and not source.triggered
                while not self._stopped:
                    asked = self._wanted.wait(self._pause())
                    if self._stopped or not (asked or self.live):
                        continue
                    self._wanted.clear()
                    frame = next(source, None)
                    if frame is None:
                        why = "the source has ended" if self.live else ""
                        break
                    self._deliver(self, frame)
        except Exception as error:  # drivers and libraries raise what they like
            why = reason_of(error)
        self._ended(self, why)
