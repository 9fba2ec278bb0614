"""What the reward is made of: its parts over the steps, their weights, and what they have to do with length."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from doubleback.recipes.report.blocks import Block, Charts, Section, Table
from doubleback.recipes.report.charts import Axes
from doubleback.recipes.report.content import RunContent, metric_charts

PART, WEIGHTED, LENGTH = "reward/part/", "reward/weighted/", "reward/length_correlation/"
NONE = "no completion of a training step has been rewarded."


def rewards(runs: Sequence[RunContent]) -> Section:
    """What each part comes to, and its correlation with length; a table of weights and newest values."""
    names = list(dict.fromkeys(name for run in runs for name in run.names(PART)))
    if not names:
        return Section("rewards", "Reward", [], NONE)
    charts = [
        *metric_charts(
            runs,
            "What each part comes to",
            {"reward/mean": "reward", **{f"{WEIGHTED}{name}": name for name in names}},
            Axes(of="mean, after clip, gate and weight"),
        ),
        *metric_charts(
            runs,
            "Correlation with length",
            {f"{LENGTH}{name}": name for name in names},
            Axes(of="Pearson's, of the raw value with the number of tokens", limits=(-1.05, 1.05), form="{:+.2f}"),
        ),
    ]
    blocks: list[Block] = [Charts(charts), *(_table(run, len(runs) > 1) for run in runs)]
    return Section("rewards", "Reward", blocks)


def _table(run: RunContent, is_named: bool) -> Table:
    steps = [line["step"] for line in run.trained]
    caption = f"Parts at step {steps[-1]}" if steps else "Parts"
    components: Mapping[str, Any] = run.recipe["reward"]["components"]
    rows = [
        (
            name,
            _weight(components.get(name)),
            *(
                _figure(run.newest(f"{group}{name}"), form)
                for group, form in ((PART, ".3f"), (WEIGHTED, ".3f"), (LENGTH, "+.2f"))
            ),
        )
        for name in run.names(PART)
    ]
    judge, combine = run.recipe["reward"]["judge"], run.recipe["reward"]["combine"]
    note = f"Combined as a {combine}." + (f" {judge} gives the verdict." if judge else "")
    columns = ("part", "weight", "raw value", "comes to", "correlation with length")
    return Table(f"{run.label}: {caption}" if is_named else caption, columns, rows, note=note)


def _weight(component: Any) -> str:
    if not isinstance(component, Mapping):
        return "-" if component is None else f"{component:g}"
    gate = component.get("only_if")
    return f"{component['weight']:g}" + (f", only if {gate['component']}" if gate else "")


def _figure(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)
