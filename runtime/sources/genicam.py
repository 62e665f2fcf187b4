"""GenICam cameras: free-running as any live source, or triggered, where each frame is the one its trigger exposed.

A source is ``genicam:NAME?feature=value&...``; NAME is what `regad-doctor` lists, and may be left out where there is
one camera. ``trigger=software`` makes it triggered; every other pair is a feature that is set in order. Triggers that
the camera was set to before are switched off first; one at its own line is set by features (``TriggerMode=On``).
"""

from __future__ import annotations

import ctypes
import re
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError, InputError, SourceError
from ..text import reason_of, shown
from .aravis import Aravis, load_aravis
from .frame import Frame, Source
from .pixels import to_image
from .streams import LiveSource, frame_name, frame_of

__all__ = ["Address", "FreeRunningSource", "GenicamCapture", "TriggeredSource", "open_genicam", "parse_address"]

_BUFFERS = 4
_CONTINUOUS = 0
_SLICE = 0.25  # seconds of waiting between two looks at whether it is to end
_LOOK = 1.0  # seconds of silence after which a camera is asked whether it is there
_OPEN = 10.0  # seconds that opening a camera may take
_PATIENCE = 5.0  # seconds from a trigger to its frame
_LET_GO = 1.0  # seconds that a healthy camera takes to be let go; a dead one takes ten, and is not waited for
_PAUSES = (0.5, 5.0)  # seconds before it is opened again: the first pause and the longest
_LAST_ID = 0xFFFF  # of GigE Vision's short frame ids; 0 is not used
_STATUS = {
    1: "it was cleared",
    2: "packets did not come in time",
    3: "packets are missing",
    4: "a packet has a wrong number",
    5: "it is larger than announced",
    6: "it is not filled",
    7: "it was broken off",
    8: "its payload is no image",
}


class Address(NamedTuple):
    """A camera by its name ("" for the only one), whether it is triggered, and the features to set."""

    name: str
    triggered: bool
    features: tuple[tuple[str, str], ...]


def parse_address(uri: str) -> Address:
    """Read ``genicam:NAME?feature=value`` or ``genicam://NAME?...``. Raises SourceError for what is malformed."""
    name, _, query = re.sub("^genicam:(//)?", "", uri, flags=re.IGNORECASE).partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    if sum(bool(part) for part in query.split("&")) != len(pairs):
        raise SourceError(f"{shown(uri)} is malformed; expected genicam:NAME?Feature=value&Feature=value")
    trigger = [value for key, value in pairs if key == "trigger"]
    if trigger not in ([], ["off"], ["software"]):
        raise SourceError(f"{shown(uri)}: trigger is {shown(', '.join(trigger))}; expected software or off")
    features = tuple(pair for pair in pairs if pair[0] != "trigger")
    for key, value in features:
        if not re.fullmatch(r"[A-Za-z_]\w*", key, re.ASCII) or not re.fullmatch(r"[\w.+-]+", value, re.ASCII):
            raise SourceError(
                f"{shown(uri)}: {shown(key)}={shown(value)} is no feature; expected a name and a plain value"
            )
    return Address(unquote(name), trigger == ["software"], features)


def open_genicam(uri: str) -> Source:
    """Open a camera as a source. Raises SourceError without the library, without the camera, or for a wrong feature."""
    address = parse_address(uri)
    if address.triggered:
        return TriggeredSource(uri, address)
    return FreeRunningSource(uri, address)


