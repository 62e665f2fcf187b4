"""A proposal: another version of a job's category, held against everything that people have said of its parts.

An operator labels, an engineer proposes and approves. It is refused where a part labelled a defect, or a challenge part
that must be rejected, would pass. Nothing is ever put in force by itself: what learns its own rejects learns defects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from ...station.codes import VerdictCode
from ...station.config_job import JobSettings
from ...station.config_types import Number
from .records import Challenged, LearningTrace, Part

__all__ = ["GOODS", "Evidence", "Group", "Judged", "Kind", "Proposal", "State", "Wanted", "evidence_of", "judged"]

GOODS: Final = 1000
"""So many of the newest good parts a proposal is held against."""
_NAMED = 200  # parts that a list of the report names at most

Kind = Literal["threshold", "teach", "photos"]
State = Literal["working", "ready", "refused", "failed", "approved", "withdrawn"]
GroupName = Literal["labelled good", "labelled defect", "labelled unsure", "last good parts", "must be rejected"]


Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an engineer proposes: another ``threshold`` and ``warn`` limit, or teaching again with some ``parts``.

    ``parts`` are labelled good; with ``afresh`` they replace the images that the part was taught with, else they are
    added to them. ``photos`` were taken at the page, of the region ``roi`` (x, y, width, height) of
    the camera's picture. With a ``name`` the photos are those of a part that is new: a job is added under that number.
    ``settings`` are for such a job, or for one that was added so; None: those that it has.
    """

    job: Number
    kind: Kind
    threshold: float | None = None
    warn: float | None = None
    parts: tuple[int, ...] = ()
    afresh: bool = False
    photos: tuple[Sha256, ...] = ()
    roi: tuple[int, int, int, int] | None = None
    note: str = ""
    name: Annotated[str, msgspec.Meta(max_length=200)] = ""
    settings: JobSettings | None = None


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Parts of one kind: how many there are, passed when they were judged, would pass now, and could not be judged."""

    name: GroupName
    parts: int
    passed_before: int
    passed_after: int
    left_out: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What holding it against the parts came to; parts are named by id, at most 200 in each list.

    ``cured``: labelled good or taken as good, did not pass, would pass. ``lost``: the other way. ``escapes``: must not
    pass, and would. ``left_out``: labelled or challenge parts that could not be judged.
    """

    groups: tuple[Group, ...]
    cured: tuple[int, ...]
    lost: tuple[int, ...]
    escapes: tuple[int, ...]
    left_out: tuple[int, ...]


class Proposal(msgspec.Struct, kw_only=True):
    """A proposal from its beginning to its end; times in seconds since 1970.

    ``base`` is the version in force that it would replace, 0 for a job that is new; ``sha256``, ``threshold`` and
    ``warn`` are what would be installed (None: the file's own limit). ``mark``: the newest label and challenge that it
    took into account.
    """

    id: int
    wanted: Wanted
    by: str
    at: float
    base: int
    mark: tuple[int, int]
    state: State = "working"
    done: int = 0
    total: int = 0
    sha256: str = ""
    threshold: float | None = None
    warn: float | None = None
    limit: float | None = None
    limit_before: float | None = None
    report: Report | None = None
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    held_out: tuple[float, ...] = ()
    approved_by: str = ""
    approved_at: float | None = None


class Judged(NamedTuple):
    """A verdict by the proposed version."""

    score: float | None
    verdict: VerdictCode

    @property
    def passes(self) -> bool:
        """Whether the part would pass. A review is no pass."""
        return self.verdict is VerdictCode.PASS


class Evidence(NamedTuple):
    """What a proposal is held against: every labelled part of the job, its newest good parts, its challenge parts."""

    labelled: list[Part]
    goods: list[Part]
    must_fail: list[Part]

    def all(self) -> list[Part]:
        """Every part, each once, by rising id."""
        return sorted({part.id: part for part in (*self.labelled, *self.goods, *self.must_fail)}.values())


def evidence_of(trace: LearningTrace, job: int) -> Evidence:
    """Gather it. A challenge part that somebody has labelled good since was the wrong part, and does not count."""
    labelled = trace.labelled(job)
    shown = [one.inspection for one in trace.challenges(job, limit=-1) if _must_fail(one)]
    must_fail = [part for part in trace.parts(id for id in shown if id is not None) if part.label != "good"]
    return Evidence(labelled, trace.goods(job, GOODS), must_fail)


def _must_fail(challenge: Challenged) -> bool:
    return challenge.expected != VerdictCode.PASS


def judged(evidence: Evidence, judge: Callable[[Part], Judged | None], progress: Callable[[int, int], None]) -> Report:
    """Judge every part once and report. ``judge`` returns None for a part that cannot be judged."""
    parts = evidence.all()
    found: dict[int, Judged] = {}
    for number, part in enumerate(parts, 1):
        verdict = judge(part)
        if verdict is not None:
            found[part.id] = verdict
        progress(number, len(parts))
    return report_of(evidence, found)


def report_of(evidence: Evidence, found: Mapping[int, Judged]) -> Report:
    """Hold the verdicts that were found against what people said of the parts."""
    by_label = {
        value: [part for part in evidence.labelled if part.label == value] for value in ("good", "defect", "unsure")
    }
    groups = (
        _group("labelled good", by_label["good"], found),
        _group("labelled defect", by_label["defect"], found),
        _group("labelled unsure", by_label["unsure"], found),
        _group("last good parts", evidence.goods, found),
        _group("must be rejected", evidence.must_fail, found),
    )
    good = {part.id: part for part in (*by_label["good"], *evidence.goods)}.values()
    bad = {part.id: part for part in (*by_label["defect"], *evidence.must_fail)}.values()
    told = {part.id: part for part in (*evidence.labelled, *evidence.must_fail)}.values()
    return Report(
        groups=groups,
        cured=_ids(part for part in good if part.id in found and not part.passed and found[part.id].passes),
        lost=_ids(part for part in good if part.id in found and part.passed and not found[part.id].passes),
        escapes=_ids(part for part in bad if part.id in found and found[part.id].passes),
        left_out=_ids(part for part in told if part.id not in found),
    )


def reasons_of(report: Report) -> tuple[str, ...]:
    """Say why a proposal is refused; nothing where it is not."""
    if not report.escapes:
        return ()
    named = ", ".join(map(str, report.escapes[:10])) + (" and more" if len(report.escapes) > 10 else "")
    return (
        f"parts that must not pass would pass: {named}; label one that is good as good, else take another threshold or "
        "other parts",
    )


def _group(name: GroupName, parts: Sequence[Part], found: Mapping[int, Judged]) -> Group:
    return Group(
        name=name,
        parts=len(parts),
        passed_before=sum(part.passed for part in parts),
        passed_after=sum(part.id in found and found[part.id].passes for part in parts),
        left_out=sum(part.id not in found for part in parts),
    )


def _ids(parts: Iterable[Part]) -> tuple[int, ...]:
    return tuple(sorted(part.id for part in parts)[:_NAMED])
