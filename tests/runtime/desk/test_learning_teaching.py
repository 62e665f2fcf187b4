"""Proposals that teach: of parts that are labelled good and of photos, never by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from regad.calib import prepared as teaching
from regad.runtime.desk.learning import work
from regad.runtime.desk.learning.proposal import Wanted
from regad.runtime.desk.learning.records import LearningTrace
from regad.runtime.desk.learning.taught import TaughtImages
from regad.runtime.formats.category import Category, SupportImage, load_category
from regad.runtime.formats.threshold import Threshold
from regad.runtime.station.installed import category_path
from regad.runtime.station.trace.files import array_sha256

from ..run_doubles import category
from .learning_doubles import JOB, Recorded, grey, supported
from .test_learning_proposals import proposals


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was taught: the category's threshold is 1 above that of the brightest image."""
    calls: list[dict[str, Any]] = []

    def teach(model: object, inputs: list[Any], spec: object, **options: Any) -> Category:
        calls.append({"inputs": [int(image[0, 1, 0]) for image in inputs], **options})
        limit = max(float(image.mean()) for image in inputs) / 10 + 1
        return replace(category(options["files"]), threshold=Threshold(limit, "validation", 0.05), created=str(limit))

    def teach_rows(model: object, folder: Path, parts: Any, **options: Any) -> Category:
        with LearningTrace(folder) as trace:
            images = [trace.input(part) for part in parts]
        files = tuple(SupportImage(f"part {part}", "0" * 64) for part in parts)
        return teach(model, images, None, **{**options, "files": files})

    monkeypatch.setattr(work, "teach_inputs", teach)
    monkeypatch.setattr(work, "teach_parts", teach_rows)
    return calls


def test_taught_again_with_one_more_image_it_is_judged_on_the_stored_inputs(
    recorded: Recorded, taught: list[dict[str, Any]]
) -> None:
    support = [grey(80), grey(85)]
    recorded.use(supported(support, threshold=Threshold(10.0, "validation", 0.05)), recorded.folder / "s.safetensors")
    cured, passed, far = recorded.part(120, "good"), recorded.part(90), recorded.part(200, "defect")
    folder = recorded.done()
    with LearningTrace(folder) as trace:
        for image in support:
            TaughtImages(folder / "desk", trace).keep(image)
    with proposals(recorded) as (made, link):
        made.open(Wanted(job=JOB, kind="teach", parts=(cured,)), "eve")
        made.wait()
        (found,) = made.all()
        assert found.state == "ready", found.reasons
        (call,) = taught
        assert call["inputs"] == [80, 85, 120] and call["target_frr"] == 0.05
        assert call["files"][2] == SupportImage(f"part {cured}", array_sha256(grey(120)))
        assert [file.name for file in call["validation_files"]] == [f"part {passed}"]
        assert found.report is not None and found.report.cured == (cured,) and found.total == 3
        made.approve(found.id, "eve")
        assert link.asked[0][1]["sha256"] == found.sha256 and link.asked[0][1]["threshold"] is None
        assert load_category(category_path(folder, found.sha256)).threshold.value == pytest.approx(13.0, abs=0.1)
        assert far not in found.report.escapes


@pytest.mark.parametrize("label", [None, "defect", "unsure"])
def test_only_parts_that_are_labelled_good_are_taught(
    recorded: Recorded, taught: list[dict[str, Any]], label: Any
) -> None:
    part = recorded.part(120, label)
    recorded.done()
    with proposals(recorded) as (made, _):
        made.open(Wanted(job=JOB, kind="teach", parts=(part,), afresh=True), "eve")
        made.wait()
        (found,) = made.all()
        assert found.state == "failed" and "only parts that somebody labelled good" in found.reasons[0]
        assert taught == []


def test_photos_that_are_not_on_the_station_are_named_with_the_way_out(
    recorded: Recorded, taught: list[dict[str, Any]]
) -> None:
    recorded.use(supported([grey(80), grey(85)]), recorded.folder / "s.safetensors")
    one, two = recorded.part(120, "good"), recorded.part(121, "good")
    recorded.done()
    with proposals(recorded) as (made, _):
        made.open(Wanted(job=JOB, kind="teach", parts=(one,)), "eve")
        made.wait()
        assert "2 of the 2 photos" in made.one(1).reasons[0] and "teach it again" in made.one(1).reasons[0]
        made.open(Wanted(job=JOB, kind="teach", parts=(one, two), afresh=True), "eve")
        made.wait()
        assert made.one(2).state == "ready", made.one(2).reasons
        assert taught[0]["inputs"] == [120, 121]


def test_teaching_in_the_worker_is_calibs_own() -> None:
    assert work.teach_inputs is teaching.teach_inputs


def test_photos_of_the_page_are_taught_of_their_region_with_their_held_out_scores(
    recorded: Recorded, taught: list[dict[str, Any]]
) -> None:
    recorded.part(90)
    folder = recorded.done()
    with LearningTrace(folder) as trace:
        photos = tuple(TaughtImages(folder / "desk", trace).keep(grey(value)) for value in (80, 85, 90))
    with proposals(recorded) as (made, _):
        made.open(Wanted(job=JOB, kind="photos", photos=photos, roi=(1, 2, 30, 40)), "eve")
        made.wait()
        found = made.one(1)
        assert found.state == "ready", found.reasons
        assert taught[0]["inputs"] == [80, 85, 90] and [one.name for one in taught[0]["files"]][2] == "photo 3"
        made.open(Wanted(job=JOB, kind="photos", photos=photos[:1]), "eve")
        made.wait()
        assert "take at least 2" in made.one(2).reasons[0]
