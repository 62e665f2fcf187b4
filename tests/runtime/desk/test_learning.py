"""Review, histogram and threshold: what the page is told of the parts of a trace."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.desk.learning.histogram import effect_of, histogram_of
from regad.runtime.desk.learning.records import LearningTrace, Part
from regad.runtime.desk.learning.taught import TaughtImages
from regad.runtime.errors import InputError
from regad.runtime.formats.prior import Prior
from regad.runtime.formats.threshold import Threshold
from regad.runtime.station.codes import VerdictCode

from .learning_doubles import JOB, Recorded, another, grey, supported


def ids(parts: list[Part]) -> list[int]:
    return [part.id for part in parts]


def test_the_queue_has_what_did_not_pass_without_a_label_the_newest_or_the_nearest_first(recorded: Recorded) -> None:
    recorded.part(90)
    far, near, told = recorded.part(180), recorded.part(101), recorded.part(120, "good")
    late = recorded.part(75, late=True, output=VerdictCode.LATE)
    nothing = recorded.part(5, verdict=VerdictCode.NO_PART, score=None)
    recorded.part(5, verdict=VerdictCode.MISSED, score=None)
    with LearningTrace(recorded.done()) as trace:
        assert ids(trace.aside(JOB, labelled=False, nearest=False, limit=9)) == [nothing, late, near, far]
        assert ids(trace.aside(None, labelled=True, nearest=True, limit=9)) == [near, told, late, far, nothing]
        assert trace.aside(2, labelled=True, nearest=False, limit=9) == []


def test_the_newest_label_counts(recorded: Recorded) -> None:
    part = recorded.part(120, "good")
    recorded.label(part, "defect")
    with LearningTrace(recorded.done()) as trace:
        assert [(one.id, one.label) for one in trace.labelled(JOB)] == [(part, "defect")]
        assert trace.goods(JOB, 10) == []


def test_goods_are_those_that_passed_and_those_that_a_person_says_are_good(recorded: Recorded) -> None:
    passed, cured = recorded.part(90), recorded.part(120, "good")
    recorded.part(91, "defect")
    recorded.part(92, "unsure")
    recorded.part(130)
    bare = recorded.part(93, input=None)
    with LearningTrace(recorded.done()) as trace:
        assert ids(trace.goods(JOB, 10)) == [bare, cured, passed]
        assert ids(trace.goods(JOB, 10, stored=True)) == [cured, passed]


def test_versions_of_one_category_share_their_scores_and_the_newest_is_in_force(recorded: Recorded) -> None:
    first = recorded.part(90)
    recorded.use(replace(recorded.category, threshold=Threshold(12.0, "manual")), recorded.folder / "2.safetensors")
    second = recorded.part(110)
    other = recorded.use(another(), recorded.folder / "3.safetensors")
    third = recorded.part(80)
    with LearningTrace(recorded.done()) as trace:
        found = [(one.threshold, one.active) for one in trace.versions(JOB)]
        assert found == [(10.0, True), (12.0, False), (10.0, False)]
        assert ids(trace.scored(JOB, other, 9)) == [third]
        assert ids(trace.scored(JOB, trace.versions(JOB)[1].hash, 9)) == [second, first]
        assert trace.first_of(trace.version(JOB).id) == third
        assert ids(trace.parts([second, first, first])) == [first, second]
        with pytest.raises(InputError, match="no version 77"):
            trace.version(JOB, 77)
        with pytest.raises(InputError, match="no part of id 99"):
            trace.parts([99])


def test_a_part_flickers_against_the_most_alike_of_the_taught_images(recorded: Recorded) -> None:
    taught = [grey(40), grey(95), grey(200)]
    recorded.use(supported(taught), recorded.folder / "taught.safetensors")
    part = recorded.part(99)
    with LearningTrace(recorded.done()) as trace:
        images = TaughtImages(recorded.folder / "desk", trace)
        for image in taught:
            images.keep(image)
        near = images.nearest(part)
        assert near is not None and near.taught and near.name == "2" and near.distance == pytest.approx(4.0, abs=0.5)
        assert images.of(trace.version(JOB))[1] == 0


def test_without_taught_images_it_flickers_against_the_most_alike_good_part(recorded: Recorded) -> None:
    recorded.part(40)
    like, part = recorded.part(98), recorded.part(120)
    with LearningTrace(recorded.done()) as trace:
        near = TaughtImages(recorded.folder / "desk", trace).nearest(part)
        assert near is not None and not near.taught and near.name == str(like)
        assert np.array_equal(near.image, grey(98))


def test_a_kept_image_that_was_changed_is_not_used(recorded: Recorded) -> None:
    with LearningTrace(recorded.done()) as trace:
        images = TaughtImages(recorded.folder / "desk", trace)
        name = images.keep(grey(50))
        other = images.keep(grey(60))
        folder = recorded.folder / "desk" / "taught"
        (folder / f"{other}.png").replace(folder / f"{name}.png")
        with pytest.raises(InputError, match="was changed"):
            images.find(name)


def part_of(number: int, score: float, label: str | None = None, limit: float = 10.0) -> Part:
    verdict = VerdictCode.PASS if score <= limit else VerdictCode.REJECT
    stored = (None, None, True, False, None, None, None, label)
    return Part(number, 0.0, JOB, 1, verdict, False, score, limit, "", 0, "", *stored)


labels = st.sampled_from([None, "good", "defect", "unsure"])


@given(st.lists(st.tuples(st.floats(0.01, 100), labels), max_size=60), st.floats(0.01, 100))
def test_every_part_is_in_one_bin_and_on_one_side(scored: list[tuple[float, str | None]], threshold: float) -> None:
    parts = [part_of(number, score, label) for number, (score, label) in enumerate(scored, 1)]
    histogram = histogram_of(parts)
    assert sum(sum(each[2:]) for each in histogram.bins) == sum(histogram.counts.values()) == len(parts)
    effect = effect_of(parts, threshold, 10.0)
    assert sum(effect.passed.values()) + sum(effect.above.values()) == len(parts)
    assert all((change.score <= threshold) == change.passes for change in effect.changes)
    sides = {part.id for part in parts if part.label and (part.score <= threshold) != (part.score <= 10.0)}
    assert {change.inspection for change in effect.changes} == sides
    assert (effect.rejects is None) == (effect.good_parts == 0)


def test_a_threshold_says_what_it_cures_and_what_would_escape() -> None:
    parts = [part_of(1, 11.0, "good"), part_of(2, 11.5, "defect"), part_of(3, 15.0), part_of(4, 9.0)]
    effect = effect_of(parts, 12.0, 10.0)
    assert [(change.inspection, change.passes) for change in effect.changes] == [(1, True), (2, True)]
    assert effect.escapes == (2,) and effect.unlabelled == 1 and effect.good_parts == 2
    assert effect.passed == {"good": 1, "defect": 1, "unsure": 0, "passed": 1, "aside": 0}


def test_with_few_parts_the_categorys_own_evidence_counts() -> None:
    taught = Threshold(1.3, "leave-one-out", 0.05, (0.9, 1.0, 1.1, 1.0), prior=Prior(-0.086, 0.092, 0.122))
    alone = effect_of([], 1.3, 1.3, taught).rejects
    assert alone is not None and 0.005 < alone.share < 0.1
    higher = effect_of([], 1.5, 1.3, taught).rejects
    assert higher is not None and higher.share < alone.share


@pytest.mark.parametrize("threshold", [0.0, -1.0, math.inf, math.nan])
def test_what_is_no_threshold_is_refused(threshold: float) -> None:
    with pytest.raises(InputError, match="expected a number above 0"):
        effect_of([], threshold, 10.0)