class GenicamCapture:
    """One camera, opened and acquiring. `read` and `expose` are for one thread; `release` waits no longer than 1 s.

    Waiting ends early once ``ended``; so does opening, after the library's call in hand, and after 10 s: a camera that
    dies while it is opened must not cost a time-out for each feature. Raises SourceError.
    """

    def __init__(self, address: Address, ended: Callable[[], bool] = lambda: False) -> None:
        self._aravis: Aravis = load_aravis()
        self._ended = ended
        self._camera = self._stream = 0
        self._last: int | None = None
        try:
            self._open(address)
        except SourceError as error:
            self.release()
            who = f"GenICam camera {shown(address.name)}" if address.name else "a GenICam camera"
            raise SourceError(f"{who} cannot be opened: {error}; regad-doctor lists those that answer") from error

    def _open(self, address: Address) -> None:
        end = time.monotonic() + _OPEN

        def call(name: str, *arguments: Any) -> Any:
            if self._ended():
                raise SourceError("it was stopped while it was being opened")
            if time.monotonic() > end:
                raise SourceError(f"it took over {_OPEN:g} s")
            return self._aravis.call(name, *arguments)

        self._camera = call("arv_camera_new", address.name.encode() or None) or 0
        if not self._camera:
            raise SourceError("there is none")
        self._device = call("arv_camera_get_device", self._camera)
        call("arv_camera_clear_triggers", self._camera)  # what an earlier program left
        for pair in address.features:
            call("arv_device_set_features_from_string", self._device, "=".join(pair).encode())
        if address.triggered:
            call("arv_camera_set_trigger", self._camera, b"Software")
        call("arv_camera_set_acquisition_mode", self._camera, _CONTINUOUS)
        size = call("arv_camera_get_payload", self._camera)
        self._stream = call("arv_camera_create_stream", self._camera, None, None) or 0
        if not self._stream:
            raise SourceError("it gives no stream")
        for _ in range(_BUFFERS):
            buffer = self._aravis.call("arv_buffer_new_allocate", size)
            self._aravis.call("arv_stream_push_buffer", self._stream, buffer)
        call("arv_camera_start_acquisition", self._camera)

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        """Wait for the next frame, however long the camera is silent; (False, None) once it ``ended``.

        Raises InputError for a frame that is incomplete, SourceError where the camera is lost.
        """
        while not self._ended():
            if buffer := self._wait(_LOOK):
                return True, self._image(buffer)
            self._require_control()
        return False, None

    def expose(self) -> NDArray[np.uint8] | None:
        """Trigger the camera and return the frame that this trigger exposed; None once it ``ended``.

        Raises InputError for an incomplete frame; SourceError where none came, another one came, or the camera is lost:
        what comes next could be anybody's, so it must be opened again.
        """
        while stale := self._aravis.call("arv_stream_try_pop_buffer", self._stream):
            self._last = self._aravis.call("arv_buffer_get_frame_id", stale)
            self._aravis.call("arv_stream_push_buffer", self._stream, stale)
        self._aravis.call("arv_camera_software_trigger", self._camera)
        buffer = self._wait(_PATIENCE)
        if not buffer:
            if self._ended():
                return None
            self._require_control()
            raise SourceError(f"no frame came within {_PATIENCE:g} s of the trigger")
        last, self._last = self._last, self._aravis.call("arv_buffer_get_frame_id", buffer)
        if last is not None and not follows(last, self._last):
            self._aravis.call("arv_stream_push_buffer", self._stream, buffer)
            raise SourceError(f"frame {self._last} came after {last}: it is not the one that this trigger exposed")
        return self._image(buffer)

    def _wait(self, seconds: float) -> int:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._ended():
            waited = round(min(left, _SLICE) * 1e6)
            if buffer := self._aravis.call("arv_stream_timeout_pop_buffer", self._stream, waited):
                return int(buffer)
        return 0

    def _require_control(self) -> None:
        """Ask the camera for something. Raises SourceError where it does not answer, or is not ours any more."""
        self._aravis.call("arv_camera_get_payload", self._camera)
        if self._aravis.has_lost_control(self._device):
            raise SourceError("the camera was restarted, or another program took it")

    def _image(self, buffer: int) -> NDArray[np.uint8]:
        """Copy a buffer's image, and hand the buffer back to the stream."""
        call = self._aravis.call
        try:
            status = call("arv_buffer_get_status", buffer)
            if status != 0:
                raise InputError(
                    f"the frame is incomplete: {_STATUS.get(status, f'status {status}')}; check the network"
                )
            size, x, y = ctypes.c_size_t(), ctypes.c_int(), ctypes.c_int()
            data = call("arv_buffer_get_image_data", buffer, ctypes.byref(size))
            call("arv_buffer_get_image_padding", buffer, ctypes.byref(x), ctypes.byref(y))
            code, width, height = (
                call(f"arv_buffer_get_image_{one}", buffer) for one in ("pixel_format", "width", "height")
            )
            return to_image(ctypes.string_at(data, size.value), code, width, height, x.value)
        finally:
            call("arv_stream_push_buffer", self._stream, buffer)

    def release(self) -> None:
        """Let the camera go, in a thread of its own: one that is dead holds whoever closes it for ten seconds."""
        camera, stream, self._camera, self._stream = self._camera, self._stream, 0, 0
        if camera:
            closing = threading.Thread(target=_close, args=(self._aravis, camera, stream), daemon=True)
            closing.start()
            closing.join(_LET_GO)


