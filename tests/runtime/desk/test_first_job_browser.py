"""From a new part to live, at the page alone: taught, set as the job, its threshold moved, challenged, and put out.

The line is a real one with a camera and a backend of the tests; what teaches is a stand-in, since the backend knows no
features.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from regad.runtime.desk.learning import work
from regad.runtime.desk.learning.learning import Learning
from regad.runtime.desk.learning.proposals import Proposals
from regad.runtime.desk.link import StationLink
from regad.runtime.desk.service import Health, Surroundings
from regad.runtime.desk.watch import StationWatch
from regad.runtime.desk.web.page import Page as DeskPage
from regad.runtime.formats.artifact import Artifact
from regad.runtime.station.codes import Status
from regad.runtime.station.config import DeskConfig, StationConfig

from ..run_doubles import ARTIFACT, category
from ..station.station_doubles import BAD, Station
from ..station.trace.parts import ask
from .browser import chromium, opened, said
from .test_learning_browser import photograph
from .test_learning_proposals import in_process
from .web_doubles import Client, add_users

if TYPE_CHECKING:
    from playwright.sync_api import Page


class Floor:
    """A station that runs, and its desk's page."""

    def __init__(self, station: Station, port: int) -> None:
        self.station, self.port = station, port

    def parts(self, *greys: int) -> list[str]:
        """Judge parts, and wait until they are on the disk."""
        found = [self.station.part(grey) for grey in greys]
        assert self.station.line.trace.flushed(self.station.line.recorded, 20)
        return found


@pytest.fixture
def floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Floor]:
    monkeypatch.setattr(Artifact, "open", lambda path, verify=True: ARTIFACT)
    monkeypatch.setattr(work, "teach_inputs", lambda model, inputs, spec, **more: category(more["files"]))
    add_users(tmp_path / "users.json")
    tables = {
        "station": StationConfig(name="press", mode="shadow", autostart=True, job=1),
        "desk": DeskConfig(port=0, users=tmp_path / "users.json"),
    }
    station = Station(tmp_path, **tables)
    with ExitStack() as stack:
        stack.enter_context(station.line).start()
        link = stack.enter_context(StationLink(station.config.commands.socket))
        watch = stack.enter_context(StationWatch(link))
        watch.start()
        well = {"page": Health(True, "")}
        around = Surroundings(station.config, tmp_path / "station.toml", link, watch, print, lambda: well)
        (tmp_path / "station.toml").write_text("[station]\n")
        proposals = Proposals(station.config, around.state, link, in_process)
        learning = replace(Learning.of(around), proposals=proposals)
        for service in learning.services():
            service.start()
            stack.callback(service.close)
        page = stack.enter_context(DeskPage(around, {"learning": learning}))
        page.start()
        yield Floor(station, page.port)


def teach_a_new_job(page: Page, floor: Floor) -> None:
    page.goto("/#/teach")
    page.locator(".teach select").select_option("A new job ...")
    page.get_by_label("Name of the part").fill("gear")
    assert page.get_by_label("Job number").input_value() == "3", "the first free one"
    deadline = page.get_by_label("Deadline in ms")
    assert deadline.get_attribute("placeholder") == "20000, the station's" and deadline.input_value() == ""
    deadline.fill("9000")
    assert page.get_by_label("Challenge every ... hours of work").input_value() == ""
    page.locator("h1").click()
    for count in (1, 2):
        photograph(page, count)
    page.get_by_role("button", name="Teach 2 photos").click()
    said(page, ".proposal", "new job 3, gear")
    said(page, ".proposal", "Deadline: 9000 ms. Challenge: never by itself.")
    page.get_by_role("button", name="Approve and put in force").click()
    said(page, ".notice", "Job 3 is there: choose it under Job")
    assert deadline.input_value() == "9000", "of a job of the page it can be changed"
    page.locator(".teach select").select_option("1")
    assert not deadline.is_visible(), "of a job in station.toml it stands there"
    added = floor.station.line.jobs.spec(3)
    assert added is not None and added.deadline_ns == 9_000_000_000
    page.goto("/#/job")
    card = page.locator(".card", has_text="3 gear")
    card.get_by_role("button", name="Change to this job").click()
    card.get_by_role("button", name="Press again to change").click()
    card.get_by_text("in force").wait_for()
    floor.station.until(lambda image: image.job == 3 and Status.READY in image.status)


def move_the_threshold(page: Page, floor: Floor) -> None:
    assert floor.parts(60, 70, 80) == ["NONE"] * 3, "in shadow nothing is put out"
    page.goto("/#/threshold/3")
    page.locator(".marker.drags").wait_for()
    page.locator("input[type=number]").fill("9.5")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Propose this threshold").click()
    page.get_by_role("button", name="Approve and put in force").click()
    said(page, ".notice", "In force from the next part on")
    floor.station.until(lambda image: Status.READY in image.status)


def challenge(page: Page, floor: Floor) -> None:
    page.goto("/#/challenge")
    said(page, ".what", "Job 3 is not asked for a challenge")
    page.get_by_role("button", name="Begin").click()
    said(page, ".what", "Show the good part now")
    floor.parts(60)
    said(page, ".what", "Show the bad part now")
    floor.parts(BAD)
    said(page, ".what", "Both parts were recognised")


def go_live(page: Page, floor: Floor) -> None:
    page.goto("/#/system")
    said(page, ".page", "no verdict is put out")
    page.get_by_text("Switch to live").click()
    confirm = page.get_by_label("To confirm, type the station's name: press")
    confirm.fill("yes")
    page.get_by_role("button", name="Go live").click()
    said(page, ".notice", "to confirm, type the station's name")
    confirm.fill("press")
    page.get_by_role("button", name="Go live").click()
    said(page, ".page", "Live: verdicts are put out.")
    assert floor.parts(60, 97) == ["PASS", "REJECT"], "by the threshold that was moved"


def test_a_new_part_comes_to_live_at_the_page_alone(floor: Floor, tmp_path: Path) -> None:
    engineer = Client(floor.port)
    assert engineer.login("engineer").status == 200
    with chromium() as browser, opened(browser, floor.port, engineer) as page:
        page.locator(".verdict").wait_for()
        for step in (teach_a_new_job, move_the_threshold, challenge, go_live):
            step(page, floor)
        page.goto("/#/line")
        said(page, ".verdict", "REJECT")
        assert page.locator(".verdict .mode").count() == 0, "it does not say shadow any more"
    floor.station.line.close()
    again = Station(tmp_path, config=floor.station.config)
    with again.line:
        again.line.start()
        again.until(lambda image: Status.READY in image.status and Status.SHADOW in image.status)
        again.line.requests.handle({"command": "job", "number": 3})
        again.until(lambda image: image.job == 3 and Status.READY in image.status)
        assert again.part(97) == "NONE" and again.part(60) == "NONE", "after a restart station.toml says shadow"
    trail = ask(tmp_path / "trace", "SELECT user, action FROM audit")
    assert {("engineer", "install job 3"), ("engineer", "mode"), ("engineer", "job")} <= set(trail)
    verdicts = ask(tmp_path / "trace", "SELECT verdict FROM inspection WHERE job = 3 ORDER BY id DESC LIMIT 2")
    assert verdicts == [(1,), (2,)], "by the threshold that was moved, also after the restart"
