"""Scores of a job's parts by label and verdict, and what another threshold would do to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from regad.calib.threshold import Rejects, expected_rejects

from ...errors import InputError
from ...formats.threshold import Threshold
from .records import Part

__all__ = ["EVIDENCE", "Bin", "Change", "Effect", "Histogram", "effect_of", "histogram_of"]

EVIDENCE: Final = 1000
"""So many of the newest good parts are the evidence for the rate of false rejects."""
_BINS = 48
_KINDS = ("good", "defect", "unsure", "passed", "aside")


class Bin(NamedTuple):
    """Parts with scores from ``low`` to ``high``: labelled good, defect, unsure; not labelled: passed, or set aside."""

    low: float
    high: float
    good: int
    defect: int
    unsure: int
    passed: int
    aside: int


@dataclass(frozen=True)
class Histogram:
    """``bins`` are equally wide in the logarithm of the score."""

    bins: tuple[Bin, ...]
    counts: dict[str, int]


class Change(NamedTuple):
    """A labelled part that changes sides: ``passes`` with the new threshold, or does not any more."""

    inspection: int
    label: str
    score: float
    passes: bool


@dataclass(frozen=True)
class Effect:
    """What a threshold comes to.

    ``rejects`` is the share of good parts expected above it, None without evidence; ``good_parts`` how many newest good
    parts that rests on, ``unlabelled`` how many rejects nobody has labelled: were they good, more would be rejected.
    ``passed`` counts the parts at or below it by kind, ``above`` those over it. ``escapes`` are labelled defects that
    would pass. ``changes`` are the labelled parts that change sides.
    """

    threshold: float
    rejects: Rejects | None
    good_parts: int
    unlabelled: int
    passed: dict[str, int]
    above: dict[str, int]
    escapes: tuple[int, ...]
    changes: tuple[Change, ...]


def kind_of(part: Part) -> str:
    """The kind by which a part is counted: its label, or ``passed`` or ``aside`` where it has none."""
    return part.label or ("passed" if part.passed else "aside")


def histogram_of(parts: Sequence[Part]) -> Histogram:
    """Count scored parts by score and kind."""
    logs = [math.log(score) for part in parts if (score := part.score) is not None]
    counts = dict.fromkeys(_KINDS, 0)
    if not logs:
        return Histogram((), counts)
    low, width = min(logs), max(max(logs) - min(logs), 1e-6) / _BINS
    bins = [dict.fromkeys(_KINDS, 0) for _ in range(_BINS)]
    for log, part in zip(logs, parts, strict=True):
        kind = kind_of(part)
        bins[min(int((log - low) / width), _BINS - 1)][kind] += 1
        counts[kind] += 1
    edges = [math.exp(low + number * width) for number in range(_BINS + 1)]
    return Histogram(tuple(Bin(edges[i], edges[i + 1], **bins[i]) for i in range(_BINS)), counts)


def effect_of(parts: Sequence[Part], threshold: float, before: float, taught: Threshold | None = None) -> Effect:
    """Hold scored parts, the newest first, against another threshold than ``before``; nothing is judged again.

    ``taught`` is the category's own threshold: its evidence counts where there are few good parts. Raises InputError
    unless the threshold is a number above 0.
    """
    if not 0 < threshold < math.inf:
        raise InputError(f"the threshold is {threshold}; expected a number above 0")
    passed, above = dict.fromkeys(_KINDS, 0), dict.fromkeys(_KINDS, 0)
    changes: list[Change] = []
    evidence: list[float] = []
    escapes: list[int] = []
    for part in parts:
        assert part.score is not None
        passes = part.score <= threshold
        (passed if passes else above)[kind_of(part)] += 1
        if part.label is not None and passes != (part.score <= before):
            changes.append(Change(part.id, part.label, part.score, passes))
        if part.label == "defect" and passes:
            escapes.append(part.id)
        if part.good and len(evidence) < EVIDENCE:
            evidence.append(part.score)
    prior, held_out = (None, ()) if taught is None else (taught.prior, taught.held_out or _own(taught))
    known = bool(evidence) or (prior is not None and bool(held_out))
    return Effect(
        threshold,
        expected_rejects(evidence, threshold, prior, held_out) if known else None,
        len(evidence),
        passed["aside"] + above["aside"],
        passed,
        above,
        tuple(escapes),
        tuple(changes),
    )


def _own(taught: Threshold) -> tuple[float, ...]:
    return taught.scores if taught.method == "leave-one-out" else ()