def _close(aravis: Aravis, camera: int, stream: int) -> None:
    try:
        if stream:
            aravis.call("arv_camera_stop_acquisition", camera)
    except SourceError:  # it is dead: there is nothing to stop
        pass
    finally:
        for one in filter(None, (stream, camera)):
            aravis.call("g_object_unref", one)


def follows(last: int, new: int) -> bool:
    """Whether a frame id is the next one: GigE Vision's short ids go from 65535 to 1."""
    return new == last + 1 or (last == _LAST_ID and new == 1)


class FreeRunningSource(LiveSource):
    """The newest frame of a camera that exposes by itself, or by a line of its own. Raises SourceError."""

    def __init__(self, uri: str, address: Address) -> None:
        self._over = threading.Event()
        super().__init__(uri, lambda: GenicamCapture(address, self._over.is_set))

    def stop(self) -> None:
        """Tell the reader to end and wake whoever waits."""
        self._over.set()
        super().stop()


class TriggeredSource(Source):
    """A live source that exposes a frame when it is asked for one, and no other.

    `Frame.taken` is the moment before the trigger was sent. A failure is an error frame; the camera is then opened
    again, at each further frame that is asked for, after a pause. Opened at construction, which raises SourceError.
    """

    live = True
    triggered = True

    def __init__(self, uri: str, address: Address) -> None:
        super().__init__(uri)
        self._address = address
        self._busy = threading.Lock()
        self._ended = threading.Event()
        self._capture: GenicamCapture | None = self._opened()
        self._pause = _PAUSES[0]
        self._index = 0

    def stop(self) -> None:
        """Wake whoever waits for a frame; the camera is let go as soon as nobody does."""
        self._ended.set()
        self._let_go_unless_busy()

    def _start(self) -> None:
        """Nothing is read unasked."""

    def _read(self) -> None:
        """There is no reader."""

    def _next(self) -> Frame:
        try:
            return self._taken()
        finally:
            if self._ended.is_set():  # whoever stopped it may have found it busy
                self._let_go_unless_busy()

    def _taken(self) -> Frame:
        with self._busy:
            if self._ended.is_set():
                raise StopIteration
            at, taken = time.time(), time.monotonic()
            image, error = self._expose()
            if self._ended.is_set():
                raise StopIteration
            index, self._index = self._index, self._index + 1
        if image is None:
            return Frame(self.uri, index, at, None, error=error, name=frame_name(index), taken=taken)
        return frame_of(self.uri, index, image, at, taken)

    def _expose(self) -> tuple[NDArray[np.uint8] | None, str]:
        try:
            if self._capture is None:
                self._capture = self._reopened()
            image = None if self._capture is None else self._capture.expose()
            self._pause = _PAUSES[0]
            return image, ""
        except (InputError, DeviceError) as error:  # opening it again would not help
            return None, f"{self.uri}: {error}"
        except Exception as error:  # a driver raises what it likes
            self._let_go()
            return None, f"{self.uri}: {reason_of(error)}; it is opened again"

    def _reopened(self) -> GenicamCapture | None:
        """Open it again after a pause; None if it ended meanwhile. Raises SourceError."""
        if self._ended.wait(self._pause):
            return None
        self._pause = min(2 * self._pause, _PAUSES[1])
        return self._opened()

    def _opened(self) -> GenicamCapture:
        return GenicamCapture(self._address, self._ended.is_set)

    def _let_go_unless_busy(self) -> None:
        """Let the camera go, unless somebody waits for a frame of it: that one does so then."""
        if self._busy.acquire(blocking=False):
            try:
                self._let_go()
            finally:
                self._busy.release()

    def _let_go(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()
