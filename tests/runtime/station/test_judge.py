"""The judging thread: what a judgement carries, and which pictures are not judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from regad.runtime.formats.limits import Limit
from regad.runtime.result import Result
from regad.runtime.sources.frame import Frame
from regad.runtime.station.codes import Fault, VerdictCode
from regad.runtime.station.judge import Pinned
from regad.runtime.station.part import Job

from .thread_doubles import ONE, PINNED, Brightness, grey_frame, judged


def test_a_judgement_carries_all_that_the_trace_keeps() -> None:
    (outcome,) = judged([grey_frame(60)])
    assert (outcome.verdict, outcome.pin, outcome.spot, outcome.fault) == (
        VerdictCode.PASS,
        ONE.pin,
        (9, 7),
        Fault.NONE,
    )
    assert outcome.details.frame.image.shape == (224, 224, 3) and outcome.details.map.max() == outcome.score == 60.0
    details = outcome.details
    assert (details.frame.measures.brightness, details.category, details.preparation) == (60.0, "cafe", "beef")


def test_a_score_that_is_no_number_is_not_judged() -> None:
    class Broken(Brightness):
        def predict_prepared(self, frames: Any) -> list[Result]:
            return [replace(super().predict_prepared(frames)[0], score=float("nan"), anomalous=False)]

    (outcome,) = judged([grey_frame(60)], lambda job: replace(PINNED, detector=Broken()))
    assert (outcome.verdict, outcome.fault, outcome.error) == (
        VerdictCode.NOT_JUDGED,
        Fault.JUDGE,
        "the score is nan",
    )


def test_a_picture_that_equals_the_one_before_is_not_judged() -> None:
    found = judged([grey_frame(60), grey_frame(60), grey_frame(61), grey_frame(60)])
    assert [each.fault for each in found] == [Fault.NONE, Fault.FROZEN, Fault.NONE, Fault.NONE]
    unwatched = judged([grey_frame(60), grey_frame(60)], watch_frozen=False)
    assert [each.fault for each in unwatched] == [Fault.NONE, Fault.NONE]


@pytest.mark.parametrize(("grey", "word"), [(0, "black"), (2, "black"), (253, "white"), (255, "white")])
def test_a_black_or_white_picture_is_not_judged(grey: int, word: str) -> None:
    (outcome,) = judged([grey_frame(grey)])
    assert (outcome.verdict, outcome.fault) == (VerdictCode.NOT_JUDGED, Fault.PICTURE)
    assert f"the picture is {word}" in outcome.error


def test_a_part_that_was_taught_black_is_judged() -> None:
    dark = Pinned(ONE, Brightness(), {"brightness": Limit(0.0, 20.0, (0.0, 5.0))}, "cafe")
    (outcome,) = judged([grey_frame(1)], lambda job: dark)
    assert outcome.verdict is VerdictCode.PASS


def test_whatever_is_raised_is_not_judged() -> None:
    def gone(job: Job) -> Pinned:
        raise KeyError("job 1 has another category by now")

    (outcome,) = judged([grey_frame(60)], gone)
    assert (outcome.verdict, outcome.fault) == (VerdictCode.NOT_JUDGED, Fault.JUDGE)
    (unusable,) = judged([Frame("test", 0, 0.0, np.zeros((2, 2, 7), np.uint8))])
    assert (unusable.verdict, unusable.fault) == (VerdictCode.NOT_JUDGED, Fault.PICTURE)
