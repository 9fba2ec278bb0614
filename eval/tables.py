"""Tables for the terminal."""

import math
from typing import Any

from rich.table import Table

LABELS = {
    "verified_backtrack": "verified backtracks",
    "format_rate": "format kept",
    "truncated_rate": "cut off",
    "arithmetic_error_rate": "arithmetic errors",
    "false_check_rate": "false yes/no",
    "mean_tokens": "mean tokens",
}


def before_after(before: dict[str, Any], after: dict[str, Any]) -> Table:
    """Two evaluation summaries of the same suite, value and 95 % interval side by side."""
    title = (
        f"{before['suite']}: {before['num_problems']} problems x {before['n']} samples, 95 % intervals over problems"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("measure")
    for summary in (before, after):
        table.add_column(f"step {summary['step']}", justify="right")
    table.add_column("change", justify="right")
    rows = [(f"pass@{k}", before["pass_at_k"][k], after["pass_at_k"][k]) for k in before["pass_at_k"]]
    rows += [(label, before[name], after[name]) for name, label in LABELS.items() if name in before]
    for label, first, second in rows:
        digits = 1 if label == "mean tokens" else 3
        table.add_row(label, _cell(first, digits), _cell(second, digits), _change(first, second, digits))
    return table


def _cell(estimate: dict[str, float | None], digits: int) -> str:
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    if value is None or low is None or high is None:
        return "-"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _change(first: dict[str, float | None], second: dict[str, float | None], digits: int) -> str:
    values = [math.nan if item["value"] is None else item["value"] for item in (first, second)]
    difference = values[1] - values[0]
    return "-" if math.isnan(difference) else f"{difference:+.{digits}f}"
