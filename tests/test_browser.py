"""The browser of the tests sees what a page must not do, and the pictures that docs are made of are taken with it."""

import subprocess
import sys

import pytest
from support.pages.browser import open_browser, opened, require_chromium
from support.paths import ROOT

PAGE = """<!doctype html><html lang="en"><title>A page</title><p>text</p>
<img src="http://127.0.0.1:1/pixel.png" alt=""><script>console.warn("careless"); nothing.at.all;</script></html>"""


@pytest.mark.slow
def test_what_a_page_says_and_asks_for_is_noted_and_a_picture_is_taken(tmp_path):
    executable = require_chromium()
    page = tmp_path / "page.html"
    page.write_text(PAGE, encoding="utf-8")
    with open_browser(executable) as browser, opened(browser, page) as watched:
        watched.page.wait_for_load_state("networkidle")
    assert watched.requests == ["http://127.0.0.1:1/pixel.png"]
    assert "careless" in watched.complaints
    assert any("nothing is not defined" in line for line in watched.complaints)
    command = [sys.executable, ROOT / "scripts/pictures.py", page, tmp_path / "out", "--only", "dark"]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "out" / "page-dark.png").read_bytes().startswith(b"\x89PNG")
