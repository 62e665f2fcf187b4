"""What the page Review asks: the queue, labels, and the image to hold a part against."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from starlette.responses import Response

from ...errors import InputError
from ...line.picture_file import encode
from ...station.codes import VerdictCode
from ..web.errors import RequestError
from ..web.routes import Call, Route
from .learning import trace_of
from .records import Part
from .taught import TaughtImages

__all__ = ["review_routes", "shown_part"]

_MOST = 200


class _Label(msgspec.Struct, forbid_unknown_fields=True):
    value: Literal["good", "defect", "unsure"]
    note: Annotated[str, msgspec.Meta(max_length=500)] = ""


class _Labels(_Label):
    parts: Annotated[tuple[int, ...], msgspec.Meta(min_length=1, max_length=_MOST)] = ()


def review_routes() -> list[Route]:
    """Return the routes."""
    return [
        Route("/api/v1/review", _queue),
        Route("/api/v1/labels", _label_all, "operator", "POST"),
        Route("/api/v1/labels/{part}", _label, "operator", "POST"),
        Route("/api/v1/parts/{part}/nearest", _nearest),
    ]


def shown_part(part: Part) -> dict[str, Any]:
    """Return a part for the page: the names that its row has at Trace."""
    return {
        **{"id": part.id, "wall": part.wall, "job": part.job, "score": part.score, "threshold": part.threshold},
        **{"verdict": VerdictCode(part.verdict).name, "late": part.late, "serial": part.serial, "label": part.label},
        **{"part_id": part.part_id, "reason": part.reason, "spot_x": part.spot_x, "spot_y": part.spot_y},
        **{"input": part.has_input, "full": part.has_full, "good": part.passed and not part.late},
        "shown": "LATE" if part.late else VerdictCode(part.verdict).name,
    }


def _queue(call: Call) -> dict[str, Any]:
    job = call.number("job", 0) or None
    order = call.query.get("order", "newest")
    if order not in ("newest", "threshold"):
        raise InputError(f"order is {order[:40]!r}; expected newest or threshold")
    limit = call.number("limit", 50, 1, _MOST)
    with trace_of(call) as trace:
        labelled = call.query.get("labelled") == "1"
        found = trace.aside(job, labelled=labelled, nearest=order == "threshold", limit=limit + 1)
    return {"parts": [shown_part(part) for part in found[:limit]], "more": len(found) > limit}


def _label(call: Call) -> dict[str, Any]:
    told = call.json(_Label)
    return _say(call, call.number("part"), told)


def _label_all(call: Call) -> dict[str, Any]:
    told = call.json(_Labels)
    for part in told.parts:
        _say(call, part, told)
    return {"labels": len(told.parts)}


def _say(call: Call, part: int, told: _Label) -> dict[str, Any]:
    return call.around.link.ask("label", by=call.user, inspection=part, value=told.value, note=told.note)


def _nearest(call: Call) -> Response:
    with trace_of(call) as trace:
        found = TaughtImages(call.around.state, trace).nearest(call.number("part"))
    if found is None:
        raise RequestError(404, "there is no good image of this job to compare with", code="missing")
    headers = {"x-regad-taught": str(int(found.taught)), "x-regad-name": found.name, "cache-control": "no-store"}
    return Response(encode(found.image, ".png"), media_type="image/png", headers=headers)
