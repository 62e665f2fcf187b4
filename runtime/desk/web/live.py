"""The live picture: encoded once for everybody who looks on, and only while somebody does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import NamedTuple

import numpy as np
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from ...backends.lifecycle import Closing
from ...line.picture_file import encode
from ...station.live import LiveFrame, LiveReader, live_path
from ..service import Surroundings
from .routes import LASTS, Call, Route

__all__ = ["LiveView", "live_routes"]

_WIDTH, _QUALITY = 960, 80
_LOOK = 0.05  # seconds between looks at the picture's number
_POLL = 5.0  # seconds that a browser waits for a picture
_BOUNDARY = b"regad-frame"


class Encoded(NamedTuple):
    """A JPEG, the number of its picture, and when that was taken: nanoseconds of the monotonic clock."""

    number: int
    taken_ns: int
    data: bytes


class LiveView(Closing):
    """The line's last picture as JPEG, at most 960 pixels wide."""

    def __init__(self, around: Surroundings) -> None:
        self._reader = LiveReader(live_path(around.config.commands.socket))
        self._lock = threading.Lock()
        self._last: Encoded | None = None

    async def after(self, number: int, seconds: float = _POLL) -> Encoded | None:
        """Return the first picture whose number is not ``number``, None if none comes within so many seconds."""
        end = time.monotonic() + seconds
        while True:
            here = await run_in_threadpool(self._number)
            if here and here != number and (found := await run_in_threadpool(self._encoded)) is not None:
                return found
            if time.monotonic() > end:
                return None
            await asyncio.sleep(_LOOK)

    def frame(self) -> LiveFrame | None:
        """Return the last picture as it is; a line begins to give pictures only once it was asked."""
        with self._lock:
            self._reader.watch()
            return self._reader.read()

    def close(self) -> None:
        """Look on no more."""
        with self._lock:
            self._reader.close()

    def _number(self) -> int:
        with self._lock:
            return self._reader.number if self._reader.watch() else 0

    def _encoded(self) -> Encoded | None:
        with self._lock:
            if self._last is not None and self._last.number == self._reader.number:
                return self._last
            frame = self._reader.read()
            self._last = None if frame is None else Encoded(frame.number, frame.taken_ns, _jpeg(frame))
            return self._last


def _jpeg(frame: LiveFrame) -> bytes:
    image = frame.image
    height, width = image.shape[:2]
    if width > _WIDTH:
        size = (_WIDTH, max(1, round(height * _WIDTH / width)))
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
    return encode(image, ".jpg", _QUALITY)


def live_routes(view: LiveView) -> list[Route]:
    """Return the routes of the live picture: one JPEG after another, or one stream for what shows nothing else."""

    async def frame(call: Call) -> Response:
        found = await view.after(call.number("after", 0))
        if found is None:
            return Response(status_code=204)
        age = max(0, time.monotonic_ns() - found.taken_ns) // 1_000_000
        headers = {"x-regad-number": str(found.number), "x-regad-age-ms": str(age), "cache-control": "no-store"}
        return Response(found.data, media_type="image/jpeg", headers=headers)

    async def stream(call: Call) -> Response:
        media = f"multipart/x-mixed-replace; boundary={_BOUNDARY.decode()}"
        return StreamingResponse(_stream(view, call), media_type=media, headers={"cache-control": "no-store"})

    return [
        Route("/api/v1/frame.jpg", frame, stream=True),
        Route("/api/v1/live.mjpeg", stream, stream=True),
    ]


async def _stream(view: LiveView, call: Call) -> AsyncIterator[bytes]:
    """Pictures for as long as the session lasts."""
    number, look = 0, time.monotonic() + LASTS
    while True:
        found = await view.after(number, LASTS)
        if time.monotonic() >= look:
            if not await run_in_threadpool(call.lasts):
                return
            look = time.monotonic() + LASTS
        if found is None:
            continue
        number = found.number
        head = b"--%s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % (_BOUNDARY, len(found.data))
        yield head + found.data + b"\r\n"
