"""Drift: the charts' known run lengths, and a replay of drawn parts that is darkened, blurred or left alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from regad.runtime.desk.learning.control_charts import DECISION, LEARNT, Reference, ShiftChart
from regad.runtime.desk.learning.drift import Drift, Finding, Measured, RejectRate
from regad.runtime.desk.learning.drift_service import CALM, DriftService, drift_section
from regad.runtime.desk.service import Surroundings
from regad.runtime.errors import InputError
from regad.runtime.imaging.presence import measure
from regad.runtime.station.scene import Scene

from .learning_doubles import JOB, Link, Recorded, another, config_of

Picture = NDArray[np.uint8]


def as_taken(picture: Picture) -> Picture:
    return picture


def darker(picture: Picture) -> Picture:
    return (picture * 0.9).astype(np.uint8)


def blurred(picture: Picture) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.0), np.uint8)


@pytest.fixture(scope="module")
def photos() -> list[Picture]:
    """Drawn parts as the encoder sees them; the camera crops."""
    scene = Scene(5)
    return [np.ascontiguousarray(scene.picture()[16:240, 16:240]) for _ in range(60)]


def parts(
    photos: list[Picture], count: int, change: Callable[[Picture], Picture], worse: float = 0.0, first: int = 1
) -> Iterator[Measured]:
    """Parts as the trace has them; scores are drawn, ``worse`` is added to their logarithm."""
    rng = np.random.default_rng(first)
    seen = [measure(change(photo)) for photo in photos]
    for number in range(count):
        light = seen[int(rng.integers(len(seen)))]
        score = math.exp(worse + 0.12 * rng.standard_normal())
        yield Measured(first + number, score, light.brightness, light.detail, True, score < 1.5)


def after(drift: Drift, more: Iterator[Measured]) -> tuple[Finding | None, int]:
    """The first finding and after how many parts it came."""
    for number, part in enumerate(more, 1):
        drift.add(part)
        if (found := drift.finding()) is not None:
            return found, number
    return None, 0


@pytest.fixture
def learnt(photos: list[Picture]) -> Drift:
    drift = Drift()
    assert after(drift, parts(photos, LEARNT, as_taken)) == (None, 0)
    return drift


def test_undisturbed_parts_raise_no_alarm(learnt: Drift, photos: list[Picture]) -> None:
    assert after(learnt, parts(photos, 3000, as_taken, first=LEARNT + 1)) == (None, 0)


def test_darker_pictures_are_named_light_within_twenty_parts(learnt: Drift, photos: list[Picture]) -> None:
    found, number = after(learnt, parts(photos, 100, darker, worse=0.3, first=900))
    assert found is not None and number <= 20
    for part in parts(photos, 40, darker, worse=0.3, first=1000):
        learnt.add(part)
    final = learnt.finding()
    assert final is not None and final.cause == "light"
    assert "brightness fell from" in final.text and "exposure" in final.remedy
    assert "sharpness" not in final.text, "less light is no blur"


def test_blurred_pictures_are_named_focus_within_twenty_parts(learnt: Drift, photos: list[Picture]) -> None:
    found, number = after(learnt, parts(photos, 100, blurred, worse=0.1, first=900))
    assert found is not None and number <= 20
    assert found.cause == "focus" and "sharpness fell" in found.text


def test_scores_that_move_alone_are_named_parts(learnt: Drift, photos: list[Picture]) -> None:
    found, number = after(learnt, parts(photos, 200, as_taken, worse=0.12, first=900))
    assert found is not None and number <= 80
    assert found.cause == "parts" and "scores of good parts rose" in found.text
    assert found.since == 900 + number - 1


def test_an_alarm_ends_when_the_cause_is_gone(learnt: Drift, photos: list[Picture]) -> None:
    for part in parts(photos, 100, darker, first=900):
        learnt.add(part)
    assert learnt.finding() is not None
    for part in parts(photos, 100, as_taken, first=1100):
        learnt.add(part)
    assert learnt.finding() is None


def test_more_rejects_than_chance_gives_are_a_finding(learnt: Drift, photos: list[Picture]) -> None:
    for part in parts(photos, 100, as_taken, first=900):
        learnt.add(part._replace(good=part.inspection % 4 > 0, passed=part.inspection % 4 > 0))
    found = learnt.finding()
    assert found is not None and found.cause == "parts"
    assert "25% of the last 100 parts did not pass, usual is up to 5%" in found.text


def test_a_usual_rate_of_rejects_is_none() -> None:
    rate, rng = RejectRate(), np.random.default_rng(0)
    odd = 0
    for _ in range(20_000):
        rate.add(bool(rng.random() > 0.05))
        odd += rate.odd
    assert odd == 0


def test_validation_scores_say_what_is_usual_from_the_first_part_on() -> None:
    rng = np.random.default_rng(1)
    drift = Drift([math.exp(0.1 * value) for value in rng.standard_normal(40)])
    assert drift.chart("score") is not None and drift.learnt("score") == LEARNT
    worse = (Measured(i, 1.5, None, None, True, True) for i in range(1, 50))
    found, number = after(drift, worse)
    assert found is not None and number < 15


def test_a_defect_is_no_good_parts_score_and_a_missing_measure_is_passed_over() -> None:
    part = Measured(1, 3.0, None, None, False, False)
    assert [part.value(name) for name in ("score", "brightness", "sharpness")] == [None] * 3  # type: ignore[arg-type]
    drift = Drift()
    drift.add(part)
    assert drift.parts == 1 and drift.learnt("score") == 0 and drift.points("score") == []


def test_the_chart_is_as_fast_as_its_source_says() -> None:
    """A shift by 2 standard deviations: the textbook's run lengths for these parameters are 7 (EWMA) and 9 (CUSUM)."""
    rng = np.random.default_rng(2)
    lengths = []
    for _ in range(100):
        chart = ShiftChart(Reference(0.0, 1.0, 10_000))
        count = 0
        while not chart.direction:
            chart.add(float(rng.standard_normal()) + 2)
            count += 1
        lengths.append(count)
    assert 6 < np.mean(lengths) < 10


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50), st.lists(st.floats(-1e9, 1e9), max_size=50))
def test_no_values_break_a_chart(usual: list[float], values: list[float]) -> None:
    chart = ShiftChart(Reference.of(usual))
    for value in values:
        chart.add(value)
        assert abs(chart.cusum) <= 2 * DECISION and abs(chart.ewma) <= 4.0
        assert chart.direction in (-1, 0, 1) and math.isfinite(chart.now)


