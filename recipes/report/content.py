"""What the sections are made of: a run's folder, read once.

It may be live, or of a run that crashed: what is on disk now is what the page shows.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from doubleback.eval.summarise import UNDEFINED
from doubleback.recipes.recipe.results import Run
from doubleback.recipes.report.blocks import Chart
from doubleback.recipes.report.charts import Axes, Line, estimates_line, line_chart
from doubleback.recipes.report.stored import StoredLines
from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.records import Record, read_record
from doubleback.rl.run.names import ENVIRONMENT, EVALUATIONS, INPUTS, METRICS, SAMPLES_END, evaluation_name
from doubleback.rl.run.state import RunState, state_of, stored_recipe

Summary = Mapping[str, Any]


@dataclass(frozen=True)
class RunContent:
    """One run, as far as it has come."""

    label: str
    """What it is called beside others: its folder's name, and more of the path where two have one name."""
    path: Path
    recipe: Record
    state: RunState
    lines: Sequence[Mapping[str, Any]]
    """Of metrics.jsonl; step 0 is the measurement before training."""
    summaries: Sequence[Summary]
    """Of eval/, by suite and step; the test problems first, validation last."""
    environment: Mapping[str, Any]
    inputs: Mapping[str, Any]

    @cached_property
    def trained(self) -> list[Mapping[str, Any]]:
        """The lines of steps in which something was learned."""
        return [line for line in self.lines if line["step"] > 0]

    @property
    def is_given(self) -> bool:
        """Whether what it learned from was given, and no engine sampled it."""
        return bool(self.recipe["kind"] == "sft")

    @property
    def source(self) -> str:
        """How what it learned from came to be."""
        return "given" if self.is_given else "sampled"

    @property
    def suites(self) -> list[str]:
        """Names of what was measured."""
        return list(dict.fromkeys(item["suite"] for item in self.summaries))

    def measured(self, suite: str) -> list[Summary]:
        """Every summary of a suite, ascending by step."""
        return [item for item in self.summaries if item["suite"] == suite]

    def verdicts(self, summary: Summary) -> list[dict[str, Any]]:
        """Problem and verdict of each sample behind a summary; none where they are gone."""
        name = evaluation_name(summary["suite"], summary["step"])
        return StoredLines(self.path / EVALUATIONS / f"{name}{SAMPLES_END}").columns(("problem", "verdict"))

    def total(self, metric: str) -> float:
        """The sum of a metric over the steps that have it; NaN where none has."""
        values = [line[metric] for line in self.trained if line.get(metric) is not None]
        return float(sum(values)) if values else math.nan

    def newest(self, metric: str) -> float:
        """The metric at the newest step that has it; NaN where none has."""
        return next((float(line[metric]) for line in reversed(self.lines) if line.get(metric) is not None), math.nan)

    def line(self, metric: str, label: str) -> Line:
        """The metric over the steps, NaN where a step has it and it is undefined. A receipt is of a push alone: where
        the adapter stayed with the learner there is no point, and the line goes on from the push before.
        """
        is_of_pushes = metric.startswith("sync/")
        found = [line for line in self.lines if metric in line and not (is_of_pushes and is_kept(line))]
        values = [math.nan if line[metric] is None else float(line[metric]) for line in found]
        return Line(label, [line["step"] for line in found], values)

    def names(self, group: str) -> list[str]:
        """What stands behind `group` in the names of metrics: the parts of reward/part/."""
        found = dict.fromkeys(name for line in self.lines for name in line if name.startswith(group))
        return [name.removeprefix(group) for name in found]


def read_runs(folders: Sequence[Path]) -> list[RunContent]:
    """The runs in these folders; of a recipe of stages its newest. ConfigError where a folder holds none."""
    return [_read(Run(folder), label) for folder, label in zip(folders, distinct(folders), strict=True)]


def distinct(folders: Sequence[Path]) -> list[str]:
    """A name for each folder: the last part of its path, or as many more as tell all apart."""
    parts = [folder.absolute().parts for folder in folders]
    depth = 1
    while len({each[-depth:] for each in parts}) < len(set(parts)):
        depth += 1
    return ["/".join(each[-depth:]) for each in parts]


def _read(run: Run, label: str) -> RunContent:
    def suite_first(item: Summary) -> tuple[bool, bool, str, int]:
        suite = str(item["suite"])
        return suite != "test", suite.startswith("validation"), suite, int(item["step"])

    return RunContent(
        label=label,
        path=run.path,
        recipe=stored_recipe(run.path),
        state=state_of(run.path),
        lines=complete_lines(run.path / METRICS),
        summaries=sorted(run.evaluations().values(), key=suite_first),
        environment=_record(run.path / ENVIRONMENT),
        inputs=_record(run.path / INPUTS),
    )


def _record(path: Path) -> Mapping[str, Any]:
    return read_record(path) if path.exists() else {}


def is_kept(line: Mapping[str, Any]) -> bool:
    """Whether the adapter of a step stayed with the learner: nothing was pushed, so that there is nothing to prove.

    A push takes time, also one that was not measured.
    """
    return line.get("sync/max_abs") is None and line.get("seconds/sync") == 0.0


def metric_charts(runs: Sequence[RunContent], title: str, metrics: Mapping[str, str], axes: Axes) -> list[Chart]:
    """Metric -> label: one chart of all of them for one run; for several a chart of each, with a line a run."""
    if len(runs) == 1:
        charts = [line_chart(title, [runs[0].line(name, label) for name, label in metrics.items()], axes)]
    else:
        charts = [
            line_chart(
                f"{title}: {label}" if len(metrics) > 1 else title, [run.line(name, run.label) for run in runs], axes
            )
            for name, label in metrics.items()
        ]
    return [chart for chart in charts if chart is not None]


def pass_rate_line(run: RunContent, suite: str, label: str, k: str = "1") -> Line:
    """pass@k of a suite over the steps, with its band."""
    found = run.measured(suite)
    return estimates_line(
        label, [item["step"] for item in found], [item["pass_at_k"].get(k, UNDEFINED) for item in found]
    )


def estimate_line(run: RunContent, suite: str, name: str, label: str) -> Line:
    """An estimate of a suite's summaries over the steps, with its band."""
    found = run.measured(suite)
    return estimates_line(label, [item["step"] for item in found], [item.get(name) or UNDEFINED for item in found])
