"""The pages as people meet them, in a browser, at a line that answers as a test wants it to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import pytest

from regad.runtime.station.tokens import tokens_path

from .browser import chromium, opened, said, until
from .web_doubles import PASSWORD, Client, Desk, desk_of, part_with_pictures, recorded

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

EVIL = "<img src=x onerror=alert(1)>"
LIT = """[...document.querySelector(".shown canvas").getContext("2d").getImageData(0, 0, 448, 448).data]
    .some(value => value > 0 && value < 255)"""
NAMELESS = """all => all.filter(e => !(e.innerText || e.getAttribute("aria-label") || e.labels?.length || e.value))
    .map(e => e.outerHTML)"""


def nameless(page: Page, selector: str) -> list[str]:
    """The controls without a name; what is being loaded is waited for, and has its name once it is there."""
    for _ in range(100):
        found: list[str] = page.locator(selector).evaluate_all(NAMELESS)
        if not found:
            break
        page.wait_for_timeout(50)
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    recorded(
        folder,
        part_with_pictures(1, serial="A1"),
        part_with_pictures(2, serial=EVIL, verdict=2, output=2, score=3.0),
        part_with_pictures(3, serial="A3", verdict=3, output=2, score=1.9, warn=True),
        part_with_pictures(4, serial="A4", verdict=4, output=4, score=None, map=None, error="no frame", reason=""),
        part_with_pictures(5, serial="A5", score=0.5),
    )
    (folder / "station.toml").write_text('[station]\nname = "s1"\n')
    with desk_of(folder) as desk:
        yield desk


def test_who_is_not_logged_in_sees_the_login_and_what_was_wrong(browser: Browser, desk: Desk) -> None:
    with opened(browser, desk.page.port) as page:
        page.get_by_label("Name").fill("operator")
        page.get_by_label("Password").fill("wrong password")
        page.keyboard.press("Enter")
        said(page, "[role=alert]", "the name or the password is wrong")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.locator(".verdict").wait_for()
        assert page.locator("nav a").all_inner_texts()[0] == "Line"
        assert "I/O" not in page.locator("nav a").all_inner_texts(), "an operator has no I/O page"
        page.get_by_role("button", name="Log out").click()
        page.get_by_label("Name").wait_for()
        page.goto("/#/trace")
        page.get_by_label("Name").wait_for()


def test_the_line_shows_verdict_picture_rejects_and_counts(browser: Browser, desk: Desk, engineer: Client) -> None:
    with opened(browser, desk.page.port, engineer) as page:
        said(page, ".verdict", "PASS")
        said(page, ".verdict", "25 % of the threshold, A5")
        assert page.locator(".verdict.good svg circle").count() == 1, "a pass is a disc with a tick"
        said(page, ".verdict", "Shadow: no verdict is put out")
        until(page, "document.querySelectorAll('.rejects li img').length === 3")
        assert page.locator(".rejects li").all_inner_texts()[0].startswith("NOT JUDGED")
        said(page, ".counts", "1: plate")
        until(page, LIT)
        for key, name in (("h", "Heat map"), ("l", "Live")):
            button = page.get_by_role("button", name=name)
            before = button.get_attribute("aria-pressed")
            page.keyboard.press(key)
            assert button.get_attribute("aria-pressed") != before
        said(page, ".age", "No picture")
        assert "old" in (page.locator(".shown").get_attribute("class") or ""), (
            "a live picture that does not come is grey"
        )


def test_an_alarm_names_its_remedy_and_an_operator_resets_what_may_be_reset(browser: Browser, desk: Desk) -> None:
    quiet = dict(desk.line.image)
    try:
        with opened(browser, desk.page.port, desk.client("operator")) as page:
            desk.line.image = {**quiet, "state": "FAULT", "fault": "FROZEN", "flags": 8}
            said(page, ".alarms", "The camera gives the same picture again and again")
            said(page, ".alarms", "Restart the camera, then reset.")
            said(page, ".alarm.mild", "Records wait for the disk")
            desk.line.asked.clear()
            with page.expect_response("**/api/v1/command/reset"):
                page.get_by_role("button", name="Reset faults").click()
            desk.line.image = {**quiet, "state": "SETUP"}
            said(page, ".verdict", "NOT STARTED")
            said(page, ".alarms", "An engineer starts it")
            assert page.get_by_role("button", name="Start").count() == 0
            desk.line.image = {**quiet, "fault": "CAMERA", "state": "FAULT"}
            said(page, ".alarms", "Check cable, power and switch")
            assert page.get_by_role("button", name="Reset faults").count() == 0, "it ends by itself"
        assert {"command": "reset"} in desk.line.asked
    finally:
        desk.line.image = quiet


def test_a_page_that_loses_the_desk_says_that_it_is_old(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("lost")
    with desk_of(folder) as desk, opened(browser, desk.page.port, desk.client("viewer")) as page:
        page.locator(".verdict").wait_for()
        desk.page.close()
        said(page, ".banner", "Not connected: what you see is old")
        said(page, ".verdict", "NO STATION")


def test_a_job_is_changed_by_pressing_twice(browser: Browser, desk: Desk) -> None:
    quiet = dict(desk.line.image)
    desk.line.image = {**quiet, "job": 0, "state": "IDLE"}
    try:
        with opened(browser, desk.page.port, desk.client("operator"), place="/#/job") as page:
            page.get_by_role("button", name="Change to this job").click()
            with page.expect_response("**/api/v1/command/job"):
                page.get_by_role("button", name="Press again to change").click()
            said(page, ".notice", "Job 1 is asked for")
            desk.line.image = quiet
            said(page, ".page", "in force")
        assert {"command": "job", "number": 1} in desk.line.asked
    finally:
        desk.line.image = quiet


def test_parts_are_searched_looked_at_and_judged_again(browser: Browser, desk: Desk, engineer: Client) -> None:
    with opened(browser, desk.page.port, engineer, place="/#/trace") as page:
        until(page, "document.querySelectorAll('tbody tr').length === 5")
        page.get_by_label("Verdict").select_option("rejects")
        page.get_by_role("button", name="Search").click()
        until(page, "document.querySelectorAll('tbody tr').length === 3")
        page.get_by_label("Verdict").select_option("REJECT")
        page.keyboard.press("Tab")
        page.get_by_label("Serial").press("Enter")
        until(page, "document.querySelectorAll('tbody tr').length === 1")
        said(page, "tbody", EVIL)
        page.get_by_role("link", name="#2").click()
        said(page, "dl", "3.0000 = 150 %")
        said(page, "dl", EVIL)
        assert page.evaluate("document.images.length") == 0, "what a serial says is not read as HTML"
        with page.expect_download() as download:
            page.get_by_role("link", name="Download as zip").click()
        assert download.value.suggested_filename == "part-2.zip"
        page.get_by_role("link", name="Back to the search").click()
        page.get_by_role("link", name="Judge again").click()
        page.get_by_label("Threshold").fill("1")
        page.get_by_role("button", name="Judge", exact=True).click()
        said(page, "[role=status]", "4 judged, 2 verdicts change")
        assert page.locator("tbody tr").first.inner_text().split("\t")[:3] == ["#1", "PASS", "REJECT"]


def test_every_word_and_bit_is_shown_as_it_is_and_a_trigger_is_tried(
    browser: Browser, desk: Desk, engineer: Client
) -> None:
    quiet = desk.line.words
    desk.line.words = {"in": [1, 77, *[0] * 12], "out": [0b1_0000_0011, 4711, *[0] * 16, 8, 0]}
    try:
        with opened(browser, desk.page.port, engineer, place="/#/io") as page:
            said(page, ".words", "4711")
            said(page, ".words", "77")
            on = page.locator(".bits li.on").all_inner_texts()
            assert [text.split()[-1] for text in on] == ["ONLINE", "READY", "JOB_OK", "TRACE_BEHIND", "ENABLE"]
            page.get_by_role("button", name="Trigger").click()
            said(page, "[role=status]", "PASS after 5 ms")
    finally:
        desk.line.words = quiet


def test_a_list_of_tokens_that_cannot_be_used_leaves_the_rest_of_the_system_page(browser: Browser, desk: Desk) -> None:
    path = tokens_path(desk.folder / "users.json")
    path.touch(0o600)
    try:
        with opened(browser, desk.page.port, desk.client("engineer"), place="/#/system") as page:
            said(page, "main", "is no list of tokens")
            page.get_by_role("heading", name="Mode").wait_for()
    finally:
        path.unlink()


def test_the_system_is_shown_and_a_password_changed(browser: Browser, desk: Desk) -> None:
    with opened(browser, desk.page.port, desk.client("engineer"), place="/#/system") as page:
        said(page, ".page", "Free on the disk")
        said(page, "pre", '[station]\nname = "s1"')
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").click()
        assert download.value.suggested_filename == "regad-diagnostics.zip"
        page.get_by_label("Current password").fill("wrong")
        page.get_by_label("New password").fill("a new password")
        page.get_by_role("button", name="Set the password").click()
        said(page, ".notice", "the current password is wrong")


def test_a_token_is_made_shown_once_and_revoked(browser: Browser, desk: Desk, engineer: Client) -> None:
    with opened(browser, desk.page.port, engineer, place="/#/system") as page:
        page.get_by_label("Token for").fill("mes")
        page.locator("select[name=role]").select_option("operator")
        page.get_by_label("Days until it ends").fill("30")
        page.get_by_role("button", name="Make a token").click()
        token = page.locator("pre.token").inner_text()
        program = desk.client()
        asked = {"Authorization": f"Bearer {token}"}
        assert program.send("GET", "/api/v1/jobs", headers=asked).status == 200
        page.reload()
        page.get_by_role("button", name="Revoke mes").wait_for()
        said(page, ".card", "0 days ago")
        (made,) = engineer.get("/api/v1/tokens")
        said(page, ".card", datetime.fromtimestamp(made["ends_at"]).strftime("%d/%m/%Y"))
        assert page.locator("pre.token").count() == 0, "it is shown once"
        page.get_by_role("button", name="Revoke mes").click()
        page.get_by_role("button", name="Revoke mes").wait_for(state="detached")  # the log's card says "None yet." too
        said(page, ".card", "None yet.")
        assert program.send("GET", "/api/v1/jobs", headers=asked).status == 401


@pytest.mark.parametrize(
    ("size", "scheme"),
    [((1280, 800), "dark"), ((800, 1280), "light"), ((390, 844), "dark")],
    ids=["10 inch", "tablet", "phone"],
)
def test_every_page_fits_its_screen_and_names_its_controls(
    browser: Browser, desk: Desk, engineer: Client, size: tuple[int, int], scheme: Literal["light", "dark"]
) -> None:
    with opened(browser, desk.page.port, engineer, size=size, scheme=scheme) as page:
        page.locator("nav a").first.wait_for()
        places = page.locator("nav a").evaluate_all("all => all.map(one => one.getAttribute('href'))")
        for place in (*places, "#/trace/2", "#/trace/again"):
            page.goto(f"/{place}")
            page.locator(".page h1, .page h2").first.wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0], place
            assert nameless(page, "button, a, input, select, canvas") == [], place
            assert page.locator("nav a[aria-current=page]").count() == 1


def test_the_whole_line_page_is_within_a_ten_inch_screen(browser: Browser, desk: Desk, engineer: Client) -> None:
    with opened(browser, desk.page.port, engineer) as page:
        page.locator(".rejects img").first.wait_for()
        assert page.evaluate("document.documentElement.scrollHeight") <= 830


def test_the_page_is_used_by_keyboard_alone(browser: Browser, desk: Desk, engineer: Client) -> None:
    with opened(browser, desk.page.port, engineer) as page:
        page.locator(".verdict").wait_for()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "To the content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.keyboard.press("Shift+Tab")
        page.locator("nav a", has_text="Trace").focus()
        page.keyboard.press("Enter")
        said(page, "h1", "Trace")


def test_every_text_that_the_page_asks_for_is_in_the_language_file(browser: Browser, desk: Desk) -> None:
    import re
    from pathlib import Path

    from regad.runtime.desk.web import pictures

    folder = Path(pictures.__file__).with_name("static")
    known = set(re.findall(r'^  "?([\w.]+)"?: "', (folder / "en.js").read_text(), re.MULTILINE))
    for path in folder.rglob("*.js"):
        asked = set(re.findall(r'\bt\("([\w.]+)"', path.read_text()))
        assert asked <= known, path.name