def test_one_odd_part_is_no_shift() -> None:
    chart = ShiftChart(Reference(0.0, 1.0, LEARNT))
    chart.add(1e6)
    assert chart.direction == 0


def drifted(recorded: Recorded) -> None:
    """A job whose light has changed after what is usual was learnt."""
    rng = np.random.default_rng(4)
    for _ in range(LEARNT):
        recorded.part(80, input=None, mean=100 + float(rng.normal()), sharp=5.0)
    for _ in range(30):
        recorded.part(80, input=None, mean=90 + float(rng.normal()), sharp=4.5)


def service_of(recorded: Recorded, link: Link) -> DriftService:
    """A service that has caught up with the trace."""
    assert recorded.trace.flushed(recorded.seq, 20)
    around = Surroundings(config_of(recorded), recorded.folder, link, None, print)  # type: ignore[arg-type]
    made = DriftService(around)
    caught_up(made)
    return made


def caught_up(service: DriftService) -> None:
    while service.look():
        pass


def test_the_service_follows_the_version_in_force_and_names_what_moved(tmp_path: Path) -> None:
    recorded, link = Recorded(tmp_path), Link()
    drifted(recorded)
    service = service_of(recorded, link)
    recorded.done()
    (finding,) = service.findings().values()
    assert finding.cause == "light" and not service.health().ok
    shown = service.charts(JOB)
    assert shown["parts"] == LEARNT + 30 and [chart["name"] for chart in shown["charts"]][1] == "brightness"
    assert shown["charts"][1]["moved"] == -1 and shown["charts"][1]["low"] < 100 < shown["charts"][1]["high"]
    assert service.charts(9)["parts"] == 0
    assert drift_section(service)(None) == {  # type: ignore[arg-type]
        "drift": [{"job": JOB, "cause": "light", "text": finding.text}]
    }


def test_a_finding_and_its_end_are_told_once_also_over_a_restart(tmp_path: Path) -> None:
    recorded, link = Recorded(tmp_path), Link()
    drifted(recorded)
    service = service_of(recorded, link)
    ((command, told),) = link.asked
    assert command == "drift" and told["moved"] and told["job"] == JOB
    assert "brightness fell" in told["text"] and "seen at part" in told["text"]
    for _ in range(5):
        recorded.part(80, input=None, mean=90.0, sharp=4.5)
    caught_up(service)
    again = service_of(recorded, link)
    assert len(link.asked) == 1, "neither each part nor a restart tells it again"
    for count in (CALM - 1, 60):
        for _ in range(count):
            recorded.part(80, input=None, mean=100.0, sharp=5.0)
        assert recorded.trace.flushed(recorded.seq, 20)
        caught_up(again)
        assert len(link.asked) == (1 if count < CALM else 2), "one that comes and goes is not over"
    assert not link.asked[1][1]["moved"] and "(light) is where it was" in link.asked[1][1]["text"]
    recorded.done()


def test_a_finding_that_could_not_be_told_is_told_later_and_another_version_ends_it(tmp_path: Path) -> None:
    recorded, link = Recorded(tmp_path), Link()
    drifted(recorded)
    link.refuses = "the line is away"
    with pytest.raises(InputError, match="away"):
        service_of(recorded, link)
    link.refuses = ""
    service = service_of(recorded, link)
    assert [fields["moved"] for _, fields in link.asked] == [True]
    recorded.use(another(), tmp_path / "2.safetensors")
    recorded.part(80, input=None, mean=90.0, sharp=4.5)
    recorded.done()
    caught_up(service)
    assert [fields["moved"] for _, fields in link.asked] == [True, False]
    assert "another version is in use" in link.asked[1][1]["text"]
