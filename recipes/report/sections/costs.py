"""Where time and tokens go: seconds of each phase over the steps, their sums, and how fast tokens came."""

import math
from collections.abc import Sequence

from doubleback.eval.show.timeline import bars, in_words
from doubleback.recipes.report.blocks import Block, Chart, Charts, Section, Table
from doubleback.recipes.report.charts import Axes, Line, area_chart
from doubleback.recipes.report.content import RunContent, metric_charts
from doubleback.recipes.report.sections.headline import count, duration

PHASES = {
    "seconds/rollout": "sampling",
    "seconds/queue": "waiting for a batch",
    "seconds/wait": "waiting for samples",
    "seconds/reward": "rewards",
    "seconds/update": "update",
    "seconds/sync": "adapter to the engine",
    "seconds/receipt": "receipt",
}
SMALL = 0.01
"""Share of the time from which a phase is drawn; the table has all."""
NONE = "no training step is written down yet."


def costs(runs: Sequence[RunContent]) -> Section:
    """Phases on one another, speeds, and a table of sums."""
    if not any(run.trained for run in runs):
        return Section("costs", "Time and tokens", [], NONE)
    charts = [chart for run in runs if (chart := _phases(run, len(runs) > 1)) is not None]
    sampled = {} if all(run.is_given for run in runs) else {"speed/rollout_tokens_per_s": "sampling"}
    speeds = {**sampled, "speed/update_tokens_per_s": "update"}
    charts += metric_charts(runs, "Speed", speeds, Axes(of="tokens a second", limits=(0, None), form="{:,.0f}"))
    blocks: list[Block] = [Charts(charts), *(_table(run, len(runs) > 1) for run in runs if run.trained)]
    return Section("costs", "Time and tokens", blocks)


def _phases(run: RunContent, is_named: bool) -> Chart | None:
    title = f"{run.label}: seconds of a step" if is_named else "Seconds of a step"
    at = [line["step"] for line in run.trained]
    large = [name for name in PHASES if run.total(name) >= SMALL * run.total("seconds/step")]
    lines = [Line(PHASES[name], at, [_known(line.get(name)) for line in run.trained]) for name in large]
    return area_chart(title, lines, Axes(of="on one another", form="{:.2f}"))


def _known(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _table(run: RunContent, is_named: bool) -> Table:
    whole = run.total("seconds/step")
    rows = []
    for name, label in PHASES.items():
        seconds = run.total(name)
        if seconds > 0:
            rows.append((label, duration(seconds), f"{seconds / whole:.1%}", f"{seconds / len(run.trained):.2f} s"))
    rows.append(("all of the steps", duration(whole), "100.0%", f"{whole / len(run.trained):.2f} s"))
    taken, learned = run.total("rollout/tokens"), run.total("learner/tokens")
    note = (
        f"{count(taken)} tokens were {run.source} to learn from, {count(learned)} went through forward and backward. "
    )
    note += "Of a run that samples ahead, phases run beside one another, and their sum is more than the whole. "
    note += "Start, evaluations and checkpoints come on top."
    if words := in_words(bars(run.lines)):
        note += f" In the newest steps {words}."
    caption = f"{len(run.trained)} steps"
    return Table(
        f"{run.label}: {caption}" if is_named else caption, ("phase", "seconds", "share", "a step"), rows, note=note
    )
