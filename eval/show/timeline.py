"""A timeline of a run's steps: what engine and learner did, and who waited for whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NUM_STEPS = 12
"""Steps in the picture, the newest ones: more would be hairlines."""
ENGINE, LEARNER = "engine", "learner"
COLORS = {
    "sampling": ("C0", ""),
    "scores": ("C4", ""),
    "update": ("C1", ""),
    "push": ("C2", ""),
    "receipt": ("C3", ""),
    "waiting": ("1.0", "////"),
    "evaluation, checkpoint": ("0.85", ""),
}
"""What -> its color and its hatching, so that it can be told in black and white."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Somebody did something from `start`, for `seconds`."""

    row: str
    what: str
    step: int
    start: float
    seconds: float


def bars(lines: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """The bars of the newest steps of one process, from lines of metrics.jsonl; none where they hold no times.

    A step that was sampled ahead has its sampling where it was, beside the updates before it. What the engine does not
    do is waiting for the learner, and what the learner does not do before a batch or a push is waiting for the engine.
    """
    timed = [line for line in lines if line.get("seconds/sampled_at") is not None]
    for index in range(len(timed) - 1, 0, -1):
        if timed[index]["seconds/began_at"] < timed[index - 1]["seconds/began_at"]:
            timed = timed[index:]  # the run was resumed here, and its clock began anew
            break
    timed = timed[-NUM_STEPS:]
    found = [bar for index, line in enumerate(timed) for bar in _of_step(line, timed[index + 1 :][:1])]
    return [*found, *_idle(found)] if found else []


def _of_step(line: Mapping[str, Any], following: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """What one step did, one thing after the other on either side."""
    step, began = int(line["step"]), line["seconds/began_at"]
    seconds = {name.removeprefix("seconds/"): value for name, value in line.items() if name.startswith("seconds/")}
    is_ahead = seconds["sampled_at"] < began
    found = [Bar(ENGINE, "sampling", step, seconds["sampled_at"], seconds["rollout"])]
    at = began
    parts = [("waiting", seconds["rollout"]), ("scores", seconds["reward"])]
    if is_ahead:
        parts = [("waiting", seconds["queue"])]
    parts += [("update", seconds["update"]), ("waiting", seconds["wait"])]
    for what, taken in parts:
        found.append(Bar(LEARNER, what, step, at, taken))
        at += taken
    for what, taken in (("push", seconds["sync"]), ("receipt", seconds["receipt"])):
        found += [Bar(row, what, step, at, taken) for row in (LEARNER, ENGINE)]
        at += taken
    for later in following:
        gap = later["seconds/began_at"] - (began + seconds["step"])
        found += [Bar(row, "evaluation, checkpoint", step, began + seconds["step"], gap) for row in (LEARNER, ENGINE)]
    return [bar for bar in found if bar.seconds > 0]


def _idle(found: Sequence[Bar]) -> list[Bar]:
    """Where the engine does nothing between two of its bars."""
    busy = sorted((bar for bar in found if bar.row == ENGINE), key=lambda bar: bar.start)
    idle, end = list[Bar](), busy[0].start
    for bar in busy:
        if bar.start > end:
            idle.append(Bar(ENGINE, "waiting", bar.step, end, bar.start - end))
        end = max(end, bar.start + bar.seconds)
    return idle


def waited(found: Sequence[Bar]) -> dict[str, float]:
    """Row -> the share of the time in which it waited for the other; empty where there are no bars."""
    if not found:
        return {}
    span = max(bar.start + bar.seconds for bar in found) - min(bar.start for bar in found)
    return {
        row: sum(bar.seconds for bar in found if bar.row == row and bar.what == "waiting") / span
        for row in (ENGINE, LEARNER)
    }


def in_words(found: Sequence[Bar]) -> str:
    """Who waited for whom; empty where there are no bars."""
    if not (shares := waited(found)):
        return ""
    engine, learner = (f"{shares[row]:.0%}".replace("%", " %") for row in (ENGINE, LEARNER))
    return f"the learner waited for the engine {learner} of the time, the engine for the learner {engine}"


def timeline(lines: Sequence[Mapping[str, Any]], path: Path) -> list[Bar]:
    """Draw the newest steps and return their bars; nothing is drawn, and no file made, where there are none."""
    found = bars(lines)
    if not found:
        return found
    from matplotlib.figure import Figure  # a second, which who only says who waited does not spend

    from doubleback.eval.show.pictures import save

    origin = min(bar.start for bar in found)
    figure = Figure(figsize=(10, 2.6), layout="constrained")
    axes = figure.subplots()
    rows = {LEARNER: 0, ENGINE: 1}
    for bar in found:
        color, hatch = COLORS[bar.what]
        axes.barh(
            rows[bar.row], bar.seconds, left=bar.start - origin, height=0.7, color=color, hatch=hatch, ec="0.3", lw=0.4
        )
        if bar.what in ("sampling", "update"):
            middle = bar.start - origin + bar.seconds / 2
            axes.text(middle, rows[bar.row], str(bar.step), ha="center", va="center", size=7)
    for what in COLORS:
        if any(bar.what == what for bar in found):
            color, hatch = COLORS[what]
            axes.barh(0, 0, color=color, hatch=hatch, ec="0.3", lw=0.4, label=what)
    axes.set_yticks(list(rows.values()), list(rows))
    axes.set_xlabel("seconds; numbers are steps")
    figure.legend(loc="outside upper center", ncols=len(COLORS), frameon=False, fontsize=8)
    save(figure, path)
    return found
