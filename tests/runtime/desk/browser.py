"""A browser for the tests of the page: Debian's Chromium, without a window, with nothing of its own to tell anybody."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import pytest

from ...needs import absent, require
from .web_doubles import Client

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["chromium", "opened", "said", "until"]

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a profile that is new and empty."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        absent("needs playwright: pip install 'regad[dev]'")
    require("chromium")
    path = shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser,
    port: int,
    client: Client | None = None,
    *,
    size: tuple[int, int] = (1280, 800),
    scheme: Literal["light", "dark"] = "light",
    place: str = "/",
) -> Iterator[Page]:
    """The page in a window of its own, with the session of ``client``. What its scripts complain of is an error."""
    address = f"http://127.0.0.1:{port}"
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, locale="en-GB", base_url=address
    )
    context.set_default_timeout(30_000)
    if client is not None:
        name, _, value = client.cookie.partition("=")
        context.add_cookies([{"name": name, "value": value, "url": address}])
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if "Content Security" in message.text else None)
    try:
        page.goto(place)
        yield page
        assert wrong == []
    finally:
        context.close()


def said(page: Page, selector: str, text: str) -> None:
    """Wait until an element says something."""
    page.locator(selector).get_by_text(text).first.wait_for()


def until(page: Page, expression: str) -> None:
    """Wait until an expression is true. Playwright's own way needs eval, which the page's policy forbids."""
    for _ in range(600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"it never became true: {expression}")
