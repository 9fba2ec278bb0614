"""The documents say what the code does."""

import re
from pathlib import Path

from doubleback.rl.metrics import METRICS

ROOT = Path(__file__).parent.parent


def test_metrics_table_is_the_one_in_the_code():
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    assert dict(rows) == {name: text.replace("|", r"\|") for name, text in METRICS.items()}
