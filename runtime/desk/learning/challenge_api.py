"""What the pages Challenge and Drift ask."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ...station.codes import VerdictCode
from ..web.routes import Call, Route
from .learning import learning_of, trace_of

__all__ = ["challenge_routes"]


_HoldId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class _Begun(msgspec.Struct, forbid_unknown_fields=True):
    """``hold_id`` None: the page showed no hold; without it: whichever is known of."""

    hold_id: _HoldId | msgspec.UnsetType | None = msgspec.UNSET


class _Released(msgspec.Struct, forbid_unknown_fields=True):
    job: Annotated[int, msgspec.Meta(ge=0, le=65_535)]
    hold_id: _HoldId | None = None


def challenge_routes() -> list[Route]:
    """Return the routes."""
    return [
        Route("/api/v1/challenge", _state),
        Route("/api/v1/challenge/begin", _begin, "operator", "POST"),
        Route("/api/v1/challenge/cancel", _cancel, "operator", "POST"),
        Route("/api/v1/challenge/release", _release, "engineer", "POST"),
        Route("/api/v1/drift", _drift),
    ]


def _state(call: Call) -> dict[str, Any]:
    with trace_of(call) as trace:
        history = trace.challenges(limit=50)
    shown = [{**one._asdict(), "expected": VerdictCode(one.expected).name} for one in history]
    return {**learning_of(call).challenge.state(), "history": shown}


def _begin(call: Call) -> dict[str, Any]:
    """Begin, out of the hold that the page showed, and no other one."""
    told = call.json(_Begun) if call.body else _Begun()
    learning_of(call).challenge.begin(call.user, told.hold_id)
    return _state(call)


def _cancel(call: Call) -> dict[str, Any]:
    learning_of(call).challenge.cancel()
    return _state(call)


def _release(call: Call) -> dict[str, Any]:
    """Release the hold that the page showed, and no other one."""
    told = call.json(_Released)
    learning_of(call).challenge.release(call.user, told.job, told.hold_id)
    return _state(call)


def _drift(call: Call) -> dict[str, Any]:
    return learning_of(call).drift.charts(call.number("job", least=1))
