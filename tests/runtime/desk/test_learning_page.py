"""What the pages of learning ask of the desk, with the roles that may, and without a browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regad.runtime.desk.learning import work
from regad.runtime.desk.learning.photos import MOST, Photos, meter_of
from regad.runtime.errors import InputError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.spec import InputSpec
from regad.runtime.imaging.reading import read_picture
from regad.runtime.station.config_job import JobSettings
from regad.runtime.station.installed import Installed, Wish
from regad.runtime.station.scene import Scene

from ..run_doubles import ARTIFACT, category
from .learning_desk import learning_desk, show
from .learning_doubles import grey
from .web_doubles import Client, Desk


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with learning_desk(tmp_path_factory.mktemp("learning")) as desk:
        yield desk


def until(client: Client, path: str, state: str) -> dict[str, Any]:
    """Ask until a proposal is in that state: the desk works it out meanwhile."""
    end = time.monotonic() + 20
    while (found := client.get(path))["state"] == "working" and time.monotonic() < end:
        pass
    assert found["state"] == state, found
    return dict(found)


def test_an_operator_reviews_and_may_not_propose(desk: Desk, operator: Client) -> None:
    queue = operator.get("/api/v1/review?order=threshold&limit=2")
    assert [part["id"] for part in queue["parts"]] == [41, 42] and queue["more"]
    assert operator.post("/api/v1/labels/41", {"value": "good"}).status == 200
    assert [part["id"] for part in operator.get("/api/v1/review?order=threshold")["parts"]] == [42, 43, 44, 45]
    assert operator.post("/api/v1/labels", {"value": "good", "parts": [42, 43]}).json == {"labels": 2}
    assert [one for one in desk.line.asked if one["command"] == "label"][-1] == {
        **{"command": "label", "by": "operator", "inspection": 43, "value": "good", "note": ""},
    }
    for method, path in [("GET", "threshold?job=1"), ("POST", "proposals"), ("POST", "teach/photos"), ("GET", "teach")]:
        assert operator.ask(method, f"/api/v1/{path}").status == 403, path
    assert operator.post("/api/v1/challenge/release", {"job": 1}).status == 403


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("labels/44", {"value": "bad"}),
        ("labels/44", {}),
        ("labels/x", {"value": "good"}),
        ("labels", {"value": "good", "parts": []}),
        ("labels", {"value": "good", "parts": list(range(1, 300))}),
    ],
)
def test_a_label_that_cannot_be_is_refused_in_one_line(operator: Client, path: str, body: dict[str, Any]) -> None:
    answer = operator.post(f"/api/v1/{path}", body)
    assert answer.status == 400 and "\n" not in answer.json["error"]


def test_the_image_to_flicker_against_is_a_picture_with_its_name(operator: Client) -> None:
    answer = operator.ask("GET", "/api/v1/parts/44/nearest")
    assert answer.status == 200 and answer.headers["x-regad-taught"] == "0" and answer.headers["x-regad-name"].isdigit()
    assert answer.body.startswith(b"\x89PNG")


def test_the_effect_of_a_threshold_is_told_with_what_changes_sides(engineer: Client, operator: Client) -> None:
    operator.post("/api/v1/labels/41", {"value": "good"})
    found = engineer.get("/api/v1/threshold?job=1")
    assert found["limit"] == 10.0 and len(found["scores"]) >= 45 and found["versions"][0]["active"]
    effect = engineer.get("/api/v1/threshold/effect?job=1&threshold=11.1")
    assert [change[0] for change in effect["changes"]] == [41]
    assert effect["rejects"]["low"] <= effect["rejects"]["share"]
    for wrong in ("0", "x", "inf", "nan", ""):
        assert engineer.ask("GET", f"/api/v1/threshold/effect?job=1&threshold={wrong}").status == 400
    assert engineer.ask("GET", "/api/v1/threshold?job=9").status == 400


def test_a_proposal_is_approved_and_taken_back(tmp_path: Path) -> None:
    with learning_desk(tmp_path) as desk:
        engineer = desk.client("engineer")
        engineer.post("/api/v1/labels/41", {"value": "good"})
        engineer.post("/api/v1/labels/45", {"value": "defect"})
        number = engineer.post("/api/v1/proposals", {"job": 1, "kind": "threshold", "threshold": 19.0}).json["id"]
        refused = until(engineer, f"/api/v1/proposals/{number}", "refused")
        assert refused["report"]["escapes"] == [45]
        assert engineer.post(f"/api/v1/proposals/{number}/approve").status == 400
        number = engineer.post("/api/v1/proposals", {"job": 1, "kind": "threshold", "threshold": 11.1}).json["id"]
        until(engineer, f"/api/v1/proposals/{number}", "ready")
        assert engineer.post(f"/api/v1/proposals/{number}/approve").json["approved_by"] == "engineer"
        now, before = engineer.get("/api/v1/threshold?job=1")["versions"]
        assert now["threshold"] == pytest.approx(11.1) and now["active"]
        assert engineer.post(f"/api/v1/versions/{before['id']}/restore", {"job": 1}).status == 200
        assert engineer.get("/api/v1/threshold?job=1")["limit"] == 10.0
        assert engineer.post("/api/v1/proposals", {"job": 1, "kind": "other"}).status == 400


def test_a_new_job_is_taught_by_photos_under_a_free_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Artifact, "open", lambda path, verify=True: ARTIFACT)
    monkeypatch.setattr(work, "teach_inputs", lambda model, inputs, spec, **more: category(more["files"]))
    with learning_desk(tmp_path) as desk:
        engineer = desk.client("engineer")
        assert engineer.get("/api/v1/jobs") == [{"number": 1, "name": "one", "settings": None}]
        assert engineer.get("/api/v1/teach")["new"] == {"deadline_ms": 1000, "challenge_every_h": None}
        for value in (80, 90):
            show(desk, value, time.monotonic_ns())
            end = time.monotonic() + 20
            while engineer.post("/api/v1/teach/photos", {"job": 0}).status != 200 and time.monotonic() < end:
                show(desk, value, time.monotonic_ns())
        learn = {"job": 1, "name": "gear"}
        taken = engineer.post("/api/v1/teach/learn", learn)
        assert taken.status == 400 and "job 1 is there already (one)" in taken.json["error"]
        settings = {"deadline_ms": 400, "challenge_every_h": 8.0}
        own = engineer.post("/api/v1/teach/learn", {"job": 1, "settings": settings})
        assert own.status == 400 and "job 1 is in station.toml; set its deadline" in own.json["error"]
        for wrong in ({"deadline_ms": 0}, {"challenge_every_h": -1}, {"deadline": 1}, {"deadline_ms": 1.5}):
            assert engineer.post("/api/v1/teach/learn", {**learn, "job": 7, "settings": wrong}).status == 400
        number = engineer.post("/api/v1/teach/learn", {**learn, "job": 7, "settings": settings}).json["id"]
        found = until(engineer, f"/api/v1/proposals/{number}", "ready")
        assert found["base"] == 0 and found["wanted"]["name"] == "gear"
        assert engineer.post(f"/api/v1/proposals/{number}/approve").status == 200
        (asked,) = [one for one in desk.line.asked if one["command"] == "install"]
        assert (asked["job"], asked["name"], asked["sha256"]) == (7, "gear", found["sha256"])
        assert asked["settings"] == settings == found["wanted"]["settings"]
        put = JobSettings(deadline_ms=400, challenge_every_h=8.0)
        wish = Wish(7, found["sha256"], None, None, "engineer", "", 1.8e9, name="gear", settings=put)
        Installed(tmp_path / "trace").put(None, wish)  # as the line does
        assert engineer.get("/api/v1/jobs")[1] == {"number": 7, "name": "gear", "settings": settings}
        assert engineer.get("/api/v1/teach")["new"]["challenge_every_h"] == 8.0, "as the other jobs"
        assert engineer.post("/api/v1/proposals", {"job": 8, "kind": "threshold", "name": "x"}).status == 400


def test_without_a_live_picture_teaching_says_so(engineer: Client) -> None:
    answer = engineer.post("/api/v1/teach/photos", {"job": 1, "roi": None})
    assert answer.status == 503 and "no live picture" in answer.json["error"]
    new = {"deadline_ms": 1000, "challenge_every_h": None}
    assert engineer.get("/api/v1/teach") == {"photos": [], "most": MOST, "roi": None, "warnings": [], "new": new}


def test_photos_are_cut_out_anew_when_the_region_changes_and_named_when_they_are_alike() -> None:
    scene, photos = Scene(3), Photos()
    first = scene.picture()
    for picture in (first, first, scene.picture()):
        photos.take(picture, InputSpec())
    assert [warning for warning in photos.warnings() if "almost" in warning] == [
        "photo 2 is almost photo 1: take another good part, or place it anew"
    ]
    photos.remove(2)
    photos.take(scene.picture(), InputSpec(roi=(10, 10, 224, 224)))
    assert np.array_equal(photos.one(1).input, first[10:234, 10:234]) and photos.roi == (10, 10, 224, 224)
    assert [photo.number for photo in photos.all()] == [1, 3, 4]
    with pytest.raises(InputError, match="there is no photo 2"):
        photos.one(2)
    with pytest.raises(InputError):
        photos.take(first, InputSpec(roi=(200, 200, 224, 224)))
    for _ in range(MOST - 3):
        photos.take(first, InputSpec(roi=(10, 10, 224, 224)))
    with pytest.raises(InputError, match="16 photos are enough"):
        photos.take(first, InputSpec(roi=(10, 10, 224, 224)))
    photos.remove()
    assert photos.all() == []


def test_the_meter_measures_the_region_alone() -> None:
    frame = np.zeros((100, 200, 3), np.uint8)
    frame[:, 100:] = 255
    left, right = (meter_of(frame, InputSpec(roi=(x, 0, 100, 100))) for x in (0, 100))
    assert (left.brightness, left.black, left.white, left.focus) == (0.0, 1.0, 0.0, 0.0)
    assert (right.brightness, right.black, right.white) == (255.0, 0.0, 1.0)
    assert (left.width, left.height) == (200, 100)


def test_drift_and_challenge_are_told(engineer: Client) -> None:
    end = time.monotonic() + 20
    while (found := engineer.get("/api/v1/drift?job=1"))["parts"] < 45 and time.monotonic() < end:
        pass
    assert found["finding"] is None and [chart["learnt"] for chart in found["charts"]][1] == found["parts"]
    state = engineer.get("/api/v1/challenge")
    assert state["step"] == "none" and state["hold"] == "" and state["history"] == []
    assert state["held"] is None and not state["planned"]
    assert engineer.post("/api/v1/challenge/begin").json["step"] == "good", "by hand"
    assert engineer.post("/api/v1/challenge/cancel").json["step"] == "clear"
    assert engineer.post("/api/v1/challenge/release", {}).status == 400


def test_a_desk_that_does_not_learn_says_so(tmp_path: Path) -> None:
    from .web_doubles import desk_of

    with desk_of(tmp_path) as desk:
        answer = desk.client("engineer").ask("GET", "/api/v1/proposals")
        assert answer.status == 503 and answer.json["error"] == "the pages for learning are not running at this desk"


def test_a_taught_image_is_kept_without_loss(tmp_path: Path) -> None:
    from regad.runtime.desk.learning.records import LearningTrace
    from regad.runtime.desk.learning.taught import TaughtImages

    from .learning_doubles import Recorded

    with LearningTrace(Recorded(tmp_path).done()) as trace:
        images = TaughtImages(tmp_path, trace)
        name = images.keep(grey(77))
        assert np.array_equal(read_picture(tmp_path / "taught" / f"{name}.png").image, grey(77))
