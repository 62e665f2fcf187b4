"""Server-sent events: the whole state first, then what changes; a sign of life each second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from .routes import LASTS, Call, Route
from .state import State

__all__ = ["event_routes"]

_ALIVE = 1.0  # seconds
_LONGEST = 600.0  # seconds, after which the browser connects anew: a session that has ended is then seen
_LEAST = 0.1  # seconds between two events


def event_routes(state: State) -> list[Route]:
    """Return the route of the state's events."""

    async def events(call: Call) -> Response:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(_events(state, call), media_type="text/event-stream", headers=headers)

    return [Route("/api/v1/events", events, stream=True)]


async def _events(state: State, call: Call) -> AsyncIterator[bytes]:
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def tell() -> None:
        loop.call_soon_threadsafe(changed.set)

    state.watch(tell)
    number, end, look = 0, loop.time() + _LONGEST, loop.time() + LASTS
    try:
        while loop.time() < end:
            if loop.time() >= look:
                if not await run_in_threadpool(call.lasts):
                    return  # the browser asks again, and is told to log in
                look = loop.time() + LASTS
            now, parts = state.since(number)
            if parts:
                yield (
                    b"event: "
                    + (b"state" if not number else b"delta")
                    + b"\ndata: "
                    + msgspec.json.encode(parts)
                    + b"\n\n"
                )
                number = now
            else:
                yield b"event: alive\ndata: 0\n\n"
            await asyncio.sleep(_LEAST)
            try:
                await asyncio.wait_for(changed.wait(), _ALIVE)
            except asyncio.TimeoutError:
                continue
            changed.clear()
    finally:
        state.leave(tell)
