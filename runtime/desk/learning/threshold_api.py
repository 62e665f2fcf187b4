"""What the page Threshold asks: the scores of a version by label, what another threshold does, proposals, versions."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import msgspec

from ..web.routes import Call, Route
from .evidence import taught_threshold
from .histogram import effect_of, histogram_of, kind_of
from .learning import learning_of, trace_of
from .proposal import Proposal, Wanted
from .records import LearningTrace, Part, Version
from .versions import roll_back

__all__ = ["threshold_routes"]

_SCORES: Final = 5000
"""So many of the newest scores are shown."""


class _Job(msgspec.Struct, forbid_unknown_fields=True):
    job: int


def threshold_routes() -> list[Route]:
    """Return the routes."""
    return [
        Route("/api/v1/threshold", _threshold, "engineer"),
        Route("/api/v1/threshold/effect", _effect, "engineer"),
        Route("/api/v1/proposals", _proposals, "engineer"),
        Route("/api/v1/proposals", _open, "engineer", "POST"),
        Route("/api/v1/proposals/{proposal}", _proposal, "engineer"),
        Route("/api/v1/proposals/{proposal}/approve", _approve, "engineer", "POST"),
        Route("/api/v1/proposals/{proposal}/withdraw", _withdraw, "engineer", "POST"),
        Route("/api/v1/versions/{version}/restore", _restore, "engineer", "POST"),
    ]


def _scored(trace: LearningTrace, call: Call) -> tuple[Version, list[Part]]:
    job = call.number("job", least=1)
    version = trace.version(job, call.number("version", 0) or None)
    return version, trace.scored(job, version.hash, _SCORES)


def _threshold(call: Call) -> dict[str, Any]:
    with trace_of(call) as trace:
        version, parts = _scored(trace, call)
        versions = trace.versions(version.job)
    histogram = histogram_of(parts)
    return {
        "job": version.job,
        "version": version.id,
        "limit": version.threshold,
        "warn": version.low,
        "counts": histogram.counts,
        "bins": histogram.bins,
        "scores": [(part.id, part.score, kind_of(part)) for part in parts],
        "versions": [_shown(one) for one in versions],
    }


def _effect(call: Call) -> dict[str, Any]:
    try:
        threshold = float(call.query.get("threshold", ""))
    except ValueError:
        threshold = 0.0  # refused below
    with trace_of(call) as trace:
        version, parts = _scored(trace, call)
    taught = taught_threshold(call.around.trace, version)
    effect = effect_of(parts, threshold, version.threshold or threshold, taught)
    shown = dataclasses.asdict(effect)
    rejects = effect.rejects
    return {**shown, "changes": effect.changes[:200], "rejects": None if rejects is None else rejects._asdict()}


def _shown(version: Version) -> dict[str, Any]:
    return {
        **{"id": version.id, "hash": version.hash, "threshold": version.threshold, "warn": version.low},
        **{"method": version.method, "made_at": version.made_at, "by": version.approved_by, "note": version.note},
        **{"active": version.active, "images": len(version.support), "retired_at": version.retired_at},
    }


def _proposals(call: Call) -> list[Proposal]:
    return learning_of(call).proposals.all()


def _open(call: Call) -> Proposal:
    return learning_of(call).proposals.open(call.json(Wanted), call.user)


def _proposal(call: Call) -> Proposal:
    return learning_of(call).proposals.one(call.number("proposal"))


def _approve(call: Call) -> Proposal:
    return learning_of(call).proposals.approve(call.number("proposal"), call.user)


def _withdraw(call: Call) -> Proposal:
    return learning_of(call).proposals.withdraw(call.number("proposal"), call.user)


def _restore(call: Call) -> dict[str, Any]:
    with trace_of(call) as trace:
        version = trace.version(call.json(_Job).job, call.number("version"))
    return roll_back(call.around.link, call.around.trace, version, call.user)
