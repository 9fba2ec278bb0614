"""How evenly the tokens are spread over the experts, along the run and before and after."""

import math
from collections.abc import Sequence

from doubleback.eval.show.tables import BALANCE_LABELS, balance_of
from doubleback.recipes.report.blocks import Block, Charts, Section, Table
from doubleback.recipes.report.charts import Axes
from doubleback.recipes.report.content import RunContent, metric_charts

VIOLATIONS = {
    "experts/max_violation": "largest, mean over layers",
    "experts/worst_violation": "largest, worst layer",
    "experts/mean_violation": "mean",
}
SHARES = {
    "experts/entropy": "entropy, 1 is balanced",
    "experts/largest_share": "busiest expert's share",
    "experts/unused": "experts unused",
}
NONE = "the engine reports no experts, as of a dense model."


def experts(runs: Sequence[RunContent]) -> Section:
    """Violations and shares over the steps, and the tables of the evaluations."""
    charts = [
        *metric_charts(
            runs, "Violation of an even load", VIOLATIONS, Axes(of="(load - mean load) / mean load", limits=(0, None))
        ),
        *metric_charts(runs, "Shares", SHARES, Axes(of="share", limits=(0, 1.02))),
    ]
    tables = [table for run in runs if (table := _before_after(run, len(runs) > 1)) is not None]
    blocks: list[Block] = [*([Charts(charts)] if charts else []), *tables]
    return Section("experts", "Experts", blocks, "" if blocks else NONE)


def _before_after(run: RunContent, is_named: bool) -> Table | None:
    found = [item for suite in ("test", "validation") for item in run.measured(suite) if item.get("experts")]
    of_one = [item for item in found if item["suite"] == found[0]["suite"]]
    if len(of_one) < 2:
        return None
    first, last = of_one[0], of_one[-1]
    sides = [balance_of(first), balance_of(last)]
    rows = [
        (label, *("-" if math.isnan(of[name]) else f"{of[name]:.3f}" for of in sides))
        for name, label in BALANCE_LABELS.items()
    ]
    caption = f"{len(first['experts'])} layers, on the {first['suite']} problems"
    columns = ("measure", f"step {first['step']}", f"step {last['step']}")
    return Table(f"{run.label}: {caption}" if is_named else caption, columns, rows)
