"""What the page Teach asks: the meters, photos of the live picture, and a proposal of them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from starlette.responses import Response

from ...errors import InputError
from ...formats.artifact import Artifact
from ...formats.spec import InputSpec
from ...line.picture_file import encode
from ...station.config import Config
from ...station.config_job import JobSettings
from ...station.config_types import Number
from ..jobs import jobs_of
from ..web.errors import RequestError
from ..web.live import LiveView
from ..web.routes import Call, Route
from .learning import learning_of, trace_of
from .photos import MOST, meter_of
from .proposal import Proposal, Wanted
from .taught import TaughtImages

__all__ = ["teach_routes"]

_Pixel = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
_Roi = tuple[_Pixel, _Pixel, _Pixel, _Pixel]


class _Take(msgspec.Struct, forbid_unknown_fields=True):
    """``job`` 0: one that is new, whose pictures are cut out as the artifact says."""

    job: int
    roi: _Roi | None = None


class _Learn(msgspec.Struct, forbid_unknown_fields=True):
    """``name`` is that of a job that is new; ``settings`` are for it, or for one that was added so."""

    job: Number
    note: Annotated[str, msgspec.Meta(max_length=500)] = ""
    name: Annotated[str, msgspec.Meta(max_length=200)] = ""
    settings: JobSettings | None = None


def teach_routes() -> list[Route]:
    """Return the routes."""
    return [
        Route("/api/v1/teach", _state, "engineer"),
        Route("/api/v1/teach/meter", _meter, "engineer", "POST"),
        Route("/api/v1/teach/photos", _take, "engineer", "POST"),
        Route("/api/v1/teach/photos", _clear, "engineer", "DELETE"),
        Route("/api/v1/teach/photos/{photo}", _photo, "engineer"),
        Route("/api/v1/teach/photos/{photo}", _remove, "engineer", "DELETE"),
        Route("/api/v1/teach/learn", _learn, "engineer", "POST"),
    ]


def _state(call: Call) -> dict[str, Any]:
    photos = learning_of(call).photos
    return {
        "photos": [photo.number for photo in photos.all()],
        "most": MOST,
        "roi": photos.roi,
        "warnings": photos.warnings(),
        "new": _usual(call.around.config),
    }


def _usual(config: Config) -> dict[str, Any]:
    """What a new job has unless somebody says otherwise: the trigger's deadline, challenges as the others."""
    hours = [job.challenge_every_h for job in jobs_of(config) if job.challenge_every_h is not None]
    return {"deadline_ms": config.trigger.deadline_ms, "challenge_every_h": min(hours, default=None)}


def _meter(call: Call) -> dict[str, Any]:
    told = call.json(_Take)
    return meter_of(_picture(call), _spec(call, told))._asdict()


def _take(call: Call) -> dict[str, Any]:
    told = call.json(_Take)
    learning_of(call).photos.take(_picture(call, whole=True), _spec(call, told))
    return _state(call)


def _clear(call: Call) -> dict[str, Any]:
    learning_of(call).photos.remove()
    return _state(call)


def _remove(call: Call) -> dict[str, Any]:
    learning_of(call).photos.remove(call.number("photo"))
    return _state(call)


def _photo(call: Call) -> Response:
    photo = learning_of(call).photos.one(call.number("photo"))
    return Response(encode(photo.input, ".png"), media_type="image/png", headers={"cache-control": "no-store"})


def _learn(call: Call) -> Proposal:
    told, learning = call.json(_Learn), learning_of(call)
    with trace_of(call) as trace:
        taught = TaughtImages(call.around.state, trace)
        photos = tuple(taught.keep(photo.input) for photo in learning.photos.all())
    wanted = Wanted(
        job=told.job,
        kind="photos",
        photos=photos,
        roi=learning.photos.roi,
        note=told.note,
        name=told.name,
        settings=told.settings,
    )
    return learning.proposals.open(wanted, call.user)


def _spec(call: Call, told: _Take) -> InputSpec:
    """How the job's pictures are cut out, with the region that is asked for. Raises InputError, ArtifactError."""
    roi = told.roi if told.roi is None or told.roi[2:] > (0, 0) else None
    if told.job == 0:
        return replace(_artifact_spec(call.around.config.model.path), roi=roi)
    with trace_of(call) as trace:
        version = trace.version(told.job)
    if version.spec is None:
        raise InputError(f"the region of job {told.job} is not known yet; let it judge a part first")
    return replace(InputSpec.from_json(json.loads(version.spec)), roi=roi)


@lru_cache(maxsize=4)
def _artifact_spec(path: Path) -> InputSpec:
    """What the artifact was made for. It is read once: a meter asks a few times a second."""
    return Artifact.open(path, verify=False).spec


def _picture(call: Call, *, whole: bool = False) -> NDArray[np.uint8]:
    """The camera's last picture. Raises RequestError where there is none, InputError for one that is not ``whole``."""
    view = call.site.get("live")
    found = view.frame() if isinstance(view, LiveView) else None
    if found is None:
        raise RequestError(503, "there is no live picture; see that the camera runs, or trigger a part", code="missing")
    if whole and found.step > 1:
        raise InputError(
            f"the camera's pictures are too large for the page (it sees every {found.step}th pixel); teach with "
            "regad-calib, or by good parts of the trace"
        )
    return found.image
