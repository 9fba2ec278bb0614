"""Pictures of a run. matplotlib, PNG, readable in black and white."""

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from doubleback.eval.summarise import UNDEFINED
from doubleback.rewards.visible import visible
from doubleback.rl.run.files import write_atomically


def learning_curve(
    lines: Sequence[dict[str, Any]], evaluations: Sequence[dict[str, Any]], title: str, path: Path
) -> None:
    """Draw a run: pass rate of the training rollouts and validation pass@1 with its 95 % band; below, what it costs.

    `lines` are those of metrics.jsonl; `evaluations` the summaries of eval/*.json; `validation` ones are drawn.
    """
    validation = sorted((item for item in evaluations if item["suite"] == "validation"), key=lambda item: item["step"])
    steps = [item["step"] for item in validation]
    trained = [line for line in lines if "verdict/correct" in line]
    figure = Figure(figsize=(8, 6.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.plot([line["step"] for line in trained], [line["verdict/correct"] for line in trained], color="0.6", lw=1)
    upper.plot([], [], color="0.6", lw=1, label="training rollouts: share correct")
    pass_at_1 = [item["pass_at_k"].get("1", UNDEFINED) for item in validation]
    _band(upper, steps, pass_at_1, "C0", "o", "validation pass@1, 95 % interval")
    of_the_task = [*validation[0]["measures"].items()] if validation else []
    for name, color, marker, label in (
        *((name, "C3", "s", label) for name, label in of_the_task[:1]),
        ("format_rate", "C2", "^", "format kept"),
        ("cut_off_rate", "C1", "v", "cut off"),
    ):
        # Undefined for a recipe without the component, or a task without a state to replay.
        measured = [item.get(name, UNDEFINED) for item in validation]
        if any(item["value"] is not None for item in measured):
            _band(lower, steps, measured, color, marker, label)
    upper.set_title(visible(title), parse_math=False)
    upper.set(ylabel="share of completions", ylim=(0, 1))
    lower.set(xlabel="step", ylabel="share of completions", ylim=(0, 1.02))
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
        _legend(axes)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write the figure as a PNG that appears whole."""
    picture = BytesIO()
    figure.savefig(picture, dpi=120, format="png")
    write_atomically(path, picture.getvalue())


def _band(
    axes: Any, steps: Sequence[int], values: Sequence[Mapping[str, float | None]], color: str, marker: str, label: str
) -> None:
    middle, low, high = ([math.nan if item[key] is None else item[key] for item in values] for key in UNDEFINED)
    axes.plot(steps, middle, color=color, marker=marker, ms=4, label=visible(label))
    axes.fill_between(steps, low, high, color=color, alpha=0.15, lw=0)


def _legend(axes: Any) -> None:
    """A legend of what is drawn; none where nothing is."""
    if not axes.get_legend_handles_labels()[0]:
        return
    for text in axes.legend(loc="best", frameon=False).get_texts():
        text.set_parse_math(False)  # a dollar sign in a name is a dollar sign


def pass_at_k_curves(curves: Sequence[tuple[str, Mapping[str, Any]]], path: Path) -> bool:
    """Draw pass@k over k with its 95 % band, one curve for each (label, summary); whether there was any.

    One k is a number, which the table has, and no curve.
    """
    if all(len(summary["pass_at_k"]) <= 1 for _, summary in curves):
        return False
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for position, (label, summary) in enumerate(curves):
        ks = [int(k) for k in summary["pass_at_k"]]
        title = f"{label}: {summary['num_problems']} problems x {summary['n']}"
        _band(axes, ks, list(summary["pass_at_k"].values()), f"C{position}", "os^v"[position % 4], title)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="k", ylabel="pass@k, 95 % interval over problems", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    _legend(axes)
    save(figure, path)
    return True
