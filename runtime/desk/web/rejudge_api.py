"""The routes of judging a range of the trace again."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ...station.trace.reader import Selection
from ..audit import audit
from ..service import Surroundings
from .rejudge import Rejudging, Wanted
from .routes import Call, Route

__all__ = ["rejudge_routes"]

_Id = Annotated[int, msgspec.Meta(ge=1)]


class _Range(msgspec.Struct, forbid_unknown_fields=True):
    from_id: _Id = 1
    to_id: _Id | None = None
    job: Annotated[int, msgspec.Meta(ge=1, le=65_535)] | None = None
    threshold: Annotated[float, msgspec.Meta(gt=0, le=1e30)] | None = None
    version: _Id | None = None


def rejudge_routes(around: Surroundings) -> list[Route]:
    """Return the routes: one begins, one says how far it is."""
    judging = Rejudging(around)

    def begin(call: Call) -> dict[str, Any]:
        asked = call.json(_Range)
        selection = Selection(asked.from_id, asked.to_id, job=asked.job)
        judging.start(Wanted(selection, asked.threshold, asked.version, call.user))
        audit(call.around, call.user, "rejudge", after=msgspec.json.encode(asked).decode())
        return judging.found()

    return [
        Route("/api/v1/rejudge", begin, "engineer", "POST"),
        Route("/api/v1/rejudge", lambda call: judging.found()),
    ]
