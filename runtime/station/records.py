"""From a finished part to its row in the trace, and the clocks that the row names."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..formats.category import Category
from .codes import Mode, VerdictCode
from .effects import Record
from .job_spec import JobSpec
from .judge import Details
from .trace.inspection import Boot, Inspection
from .trace.writer import Trace
from .worker import Clock

__all__ = ["WallClock", "inspection_of", "record_job"]

_JUMP = 2.0  # seconds by which the wall clock may part from the monotonic one before it counts as a jump


class WallClock:
    """The time of day, and whether it is to be trusted: it was at the start, and has not jumped since."""

    def __init__(self, trusted: bool, clock: Clock = time.monotonic_ns, wall: Callable[[], float] = time.time) -> None:
        self._clock, self._wall = clock, wall
        self._offset = wall() - clock() / 1e9
        self.ok = trusted

    def look(self) -> tuple[float, bool]:
        """Return seconds since 1970 and whether they are to be trusted. Nothing is decided on them."""
        now = self._wall()
        if abs(now - self._clock() / 1e9 - self._offset) > _JUMP:
            self.ok = False
        return now, self.ok


def inspection_of(record: Record, boot: Boot, mode: Mode, wall: WallClock) -> Inspection:
    """Return the row of a part. Its arrays are the judgement's own: nobody writes to them any more."""
    part, outcome = record.part, record.outcome
    details = outcome.details if isinstance(outcome.details, Details) else None
    seconds, ok = wall.look()
    made = details.frame if details else None
    located = made.located if made else None
    exposed = part.frame_id is not None
    return Inspection(
        boot=boot.id,
        seq=part.token.seq,
        mono_ns=part.at_ns,
        wall=seconds,
        clock_ok=ok,
        trigger=part.kind.value,
        verdict=int(outcome.verdict),
        output=int(record.output),
        job=part.job.number if part.job else None,
        category=details.category if details else "",
        part_id=part.part_id,
        serial=part.serial,
        reason=part.spoiled or outcome.reason,
        score=outcome.score,
        threshold=outcome.threshold,
        warn=outcome.warn,
        ms_acquire=(part.taken_ns - part.at_ns) / 1e6 if exposed else None,
        ms_judge=outcome.ms if details else None,
        ms_total=None if outcome.verdict is VerdictCode.MISSED else (record.now_ns - part.at_ns) / 1e6,
        deadline_ms=None if part.deadline_ns is None else part.deadline_ns / 1e6,
        late=part.late,
        shadow=mode is Mode.SHADOW,
        simulated=mode is Mode.SIMULATE,
        frame_id=part.frame_id,
        mean=made.measures.brightness if made else None,
        sharp=made.measures.detail if made else None,
        contrast=made.measures.contrast if made else None,
        structure=made.measures.structure if made else None,
        prepared=details.preparation if details else "",
        quality=located.quality if located else None,
        share=made.share if made else None,
        angle=located.pose.angle if located else None,
        shift_x=located.pose.dx if located else None,
        shift_y=located.pose.dy if located else None,
        scale=located.pose.scale if located else None,
        spot_x=outcome.spot[0] if outcome.spot else None,
        spot_y=outcome.spot[1] if outcome.spot else None,
        error=outcome.error,
        input=made.image if made else None,
        map=details.map if details else None,
        frame=part.frame.image if exposed else None,
    )


def record_job(trace: Trace, spec: JobSpec, category: Category) -> None:
    """Record that a job uses a category from now on."""
    trace.category(
        spec.number,
        category,
        spec.path,
        spec.sha256,
        by=spec.by,
        note=spec.note,
        name=spec.name,
        deadline_ms=None if spec.deadline_ns is None else spec.deadline_ns / 1e6,
        review_is=spec.review_is,
    )
