"""The values that rewards speak in."""

import pytest

from doubleback.rewards.types import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError("\n  no such file\nTraceback: more\n"), "no such file"),
        (ValueError("one line"), "one line"),
        (OSError(), "OSError"),  # an index of an empty list would hide the error that is told
        (ValueError(" \n "), "ValueError"),
    ],
)
def test_the_first_line_of_an_error(error, line):
    assert first_line(error) == line
