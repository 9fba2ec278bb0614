"""What a finished training ends with: the tables before and after, a pair of samples, and the learning curve."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from doubleback.eval.measures.measure import Measure
from doubleback.eval.show.console import Console, panel
from doubleback.eval.show.pictures import learning_curve
from doubleback.eval.show.timeline import in_words, timeline
from doubleback.recipes.commands.samples.harvest import show_kept
from doubleback.recipes.commands.show import show_tables
from doubleback.recipes.recipe.results import Run
from doubleback.recipes.tasks.task import find_task
from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.sample_lines import read_problems, with_columns
from doubleback.rewards.types import Verdict
from doubleback.rewards.visible import visible
from doubleback.rl.run.names import EVALUATIONS, METRICS, SAMPLES_END, evaluation_name
from doubleback.rl.run.state import stored_recipe

LONGEST_TITLE, MOST_OF_PROMPT = 60, 240
"""Characters of a prompt that is a title, and of the end of one that is not."""
CURVE, TIMELINE = "learning_curve.png", "timeline.png"


def show_result(out: Path, console: Console) -> None:
    """The table before and after, a pair of samples, the learning curve, and where everything lies; of what samples
    alone, what it kept.
    """
    recipe = stored_recipe(out)
    if recipe["kind"] == "sample":
        show_kept(out, console)
        return
    summaries = list(Run(out).evaluations().values())
    console.print()
    if (shown := show_tables(out, recipe, summaries, console)) is None:
        return
    problems = read_problems(out).values()
    names = [evaluation_name("test", item["step"]) for item in (shown.before, shown.after)]
    measures = find_task(recipe["task"]["name"]).measures
    first, last = (with_columns(complete_lines(out / EVALUATIONS / f"{name}{SAMPLES_END}"), problems) for name in names)
    if first and last:
        console.print(sample_pair(first, last, next(iter(measures.values()), None)))
    lines = complete_lines(out / METRICS)
    learning_curve(lines, summaries, recipe["description"], out / CURVE)
    console.print(f"learning curve  {out / CURVE}")
    if words := in_words(timeline(lines, out / TIMELINE)):
        console.print(f"timeline        {out / TIMELINE}: {words}", soft_wrap=True)
    console.print(f"run directory   {out}")


def sample_pair(
    before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]], measure: Measure | None = None
) -> RenderableType:
    """The panel of one problem with one seed before and after: the first that the new policy alone solves.

    With the measure that tells most of its task, the first of those of which that is 1. Lines are those of samples,
    with their problems' columns.
    """
    pairs = list(zip(before, after, strict=True))
    first, second = next((pair for pair in pairs if _is_telling(*pair, measure)), pairs[0])
    prompt, text = str(first["prompt"]), Text()
    is_title = len(prompt) <= LONGEST_TITLE and "\n" not in prompt
    if not is_title:  # a chat template begins all prompts alike; the question stands at their end
        cut = prompt if len(prompt) <= MOST_OF_PROMPT else f"... {prompt[-MOST_OF_PROMPT:]}"
        text.append(f"{visible(cut)}\n", style="dim")
    for label, sample in (("before", first), ("after", second)):
        text.append(f"{label}  ", style="bold")
        text.append(f"{sample['verdict']}\n", style="green" if sample["verdict"] == Verdict.CORRECT else "red")
        text.append(f"{visible(sample['completion'])}\n")
    text.rstrip()
    return panel(text, f"problem {prompt if is_title else first['problem']}")


def _is_telling(before: dict[str, Any], after: dict[str, Any], measure: Measure | None) -> bool:
    if before["verdict"] == Verdict.CORRECT or after["verdict"] != Verdict.CORRECT:
        return False
    return measure is None or measure.of(after, after["completion"]) >= 1
