"""A plugin of pytest for `make gpu-check`: a line of JSON for each test, as it comes, in the file GPU_CHECK_ROWS.

First the names of all, then {"started": name} and {"name", "outcome", "reason", "seconds", "figures"} of each: of a
process that is killed there is so what it had done, what it was at, and what it had not begun.
"""

import json
import os

import pytest

OUTCOMES = {"passed": "measured", "failed": "failed", "skipped": "skipped"}


def write(line: dict) -> None:
    with open(os.environ["GPU_CHECK_ROWS"], "a", encoding="utf-8") as rows:
        rows.write(json.dumps(line) + "\n")


def title(nodeid: str) -> str:
    """The test's name as words."""
    return nodeid.partition("::")[2].removeprefix("test_").replace("_", " ")


def reason(report: pytest.TestReport) -> str:
    """Why a test failed or was skipped, in a line."""
    if report.passed:
        return ""
    skipped = isinstance(report.longrepr, tuple)
    crash = getattr(report.longrepr, "reprcrash", None)
    said = report.longrepr[2].removeprefix("Skipped: ") if skipped else crash.message if crash else str(report.longrepr)
    return said.strip().split("\n")[0]


def pytest_collection_finish(session: pytest.Session) -> None:
    write({"planned": [title(item.nodeid) for item in session.items]})


def pytest_runtest_logstart(nodeid: str) -> None:
    write({"started": title(nodeid)})


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """One line a test: of its call, or of what kept it from one, or of what went wrong behind it."""
    if report.when == "call" or not report.passed:
        figures = dict(report.user_properties)
        row = {"name": title(report.nodeid), "outcome": OUTCOMES[report.outcome], "reason": reason(report)}
        write({**row, "seconds": report.duration, "figures": figures})
