"""What a person sees while a run goes on, and at its end."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from doubleback.eval.measures.measure import Measure
from doubleback.eval.show.console import Console, panel, visible
from doubleback.rewards.types import Verdict

FIGURES = (
    ("reward", "reward/mean", "{:.3f}"),
    ("pass", "verdict/correct", "{:.3f}"),
    ("entropy", "learner/entropy", "{:.3f}"),
    ("tokens/s", "speed/rollout_tokens_per_s", "{:,.0f}"),
)


def progress_bar(console: Console) -> Progress:
    """A bar with the field `figures` behind it; silent where the output goes to a file."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def figures(metrics: Mapping[str, float]) -> str:
    """The few figures of a step that fit in a line, and its pass@1 where it was measured."""
    known = [f"{label} {form.format(metrics[name])}" for label, name, form in FIGURES if name in metrics]
    measured = [
        f"{name.removeprefix('eval/')} {value:.3f}" for name, value in metrics.items() if name.endswith("/pass@1")
    ]
    return "  ".join([*known, *measured])


class Display:
    """One progress line in a terminal; one plain line per step where the output goes to a file."""

    def __init__(self, console: Console, steps: int, start: int) -> None:
        self._console, self._steps = console, steps
        self._progress = progress_bar(console)
        self._task = self._progress.add_task("training", total=steps, completed=start, figures="")

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def phase(self, text: str) -> None:
        """Say what is going on."""
        self._progress.update(self._task, description=text)

    def observe(self, step: int, metrics: dict[str, float]) -> None:
        """Show a finished step."""
        shown = figures(metrics)
        self._progress.update(self._task, completed=step, figures=shown)
        if not self._console.is_terminal:
            self._console.print(f"step {step}/{self._steps}  {shown}", highlight=False, soft_wrap=True)


def sample_pair(
    before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]], measure: Measure | None = None
) -> RenderableType:
    """The panel of one problem with one seed before and after: the first that the new policy alone solves.

    With the measure that tells most of its task, the first of those of which that is 1. Lines are those of samples,
    with their problems' columns.
    """
    pairs = list(zip(before, after, strict=True))
    first, second = next((pair for pair in pairs if _is_telling(*pair, measure)), pairs[0])
    text = Text()
    for label, sample in (("before", first), ("after", second)):
        text.append(f"{label}  ", style="bold")
        text.append(f"{sample['verdict']}\n", style="green" if sample["verdict"] == Verdict.CORRECT else "red")
        text.append(f"{visible(sample['completion'])}\n")
    text.rstrip()
    return panel(text, f"problem {first['prompt']}")


def _is_telling(before: dict[str, Any], after: dict[str, Any], measure: Measure | None) -> bool:
    if before["verdict"] == Verdict.CORRECT or after["verdict"] != Verdict.CORRECT:
        return False
    return measure is None or measure.of(after, after["completion"]) >= 1
