"""`doubleback show`, and what a finished training ends with: how a run stands, read from its folder. Loads no torch."""

import math
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from doubleback.eval.compare import SAMPLES
from doubleback.eval.show.console import Console
from doubleback.eval.show.pictures import learning_curve
from doubleback.eval.show.tables import before_after, experts_table
from doubleback.eval.show.timeline import ENGINE, LEARNER, timeline, waited
from doubleback.recipes.commands.display import figures, sample_pair
from doubleback.recipes.commands.modes import trained_modes_table
from doubleback.recipes.commands.samples.harvest import show_kept
from doubleback.recipes.recipe.results import Run
from doubleback.recipes.tasks.task import find_task
from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.records import Record
from doubleback.rewards.sample_lines import read_problems, with_columns
from doubleback.rl.run.names import EVALUATIONS, METRICS, RECIPE, SAMPLES_END, evaluation_name
from doubleback.rl.run.state import RunState, state_of, stored_recipe

CURVE, TIMELINE = "learning_curve.png", "timeline.png"
NUM_MEASURED = 12
"""Steps in the table of an unfinished run: the first, and the newest."""


def show_run(path: Path, console: Console) -> None:
    """How a run stands: step, newest figures, what was measured, its curve, and what to do next."""
    run = Run(path)
    recipe = stored_recipe(path)
    lines, state = complete_lines(path / METRICS), state_of(path)
    if recipe["kind"] == "sample":
        _show_sampled(path, recipe, state, console)
        return
    console.print(f"run         {path}: {recipe['description']}", soft_wrap=True)
    console.print(f"state       {_in_words(state)}", soft_wrap=True)
    console.print(f"step        {state.step} of {state.steps}{_saved(state)}")
    if lines:
        known = {name: math.nan if value is None else value for name, value in lines[-1].items()}
        console.print(f"newest      {figures(known)}", soft_wrap=True)
    if state.is_finished:
        show_result(path, console)
    else:
        _show_measured(run, console)
        if os.access(path, os.W_OK):  # somebody else's run can be looked at too
            learning_curve(lines, list(run.evaluations().values()), recipe["description"], path / CURVE)
            console.print(f"curve       {path / CURVE}", soft_wrap=True)
            _show_timeline(lines, path, console)
    console.print(f"next        {_next(path, recipe, state)}", soft_wrap=True)


def _in_words(state: RunState) -> str:
    return state.word if state.owner is None else f"{state.word}: {state.owner}"


def _saved(state: RunState) -> str:
    return ", none is saved yet" if state.saved_step is None else f", of which {state.saved_step} is saved"


def _show_sampled(path: Path, recipe: Record, state: RunState, console: Console) -> None:
    """How a run stands that samples alone."""
    console.print(f"state       {_in_words(state)}", soft_wrap=True)
    console.print(f"sampled     {len(complete_lines(path / SAMPLES)):,} completions")
    if state.is_finished:
        show_kept(path, console)
    else:
        console.print(f"next        {_next(path, recipe, state)}", soft_wrap=True)


def _next(path: Path, recipe: dict[str, Any], state: RunState) -> str:
    if state.owner is not None:
        return "it goes on by itself; Ctrl-C or SIGTERM there stops and saves it"
    if state.is_finished:
        return f"measure it: {shlex.join(['doubleback', 'eval', str(path), '--suite'])} SUITE"
    if recipe["trainer"] == "trl":
        return "trainer=trl cannot go on; start anew in another folder"
    return shlex.join(["doubleback", "train", str(path / RECIPE), "--out", str(path), "--resume"])


def _show_measured(run: Run, console: Console) -> None:
    """What was measured so far, a line each: the first, and the newest."""
    measured = sorted(run.evaluations().values(), key=lambda item: (item["suite"], item["step"]))
    if not measured:
        return
    table = Table(box=None, pad_edge=False)
    for column in ("measured", "step", "pass@1", "95 % interval"):
        table.add_column(column, justify="left" if column == "measured" else "right")
    for item in _few(measured):
        estimate = item["pass_at_k"]["1"]
        low, high = (math.nan if estimate[name] is None else estimate[name] for name in ("low", "high"))
        value = math.nan if estimate["value"] is None else estimate["value"]
        table.add_row(item["suite"], str(item["step"]), f"{value:.3f}", f"[{low:.3f}, {high:.3f}]")
    console.print(table)


def _few(measured: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*measured[:1], *measured[1:][-NUM_MEASURED:]]


def _apart(summaries: Sequence[dict[str, Any]], recipe: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Strand -> its measurements on test problems, where a run has several."""
    others = {Path(suite).stem for suite in recipe["eval"].get("suites", [])}
    apart: dict[str, list[dict[str, Any]]] = {}
    for item in summaries:
        before, _, name = item["suite"].partition("-")
        if before == "test" and name and item["suite"] not in others:
            apart.setdefault(name, []).append(item)
    return apart


def show_result(out: Path, console: Console) -> None:
    """The table before and after, a pair of samples, the learning curve, and where everything lies; of what samples
    alone, what it kept.
    """
    recipe = stored_recipe(out)
    if recipe["kind"] == "sample":
        show_kept(out, console)
        return
    summaries = list(Run(out).evaluations().values())
    # A run that was resumed with more steps has been measured at its former end too.
    tested = [summary for summary in summaries if summary["suite"] == "test"]
    if len(tested) < 2:
        gone = out / EVALUATIONS / f"{evaluation_name('test', 0)}.json"
        console.print(f"there is nothing to compare with: {gone} is gone", soft_wrap=True)
        return
    before, *_, after = tested
    console.print()
    console.print(before_after(before, after, recipe["eval"]["k"]))
    if (experts := experts_table(before, after)) is not None:
        console.print(experts)
    apart = _apart(summaries, recipe)
    for first_one, *_, last_one in apart.values():
        console.print(before_after(first_one, last_one, recipe["eval"]["k"]))
    problems = read_problems(out).values()
    names = [evaluation_name("test", item["step"]) for item in (before, after)]
    measures = find_task(recipe["task"]["name"]).measures
    first, last = (with_columns(complete_lines(out / EVALUATIONS / f"{name}{SAMPLES_END}"), problems) for name in names)
    if trained_in := {name: apart[name][-1] for name in recipe.get("modes", {}) if name in apart}:
        console.print(trained_modes_table(trained_in, last))
    if first and last:
        console.print(sample_pair(first, last, next(iter(measures.values()), None)))
    lines = complete_lines(out / METRICS)
    learning_curve(lines, summaries, recipe["description"], out / CURVE)
    console.print(f"learning curve  {out / CURVE}")
    _show_timeline(lines, out, console)
    console.print(f"run directory   {out}")


def _show_timeline(lines: Sequence[dict[str, Any]], out: Path, console: Console) -> None:
    """Draw who did what in the newest steps, and say who waited for whom; nothing where no times were written."""
    if shares := waited(timeline(lines, out / TIMELINE)):
        engine, learner = (f"{shares[row]:.0%}".replace("%", " %") for row in (ENGINE, LEARNER))
        words = f"the learner waited for the engine {learner} of the time, the engine for the learner {engine}"
        console.print(f"timeline        {out / TIMELINE}: {words}", soft_wrap=True)
