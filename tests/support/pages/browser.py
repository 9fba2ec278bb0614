"""A real browser for tests: headless Chromium, which notes what a page complains of or asks the network for."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
VIEWS: Mapping[str, Mapping[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "narrow": {"viewport": {"width": 400, "height": 860}, "color_scheme": "light"},
    "print": {"viewport": {"width": 794, "height": 1123}, "color_scheme": "light"},  # A4 at 96 dots per inch
}
"""Ways to look at a page: what a context of the browser is made with."""


def find_chromium() -> str | None:
    """The browser that CHROMIUM names, or the first on the path; None where there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def require_chromium() -> str:
    """The browser; without one the test is skipped, or fails where scripts/browser.sh could have installed it."""
    found = find_chromium()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        pytest.fail("there is no Chromium; scripts/browser.sh installs one, and make test calls it")
    if found is None:
        pytest.skip("there is no Chromium, and no root with apt-get to install one; CHROMIUM can point at one")
    return found


@contextmanager
def open_browser(executable: str) -> Iterator[Browser]:
    """The browser, closed at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable)
        try:
            yield browser
        finally:
            browser.close()


@dataclass(slots=True)
class Watched:
    """A page, and what it did that a self-contained one does not."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    """Errors and warnings of the console, exceptions that nobody caught, what the content security policy refused."""
    requests: list[str] = field(default_factory=list)
    """Addresses that the page asked for, its own file apart, as the DevTools protocol reports them."""


@contextmanager
def opened(browser: Browser, path: Path, view: str = "light", **options: Any) -> Iterator[Watched]:
    """The page of a file, opened from disk in one of `VIEWS` and watched from before its first byte."""
    context = browser.new_context(**{**VIEWS[view], **options})
    page, address = context.new_page(), path.resolve().as_uri()
    watched = Watched(page)
    page.on("console", lambda line: watched.complaints.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    protocol = context.new_cdp_session(page)
    protocol.send("Network.enable")

    def note(event: Mapping[str, Any]) -> None:
        if event["request"]["url"] != address:
            watched.requests.append(event["request"]["url"])

    protocol.on("Network.requestWillBeSent", note)
    try:
        page.goto(address)
        page.emulate_media(media="print" if view == "print" else None)  # after the page is there: before, it is lost
        yield watched
    finally:
        context.close()
