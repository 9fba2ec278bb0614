"""One browser for the tests of a file."""

import pytest
from support.pages.browser import open_browser, require_chromium


@pytest.fixture(scope="module")
def browser():
    with open_browser(require_chromium()) as browser:
        yield browser
