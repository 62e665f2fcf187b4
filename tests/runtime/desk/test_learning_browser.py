"""The pages of learning as people meet them, in a browser: review by keys, a line dragged, photos, a challenge."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from regad.runtime.desk.learning.drift import Finding
from regad.runtime.station.codes import Flag

from .browser import chromium, opened
from .learning_desk import learning_desk, show
from .test_page_browser import nameless, said
from .web_doubles import Client, Desk

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with learning_desk(tmp_path_factory.mktemp("learning"), challenge_at_start=True) as desk:
        yield desk


@contextmanager
def camera(desk: Desk) -> Iterator[None]:
    """A camera that gives pictures while it is looked at."""
    ended = threading.Event()

    def run() -> None:
        value = 80
        while not ended.wait(0.05):
            value = 80 + (value - 79) % 20
            show(desk, value, time.monotonic_ns())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_parts_are_reviewed_by_keys_alone(browser: Browser, desk: Desk, engineer: Client) -> None:
    with opened(browser, desk.page.port, engineer, place="/#/review") as page:
        said(page, ".caption", "Part #41")
        page.keyboard.press("g")
        said(page, ".caption", "Part #42")
        page.keyboard.press("f")
        said(page, ".caption", "Most alike good part")
        page.keyboard.press("f")
        page.keyboard.press("Space")
        said(page, ".caption", "Part #43")
        page.keyboard.press("ArrowLeft")
        said(page, ".caption", "Part #42")
        page.keyboard.press("g")
        said(page, ".caption", "Part #43")
        page.keyboard.press("u")
        said(page, ".caption", "Part #44")
        page.keyboard.press("d")
        said(page, ".notice", "#44 is labelled defect")
        assert page.locator(".thumb.good").count() == 2
    labels = [(one["inspection"], one["value"]) for one in desk.line.asked if one["command"] == "label"]
    assert labels == [(41, "good"), (42, "good"), (43, "unsure"), (44, "defect")]


def drag(page: Page, by: float) -> None:
    """Drag the line of the new threshold by so many pixels."""
    grip = page.locator(".marker.drags .grip").bounding_box()
    assert grip is not None
    x, y = grip["x"] + grip["width"] / 2, grip["y"] + 60
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by, y, steps=4)
    page.mouse.up()


def test_a_dragged_threshold_counts_at_once_and_a_proposal_is_refused_or_approved(
    browser: Browser, desk: Desk, engineer: Client
) -> None:
    engineer.post("/api/v1/labels/41", {"value": "good"})
    engineer.post("/api/v1/labels/44", {"value": "defect"})
    with opened(browser, desk.page.port, engineer, place="/#/threshold") as page:
        page.locator(".marker.drags").wait_for()
        drag(page, 2000)  # to the edge: everything would pass
        said(page, ".wrong", "1 parts labelled defect would pass")
        page.get_by_role("button", name="Propose this threshold").click()
        said(page, ".proposal", "refused")
        page.locator("input[type=number]").fill("11.1")
        page.keyboard.press("Tab")
        said(page, ".part table", "passes")
        page.locator(".marker.drags").focus()
        page.keyboard.press("ArrowLeft")
        said(page, "h1", "Threshold")
        assert float(page.locator("input[type=number]").input_value()) == pytest.approx(10.99, abs=0.01)
        page.keyboard.press("ArrowRight")
        page.get_by_role("button", name="Propose this threshold").click()
        page.get_by_role("button", name="Approve and put in force").click()
        said(page, ".notice", "In force from the next part on")
        said(page, ".proposal", "Approved by engineer")
        page.get_by_role("button", name="Go back to it").click()
        page.locator("tr", has=page.locator(".badge.good", has_text="in force")).get_by_text("10.000").wait_for()


def photograph(page: Page, count: int) -> None:
    """Press T until there are ``count`` photos: a press while the page is at work takes none."""
    from playwright.sync_api import TimeoutError as NotYetError

    photo = page.locator(f".strip li:nth-child({count}) img")
    for _ in range(10):
        page.keyboard.press("t")
        with suppress(NotYetError):
            photo.wait_for(timeout=3000)
            return
    pytest.fail(f"photo {count} was not taken")


def test_a_region_is_drawn_and_photos_are_taught(browser: Browser, desk: Desk, engineer: Client) -> None:
    with camera(desk), opened(browser, desk.page.port, engineer, place="/#/teach") as page:
        said(page, ".advice", "Light and focus are good")
        stage = page.locator(".stage").bounding_box()
        assert stage is not None
        page.mouse.move(stage["x"] + 10, stage["y"] + 10)
        page.mouse.down()
        page.mouse.move(stage["x"] + stage["width"] * 0.6, stage["y"] + stage["height"] * 0.8, steps=3)
        page.mouse.up()
        page.locator(".roi").wait_for()
        for count in (1, 2):
            photograph(page, count)
        x, _, width, _ = engineer.get("/api/v1/teach")["roi"]
        assert 0 < x < 20 and width == pytest.approx(0.6 * 320 - x, abs=4), "in pixels of the camera, 320 wide"
        page.get_by_role("button", name="Remove photo 1").click()
        page.get_by_role("button", name="Take at least 2 photos").wait_for()
        page.get_by_role("button", name="Remove all").click()
        page.locator(".strip li").first.wait_for(state="detached")


def test_a_challenge_is_led_through_step_by_step(browser: Browser, desk: Desk, engineer: Client) -> None:
    line = desk.line
    with opened(browser, desk.page.port, engineer, place="/#/challenge") as page:
        said(page, ".what", "the challenge of job 1 is due: the job has begun")
        page.get_by_role("button", name="Begin").click()
        said(page, ".what", "Show the good part now")
        line.recorded.part(70)  # type: ignore[attr-defined]
        said(page, ".what", "Show the bad part now")
        line.recorded.part(180)  # type: ignore[attr-defined]
        said(page, ".what", "Both parts were recognised")
        assert page.locator(".steps li.good").count() == 2
        assert page.locator(".challenge + .card tbody tr").count() == 2
        assert line.image["flags"] == 0
        release = page.get_by_role("button", name="Release the station")
        assert release.is_disabled()
        line.held = {"job": 1, "reason": "a guard is open", "id": "seen"}
        line.image["flags"] = int(Flag.HELD)
        said(page, ".what", "the station is held")  # job 1 is challenged: held is due
        release.click()
        said(page, ".what", "No challenge is due")
        asked = [(one["by"], one["hold_id"]) for one in line.asked if one["command"] == "release"]
        assert asked[-1] == ("engineer", "seen") and None not in dict(asked).values(), "what the page showed"


def test_drift_shows_a_chart_of_each_quantity(browser: Browser, desk: Desk, engineer: Client) -> None:
    for value in (74, 75, 76):
        desk.line.recorded.part(value)  # type: ignore[attr-defined]
    with opened(browser, desk.page.port, engineer, place="/#/drift") as page:
        page.locator(".charts svg").nth(2).wait_for()
        said(page, ".charts", "learning what is usual")
        said(page, ".counts", "Parts watched")


def test_what_has_drifted_is_an_alarm_of_the_line(browser: Browser, desk: Desk, engineer: Client) -> None:
    learning = desk.page._shared["learning"]
    found = Finding(
        "light", 40, "brightness fell from 100 to 90: the light or the exposure has changed", "look at lamps"
    )
    learning.drift.findings = lambda: {1: found, 2: found}
    try:
        with opened(browser, desk.page.port, engineer) as page:
            said(page, ".alarm.mild", "The light has changed")
            said(page, ".alarm.mild", "brightness fell from 100 to 90")
            assert page.locator(".alarm.mild").count() == 1, "of the job in force"
            page.locator(".alarm.mild").get_by_role("link", name="Drift").click()
            said(page, "h1", "Drift")
    finally:
        del learning.drift.findings


@pytest.mark.parametrize("size", [(1024, 768), (390, 800)])
def test_every_page_fits_its_screen_and_names_what_it_shows(
    browser: Browser, desk: Desk, engineer: Client, size: tuple[int, int]
) -> None:
    with opened(browser, desk.page.port, engineer, size=size, scheme="dark") as page:
        for place in ("review", "threshold", "teach", "challenge", "drift"):
            page.goto(f"/#/{place}")
            page.locator(f".page.{place} .card").first.wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0], place
            assert nameless(page, "button:visible, a:visible, input:visible, select:visible") == [], place
